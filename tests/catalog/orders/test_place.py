"""Placing an order: what is refused and where, the claim, and the quota."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from sqlmodel import Session

from catalog.connections import steps
from catalog.errors import CatalogError, Denied, InvalidValue, QuotaExceeded, WrongState
from catalog.messages.contracts import CreateMachine, from_json
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import MachineId
from catalog.model.machine import Machine, MachineState
from catalog.model.offering import InventoryItem, Offer, OfferState
from catalog.model.order import Order, OrderState
from catalog.orders.place import place
from catalog.store import outbox, rows
from tests.support.clocks import ManualClock
from tests.support.ordering import OFFER, PLATFORM, PROJECT, order, seeded_database

T = TypeVar("T")
NOW_S = 1_800_000_000.0


def in_tx(folder: Path, *works: Callable[[Session], T], quota: int | None = None) -> list[T]:
    """Run each of ``works`` in a transaction of its own and return what they returned."""

    async def run() -> list[T]:
        async with seeded_database(folder, ManualClock(), quota=quota) as database:
            return [await database.write(work) for work in works]

    return asyncio.run(run())


def idle_machine(tx: Session, number: int) -> Machine:
    """Add an idle machine that fits ``order``."""
    machine = Machine(
        id=MachineId(f"machine_{number:03}"),
        platform_id=PLATFORM,
        offer_id=OFFER,
        state=MachineState.IDLE,
        name=f"m{number}",
        size="s1",
        image="i1",
    )
    return rows.insert(tx, machine, NOW_S)


def test_a_cold_order_and_its_message_are_one_fact(tmp_path: Path) -> None:
    """Without an idle machine the order is CREATING, with one building machine and one message that names both."""

    def work(tx: Session) -> tuple[Order, list[str], list[Machine], list[str]]:
        placed = order(tx, "web-1", NOW_S)
        bodies = [each.body for each in outbox.unsent(tx, 10)]
        return placed, bodies, list(rows.where(tx, Machine)), [each.step for each in steps(tx, placed.id)]

    ((placed, bodies, machines, passed),) = in_tx(tmp_path, work)

    assert (placed.state, placed.served_from, placed.attempts) == (OrderState.CREATING, "cold", 1)
    (machine,) = machines
    (message,) = (from_json(body) for body in bodies)
    assert isinstance(message, CreateMachine)
    assert message.machine == machine.id == placed.machine_id
    assert message.name == machine.name == f"web-1-{placed.id.removeprefix('order_').lower()}"
    assert message.tags == {"crossway-machine": machine.id, "crossway-order": placed.id}
    assert (message.size, message.image) == ("s1", "i1")  # the cloud's ids for "small" and "debian-12"
    assert passed == ["order.placed", "order.dispatched"]


def test_an_idle_machine_is_handed_over_at_once(tmp_path: Path) -> None:
    """The machine that has waited longest goes to the tenant, and nothing is asked of the provisioner."""

    def work(tx: Session) -> tuple[Order, Machine, int]:
        for number in (1, 2):
            idle_machine(tx, number)
        placed = order(tx, None, NOW_S)
        return placed, rows.by_id(tx, Machine, "machine_001"), len(outbox.unsent(tx, 10))

    ((placed, machine, messages),) = in_tx(tmp_path, work)

    assert (placed.state, placed.served_from, placed.machine_id) == (OrderState.FULFILLED, "pool", machine.id)
    assert (machine.state, machine.project_id, machine.order_id) == (MachineState.IN_USE, PROJECT, placed.id)
    assert messages == 0


def test_a_machine_of_another_size_stays_idle(tmp_path: Path) -> None:
    """A pool's machine serves only orders of exactly its size and image."""

    def work(tx: Session) -> Order:
        idle_machine(tx, 1)
        return order(tx, None, NOW_S, size="large")

    (placed,) = in_tx(tmp_path, work)

    assert placed.served_from == "cold"


def test_two_hundred_claims_on_a_hundred_machines(tmp_path: Path) -> None:
    """Of 200 concurrent orders exactly 100 get an idle machine, all of them distinct; the others are built cold."""

    async def run() -> list[Order]:
        async with seeded_database(tmp_path, ManualClock()) as database:
            await database.write(lambda tx: [idle_machine(tx, number) for number in range(100)])
            async with asyncio.TaskGroup() as tasks:
                placing = [tasks.create_task(database.write(lambda tx: order(tx, None, NOW_S))) for _ in range(200)]
            return [each.result() for each in placing]

    placed = asyncio.run(run())

    from_pool = [each.machine_id for each in placed if each.served_from == "pool"]
    assert len(from_pool) == len(set(from_pool)) == 100
    assert sum(each.state is OrderState.CREATING for each in placed) == 100


