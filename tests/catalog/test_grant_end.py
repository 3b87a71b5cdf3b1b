"""The end of a grant, or its narrowing, ends at once what was begun under it, and people are told why."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from catalog import consent
from catalog.messages.contracts import CreateMachine, DestroyMachine, EndEpoch, MachineDestroyed, from_json
from catalog.messages.handshake import Decision, GrantedCapability
from catalog.model.connection import Connection, ConnectionState
from catalog.model.consent import Grant, Side
from catalog.model.event import Event
from catalog.model.ids import MachineId, MessageId
from catalog.model.machine import MACHINE_TRANSITIONS, Machine, MachineEvent, MachineState
from catalog.model.offering import Offer
from catalog.model.order import Order, OrderState
from catalog.model.terms import Scope
from catalog.orders.settle import settle
from catalog.store import outbox, rows
from tests.support.clocks import ManualClock
from tests.support.ordering import OFFER, PLATFORM, PROJECT, RETRY, order, seeded_database

NOW_S = 1_800_000_000.0
KINDS = (CreateMachine, EndEpoch, DestroyMachine)
TERMS = GrantedCapability(capability="machine", verbs=("create", "list", "destroy"))


def in_tx(folder: Path, *works: Callable[[Session], Any], quota: int | None = None) -> list[Any]:
    """Run each of ``works`` in a transaction of its own and return what they returned."""

    async def run() -> list[Any]:
        async with seeded_database(folder, ManualClock(), quota=quota) as database:
            return [await database.write(work) for work in works]

    return asyncio.run(run())


def the_grant(tx: Session) -> Grant:
    """Return the grant for machines."""
    return rows.by_id(tx, Grant, "grant_M")


def delivered(tx: Session, number: int = 1) -> Machine:
    """Add a machine that a project uses."""
    machine = Machine(
        id=MachineId(f"machine_{number:03}"), platform_id=PLATFORM, offer_id=OFFER, project_id=PROJECT,
        state=MachineState.IN_USE, name=f"m{number}", size="s1", image="i1",
    )  # fmt: skip
    return rows.insert(tx, machine, NOW_S)


def answer(tx: Session, **changes: Any) -> None:
    """Let the owner give other terms for what it was asked."""
    decision = Decision(request_id="grant_M", granted=(replace(TERMS, **changes),))
    consent.record_decision(tx, platform_id=PLATFORM, decision=decision, now_s=NOW_S)


def sent(tx: Session) -> list[Any]:
    """Return every message in the outbox."""
    return [from_json(each.body) for each in outbox.unsent(tx, 100)]


ENDS: dict[str, tuple[Callable[[Session], Any], str]] = {
    "revoked": (lambda tx: consent.revoke(tx, "grant_M", NOW_S), "the grant was revoked"),
    "suspended": (lambda tx: consent.suspend(tx, "grant_M", Side.PLATFORM, NOW_S), "suspended by the platform"),
    "absent from the answer": (
        lambda tx: consent.record_decision(
            tx, platform_id=PLATFORM, decision=Decision(request_id="grant_M", granted=()), now_s=NOW_S
        ),
        "does not grant it any more",
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_order_in_the_making_ends_with_the_grant_and_says_why(tmp_path: Path, end: str) -> None:
    """In the transaction that ends the grant: the order has failed with the reason, its machine is given up."""
    deed, reason = ENDS[end]

    def work(tx: Session) -> None:
        placed = order(tx, "web", NOW_S)
        assert placed.state is OrderState.CREATING
        deed(tx)
        held = rows.by_id(tx, Order, placed.id)
        assert (held.state, held.code) == (OrderState.FAILED, "grant-ended")
        assert reason in held.reason
        machine = rows.by_id(tx, Machine, str(placed.machine_id))
        assert machine.state is MachineState.DESTROYING
        assert reason in machine.reason
        create, ended, destroyed = sorted(sent(tx), key=lambda each: KINDS.index(type(each)))
        assert create.epoch < ended.epoch == the_grant(tx).epoch
        assert (ended.platform, destroyed.machine) == (PLATFORM, machine.id)

    in_tx(tmp_path, work)


@pytest.mark.parametrize("end", ENDS)
def test_who_holds_a_machine_is_told(tmp_path: Path, end: str) -> None:
    """A machine in use stays in use, says in its notice what happened, and its project's event says so too."""
    deed, reason = ENDS[end]

    def work(tx: Session) -> None:
        machine = delivered(tx)
        deed(tx)
        held = rows.by_id(tx, Machine, machine.id)
        assert held.state is MachineState.IN_USE
        assert reason in held.notice
        told = [each for each in rows.where(tx, Event) if each.subject_id == machine.id][-1]
        assert told.project_id == PROJECT
        assert reason in str(told.data)

    in_tx(tmp_path, work)


