"""Where catalog and cloud differ about a machine."""

from typing import Any

import pytest

from catalog import drift, publish
from catalog.clouds import CloudMachine, MachineStatus
from catalog.messages.contracts import TAG_MACHINE
from catalog.model.consent import Grant, GrantState
from catalog.model.event import Event
from catalog.model.ids import GrantId, MachineId, PlatformId, new_id
from catalog.model.machine import Machine, MachineState
from catalog.model.offering import InventoryItem
from catalog.store import rows
from tests.support.stores import Store, add_connection, add_platform

OURS = MachineId("machine_1")


def machine(**changes: Any) -> Machine:
    """Return our machine as the catalog has it."""
    facts: dict[str, Any] = {
        "id": OURS, "platform_id": "platform_1", "offer_id": "offer_1", "state": MachineState.IN_USE,
        "name": "web-1", "size": "s1", "image": "i1", "cloud_id": "vm-1",
    }  # fmt: skip
    return Machine(**{**facts, **changes})


def listed(name: str = "web-1", **facts: Any) -> InventoryItem:
    """Return what the cloud lists of it."""
    told = {"status": "running", "size": "s1", "image": "i1", "tags": {TAG_MACHINE: OURS}, **facts}
    return InventoryItem(platform_id=PlatformId("platform_1"), kind="machine", cloud_id="vm-1", name=name, facts=told)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        pytest.param(listed(), [], id="equal"),
        pytest.param(None, [("existence", "present", "absent")], id="not listed"),
        pytest.param(listed(status="stopped"), [], id="stopped is no drift: who holds it may stop it"),
        pytest.param(listed(status="failed"), [("status", "in-use", "failed")], id="failed"),
        pytest.param(
            listed("other", size="s2"), [("name", "web-1", "other"), ("size", "s1", "s2")], id="renamed and resized"
        ),
        pytest.param(listed(size="", image=""), [], id="what the cloud does not say is no drift"),
        pytest.param(listed(network="n9"), [], id="the cloud chose the network"),
        pytest.param(listed(tags={}), [(TAG_MACHINE, OURS, "")], id="our mark is gone"),
        pytest.param(listed(tags={TAG_MACHINE: "x"}), [(TAG_MACHINE, OURS, "x")], id="somebody else's mark"),
    ],
)
def test_fields(item: InventoryItem | None, expected: list[tuple[str, str, str]]) -> None:
    """Each field that differs is told with both words; nothing else is."""
    found = [(each["field"], each["catalog"], each["cloud"]) for each in drift.between(machine(), item)]
    assert found == expected


def test_a_machine_that_was_attached_to_another_network_has_drifted() -> None:
    """Where it was said which one; a cloud that does not say is no drift."""
    attached = machine(network="n1")
    assert drift.between(attached, listed(network="n2")) == [{"field": "network", "catalog": "n1", "cloud": "n2"}]
    assert drift.between(attached, listed(network="n1")) == drift.between(attached, listed()) == []


def put(store: Store, platform: PlatformId, *there: str, read_from_s: float) -> int:
    """Take over a list of the machines with these ids, and note the drift."""
    told = [
        CloudMachine(
            cloud_id=each, name="web-1", status=MachineStatus.RUNNING, tags={TAG_MACHINE: OURS}, size="s1", image="i1"
        )
        for each in there
    ]

    def work(tx: Any) -> int:
        publish.store_inventory(tx, platform, "machine", told, store.now_s)
        return drift.note(tx, platform, read_from_s=read_from_s, now_s=store.now_s)

    return store.write(work)


def test_only_what_was_there_before_the_list_is_judged_by_it(store: Store) -> None:
    """A machine younger than the list is not missing from it; an older one is, once, with an event; and is back."""
    platform = add_platform(store).id
    grant = Grant(
        id=GrantId(new_id("grant", 1.0)), platform_id=platform, connection_id=add_connection(store, platform),
        request_id="r", capability="machine", verbs=["create", "list"], state=GrantState.ACCEPTED,
    )  # fmt: skip
    store.write(lambda tx: rows.insert(tx, grant, store.now_s))
    offer = store.write(lambda tx: publish.publish(tx, grant, store.now_s))
    store.write(lambda tx: rows.insert(tx, machine(platform_id=platform, offer_id=offer.id), store.now_s))
    assert put(store, platform, read_from_s=store.now_s - 1) == 0
    store.clock.advance(10)
    assert put(store, platform, read_from_s=store.now_s) == 1
    assert put(store, platform, read_from_s=store.now_s) == 0
    held = store.read(lambda tx: rows.by_id(tx, Machine, OURS))
    assert held.drift == [{"field": "existence", "catalog": "present", "cloud": "absent"}]
    told = [event.data["drift"] for event in store.read(lambda tx: rows.where(tx, Event)) if event.subject_id == OURS]
    assert told[-1] == held.drift
    store.clock.advance(10)
    assert put(store, platform, "vm-1", read_from_s=store.now_s) == 1
    assert store.read(lambda tx: rows.by_id(tx, Machine, OURS)).drift == []