def test_concurrent_orders_never_exceed_the_quota(tmp_path: Path) -> None:
    """Ten orders at once under a quota of three: three are accepted, seven refused, and no trace of those is left."""

    async def run() -> tuple[int, int, int]:
        async with seeded_database(tmp_path, ManualClock(), quota=3) as database:
            refused = 0

            async def try_it() -> None:
                nonlocal refused
                try:
                    await database.write(lambda tx: order(tx, None, NOW_S))
                except QuotaExceeded:
                    refused += 1

            async with asyncio.TaskGroup() as tasks:
                for _ in range(10):
                    tasks.create_task(try_it())
            orders = await database.read(lambda tx: rows.where(tx, Order))
            messages = await database.read(lambda tx: outbox.unsent(tx, 100))
            return len(orders), len(messages), refused

    assert asyncio.run(run()) == (3, 3, 7)


def test_a_full_quota_does_not_keep_idle_machines_from_tenants(tmp_path: Path) -> None:
    """A machine that exists already counts against the quota once: claiming it needs no further room."""

    def work(tx: Session) -> Order:
        idle_machine(tx, 1)
        return order(tx, None, NOW_S)

    (placed,) = in_tx(tmp_path, work, quota=1)

    assert placed.state is OrderState.FULFILLED


@pytest.mark.parametrize(
    ("asked", "field", "fix"),
    [
        pytest.param({"offer": "south"}, "offer", "the id of an offer", id="offer"),
        pytest.param({"size": "smal"}, "size", "such as small", id="size, with what comes near"),
        pytest.param({"image": "debian-11"}, "image", "such as debian-12", id="image, with what comes near"),
        pytest.param({"name": "Web_1"}, "name", "beginning with a letter", id="name"),
    ],
)
def test_what_is_wrong_is_named(asked: dict[str, str], field: str, fix: str, tmp_path: Path) -> None:
    """A value that cannot be is refused with its field and with what would be right."""
    named = {"offer": "north", "size": "small", "image": "debian-12", "name": "web-1"} | asked

    with pytest.raises(InvalidValue) as caught:
        in_tx(tmp_path, lambda tx: place(tx, project_id=PROJECT, now_s=NOW_S, **named))

    assert caught.value.field == field
    assert fix in str(caught.value.fix)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(
            lambda tx: rows.update(tx, rows.by_id(tx, Offer, OFFER), {"state": OfferState.DEGRADED}, NOW_S),
            WrongState,
            id="the offer is degraded",
        ),
        pytest.param(
            lambda tx: rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"state": GrantState.REVOKED}, NOW_S),
            Denied,
            id="the grant is revoked",
        ),
        pytest.param(
            lambda tx: rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"verbs": ["list"]}, NOW_S),
            Denied,
            id="the grant lacks the verb",
        ),
        pytest.param(
            lambda tx: rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"expires_at_s": NOW_S - 1}, NOW_S),
            Denied,
            id="the grant has expired",
        ),
    ],
)
def test_an_order_needs_an_offer_and_a_grant(
    change: Callable[[Session], object], error: type[CatalogError], tmp_path: Path
) -> None:
    """What both sides no longer allow is refused, even when an idle machine waits."""
    with pytest.raises(error):
        in_tx(tmp_path, change, lambda tx: idle_machine(tx, 1), lambda tx: order(tx, None, NOW_S))