def test_a_grant_that_stands_again_takes_its_notices_back_and_has_a_later_epoch(tmp_path: Path) -> None:
    """Held back and let go: nothing is said any more, and a new order carries an epoch that late work has not."""

    def work(tx: Session) -> None:
        machine = delivered(tx)
        before = the_grant(tx).epoch
        consent.suspend(tx, "grant_M", Side.PLATFORM, NOW_S)
        consent.resume(tx, "grant_M", Side.PLATFORM, NOW_S)
        rows.update(tx, rows.by_id(tx, Offer, OFFER), {"state": "offered"}, NOW_S)
        assert rows.by_id(tx, Machine, machine.id).notice == ""
        order(tx, "again", NOW_S)
        (create,) = (each for each in sent(tx) if isinstance(each, CreateMachine))
        assert create.epoch == the_grant(tx).epoch == before + 1

    in_tx(tmp_path, work)


@pytest.mark.parametrize(
    ("narrower", "left"),
    [
        pytest.param({"scope": Scope(sizes=("large",))}, ["large"], id="other sizes"),
        pytest.param({"verbs": ("list", "destroy")}, [], id="no creation"),
        pytest.param({"quota": 2}, ["small"], id="fewer machines: the newest goes"),
        pytest.param({"quota": 1}, [], id="no more than are in use"),
        pytest.param({"quota": 3}, ["small", "large"], id="room for all"),
    ],
)
def test_narrower_terms_stop_what_is_outside_of_them_at_once(
    tmp_path: Path, narrower: dict[str, Any], left: list[str]
) -> None:
    """One machine in use, a small and then a large one in the making: what the new terms cover goes on untouched."""

    def work(tx: Session) -> None:
        delivered(tx)
        placed = {size: order(tx, size, NOW_S + n, size=size).id for n, size in enumerate(("small", "large"))}
        answer(tx, **narrower)
        states = {size: rows.by_id(tx, Order, id_).state for size, id_ in placed.items()}
        assert [size for size, state in states.items() if state is OrderState.CREATING] == left
        assert set(states.values()) <= {OrderState.CREATING, OrderState.FAILED}
        assert rows.by_id(tx, Machine, "machine_001").state is MachineState.IN_USE
        (offer,) = rows.where(tx, Offer)
        assert offer.facts["verbs"] == list(narrower.get("verbs", TERMS.verbs))

    in_tx(tmp_path, work)


def state_of(tx: Session) -> tuple[ConnectionState, str]:
    """Return the connection's state and code."""
    (connection,) = rows.where(tx, Connection)
    return connection.state, connection.code


def test_the_connection_ends_when_nothing_is_granted_and_nothing_is_left(tmp_path: Path) -> None:
    """Without machines it ends with the last grant, in the same transaction, and its reason says so."""

    def work(tx: Session) -> None:
        consent.revoke(tx, "grant_M", NOW_S)
        assert state_of(tx) == (ConnectionState.FAILED, "nothing-granted")

    in_tx(tmp_path, work)


def test_the_connection_stays_until_the_last_machine_is_gone(tmp_path: Path) -> None:
    """While a machine of ours is there it must stay reachable; the report that it is gone ends the connection."""

    def work(tx: Session) -> None:
        machine = delivered(tx)
        consent.revoke(tx, "grant_M", NOW_S)
        assert state_of(tx) == (ConnectionState.ESTABLISHED, "")
        rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.RETIRE, NOW_S)
        settle(tx, destroyed(machine), NOW_S, RETRY)
        assert state_of(tx) == (ConnectionState.FAILED, "nothing-granted")

    in_tx(tmp_path, work)


def test_the_connection_stays_while_something_is_granted_or_may_come_back_by_itself(tmp_path: Path) -> None:
    """Another grant that stands holds it, and so does one that has expired: it is renewed over the connection."""

    def work(tx: Session) -> None:
        other = {"id": "grant_S", "capability": "size", "request_id": "s", "state": "accepted", "verbs": ["list"]}
        told = {"platform_id": PLATFORM, "connection_id": the_grant(tx).connection_id, "expires_at_s": NOW_S - 1}
        rows.insert(tx, Grant(**other, **told), NOW_S)
        consent.revoke(tx, "grant_M", NOW_S)
        assert state_of(tx)[0] is ConnectionState.ESTABLISHED
        assert consent.expire_due(tx, NOW_S) == 1
        assert state_of(tx)[0] is ConnectionState.ESTABLISHED
        consent.propose(
            tx, platform_id=PLATFORM, connection_id=the_grant(tx).connection_id, request_id="s2",
            wanted={"size": ("list",)}, now_s=NOW_S,
        )  # fmt: skip
        decision = Decision(request_id="s2", granted=())
        consent.record_decision(tx, platform_id=PLATFORM, decision=decision, now_s=NOW_S)
        assert state_of(tx)[0] is ConnectionState.ESTABLISHED, "a denial alone ends nothing"

    in_tx(tmp_path, work)


def destroyed(machine: Machine) -> MachineDestroyed:
    """Return the provisioner's report that nothing is left of ``machine``."""
    return MachineDestroyed(
        id=MessageId("message_D"), created_at_s=NOW_S, machine=machine.id, platform=machine.platform_id
    )