@pytest.mark.parametrize(
    ("limits", "error", "field"),
    [
        pytest.param({"scope": {"sizes": ["large"]}}, Denied, "size", id="scope of sizes"),
        pytest.param({"scope": {"images": ["ubuntu-*"]}}, Denied, "image", id="scope of images"),
        pytest.param({"scope": {"projects": ["owner-of-project_U/*"]}}, Denied, "project", id="scope of projects"),
        pytest.param({"scope": {"regions": ["eu-*"]}}, Denied, "location", id="scope of regions"),
        pytest.param({"cores": 1}, QuotaExceeded, "offer", id="cores that cannot be counted"),
        pytest.param({"memory_gib": 1}, QuotaExceeded, "offer", id="memory that cannot be counted"),
    ],
)
def test_an_order_keeps_to_the_grants_terms(
    tmp_path: Path, limits: dict[str, object], error: type[CatalogError], field: str
) -> None:
    """What the owner narrowed applies to the next order, an idle machine that would fit notwithstanding."""

    def narrowed(tx: Session) -> None:
        rows.update(tx, rows.by_id(tx, Grant, "grant_M"), limits, NOW_S)
        if "scope" in limits:
            idle_machine(tx, 1)
        with pytest.raises(error) as refused:
            order(tx, None, NOW_S)
        assert refused.value.field == field

    in_tx(tmp_path, narrowed)


def test_an_order_without_a_name_is_called_after_itself(tmp_path: Path) -> None:
    """Order and machine have one name, made of the order's id: who sees the machine at its cloud finds the order."""
    ((placed, machine),) = in_tx(tmp_path, lambda tx: (placed := order(tx, None, NOW_S), _machine_of(tx, placed)))

    assert placed.name == machine.name == f"crossway-{placed.id.removeprefix('order_').lower()}"


def test_location_and_key_pair_reach_the_provisioner(tmp_path: Path) -> None:
    """Both are found by id or name, kept for further attempts, and said in the message; the pair by its name."""

    def work(tx: Session) -> tuple[Order, Machine, list[str]]:
        add_choices(tx)
        placed = order(tx, None, NOW_S, location="Frankfurt", key_pair="my+key")
        return placed, _machine_of(tx, placed), [each.body for each in outbox.unsent(tx, 10)]

    ((placed, machine, bodies),) = in_tx(tmp_path, work)

    (message,) = (from_json(body) for body in bodies)
    assert isinstance(message, CreateMachine)
    for each in (placed, machine, message):
        assert (each.location, each.key_pair) == ("fra-1", "my key")


@pytest.mark.parametrize(
    ("wanted", "field"), [({"location": "paris"}, "location"), ({"key_pair": "nobody's"}, "key_pair")]
)
def test_an_unknown_location_or_key_pair_is_refused(tmp_path: Path, wanted: dict[str, str], field: str) -> None:
    """The refusal names the field of the order and what there is."""

    def work(tx: Session) -> Order:
        add_choices(tx)
        return order(tx, None, NOW_S, **wanted)

    with pytest.raises(InvalidValue) as refused:
        in_tx(tmp_path, work)
    assert refused.value.field == field
    assert "such as" in str(refused.value.fix)


@pytest.mark.parametrize("wanted", [{"location": "fra-1"}, {"key_pair": "my key"}], ids=str)
def test_a_pools_machine_serves_nobody_who_chooses_more(tmp_path: Path, wanted: dict[str, str]) -> None:
    """It has no key pair and is wherever the cloud put it, so such an order gets a machine of its own."""

    def work(tx: Session) -> Order:
        add_choices(tx)
        idle_machine(tx, 1)
        return order(tx, None, NOW_S, **wanted)

    (placed,) = in_tx(tmp_path, work)

    assert placed.served_from == "cold"


def test_a_machine_that_its_cloud_speaks_against_is_not_handed_out(tmp_path: Path) -> None:
    """An idle machine with a reason on it (stopped, say) is passed over for a sound one, however long it waited."""

    def work(tx: Session) -> list[Order]:
        rows.update(tx, idle_machine(tx, 1), {"reason": "the cloud says: stopped"}, NOW_S)
        idle_machine(tx, 2)
        return [order(tx, None, NOW_S), order(tx, None, NOW_S)]

    (placed,) = in_tx(tmp_path, work)

    assert (placed[0].served_from, placed[0].machine_id) == ("pool", "machine_002")
    assert placed[1].served_from == "cold"


def add_choices(tx: Session) -> None:
    """Let the platform have a location and a key pair."""
    for kind, cloud_id, name in (("location", "fra-1", "Frankfurt"), ("key-pair", "my+key", "my key")):
        rows.insert(tx, InventoryItem(platform_id=PLATFORM, kind=kind, cloud_id=cloud_id, name=name), NOW_S)


def _machine_of(tx: Session, placed: Order) -> Machine:
    return rows.by_id(tx, Machine, str(placed.machine_id))
