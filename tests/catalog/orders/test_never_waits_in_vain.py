"""No order waits for ever: every way that ends its machine ends the order, and lost reports are noticed."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from sqlmodel import Session

from catalog.errors import CatalogError
from catalog.messages.contracts import (
    TO_ORDERS,
    TO_PROVISIONER,
    CreateMachine,
    MachineCreated,
    MachineDestroyed,
    MachineFailed,
    Message,
    from_json,
)
from catalog.messages.dispatch import dispatch_outbox
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import MachineId, MessageId, OrderId, new_id
from catalog.model.machine import MACHINE_TRANSITIONS, Machine, MachineEvent, MachineState
from catalog.model.order import Order, OrderState
from catalog.orders.policy import RetryPolicy
from catalog.orders.retry import cancel, retry_due
from catalog.orders.settle import settle
from catalog.pool.give_back import destroy, give_back
from catalog.store import outbox, rows
from drivers.provisioner.journal import Phase
from tests.support.clocks import ManualClock
from tests.support.doubles import MemoryCloud
from tests.support.ordering import PLATFORM, PROJECT, life, order, seeded_database

T = TypeVar("T")
NOW_S = 1_800_000_000.0
POLICY = RetryPolicy(attempts_limit=2, first_pause_s=2.0, creation_deadline_s=300.0, silence_s=900.0)
LONG_S = 10.0
DEPTH = 4
WAITING = {OrderState.PLACED, OrderState.CREATING}
ENDING = {MachineState.DESTROYING, MachineState.GONE}
Deed = Callable[[Session, Order, Machine, float], object]


def message_id() -> MessageId:
    """Return a new one."""
    return MessageId(new_id("message", NOW_S))


def created(tx: Session, _order: Order, machine: Machine, now_s: float) -> None:
    """Report that the machine runs."""
    told = MachineCreated(
        id=message_id(),
        created_at_s=now_s,
        machine=MachineId(machine.id),
        platform=PLATFORM,
        attempt=machine.attempt,
        cloud_id="vm-1",
    )
    settle(tx, told, now_s, POLICY)


def failed(*, retryable: bool) -> Deed:
    """Report that the attempt failed."""

    def deed(tx: Session, _order: Order, machine: Machine, now_s: float) -> None:
        told = MachineFailed(
            id=message_id(),
            created_at_s=now_s,
            machine=MachineId(machine.id),
            platform=PLATFORM,
            attempt=machine.attempt,
            code="c",
            reason="r",
            retryable=retryable,
        )
        settle(tx, told, now_s, POLICY)

    return deed


def destroyed(tx: Session, _order: Order, machine: Machine, now_s: float) -> None:
    """Report that nothing is left."""
    told = MachineDestroyed(id=message_id(), created_at_s=now_s, machine=MachineId(machine.id), platform=PLATFORM)
    settle(tx, told, now_s, POLICY)


def revoked(tx: Session, _order: Order, _machine: Machine, now_s: float) -> None:
    """End the grant, so that no further attempt is allowed."""
    grant = rows.by_id(tx, Grant, "grant_M")
    rows.update(tx, grant, {"state": GrantState.REVOKED}, now_s)


DEEDS: dict[str, Deed] = {
    "created": created,
    "failed": failed(retryable=True),
    "failed for good": failed(retryable=False),
    "destroyed": destroyed,
    "destroy": lambda tx, _order, machine, now_s: destroy(tx, MachineId(machine.id), PROJECT, now_s),
    "give back": lambda tx, _order, machine, now_s: give_back(tx, MachineId(machine.id), PROJECT, now_s),
    "cancel": lambda tx, order, _machine, now_s: cancel(tx, OrderId(order.id), now_s),
    "retry": lambda tx, _order, _machine, now_s: retry_due(tx, now_s, POLICY),
    "revoked": revoked,
}


def test_no_path_leaves_an_order_waiting_for_an_ended_machine(tmp_path: Path) -> None:
    """Every sequence of up to four deeds from a cold order on; what is refused is rolled back, as callers do.

    Sequences that lead to a situation seen before are not followed further. Situations are (order, machine, pause,
    attempts, grant); all nine deeds are tried in each.
    """

    def walk(tx: Session) -> set[tuple[OrderState, MachineState]]:
        pairs: set[tuple[OrderState, MachineState]] = set()
        seen: set[object] = set()

        def follow(path: tuple[str, ...]) -> None:
            with tx.begin_nested() as attempt:
                placed = order(tx, None, NOW_S)
                for number, name in enumerate(path):
                    machine = rows.by_id(tx, Machine, str(placed.machine_id))
                    try:
                        with tx.begin_nested():
                            DEEDS[name](tx, rows.by_id(tx, Order, placed.id), machine, NOW_S + LONG_S * (number + 1))
                    except CatalogError:
                        pass  # rolled back to before the deed
                tx.expire_all()
                held = rows.by_id(tx, Order, placed.id)
                machine = rows.by_id(tx, Machine, str(placed.machine_id))
                pairs.add((held.state, machine.state))
                assert not (held.state in WAITING and machine.state in ENDING), path
                grant = rows.by_id(tx, Grant, "grant_M").state
                situation = (held.state, machine.state, held.next_attempt_at_s is None, held.attempts, grant)
                attempt.rollback()
            tx.expire_all()
            if situation not in seen and len(path) < DEPTH:
                seen.add(situation)
                for name in DEEDS:
                    follow((*path, name))

        follow(())
        return pairs

    async def run() -> set[tuple[OrderState, MachineState]]:
        async with seeded_database(tmp_path, ManualClock()) as database:
            return await database.write(walk)

    pairs = asyncio.run(run())

    # The walk is worth something only if it gets everywhere.
    assert {each for each, _ in pairs} == {
        OrderState.CREATING,
        OrderState.FULFILLED,
        OrderState.FAILED,
        OrderState.CANCELLED,
    }
    assert {each for _, each in pairs} >= {MachineState.BUILDING, MachineState.IN_USE, *ENDING}


@pytest.mark.parametrize("paused", [False, True], ids=["at work", "between attempts"])
def test_destroying_the_machine_that_is_being_built_cancels_its_order(tmp_path: Path, paused: bool) -> None:  # noqa: FBT001
    """The order ends with the reason in the same transaction, and a late report does not bring it back."""

    def work(tx: Session) -> tuple[Order, Machine]:
        placed = order(tx, None, NOW_S)
        machine = rows.by_id(tx, Machine, str(placed.machine_id))
        if paused:
            failed(retryable=True)(tx, placed, machine, NOW_S)
        destroy(tx, MachineId(machine.id), PROJECT, NOW_S + 1)
        assert placed.state is OrderState.CANCELLED
        created(tx, placed, machine, NOW_S + 2)
        return placed, machine

    placed, machine = in_tx(tmp_path, work)

    assert (placed.state, placed.finished_at_s, placed.next_attempt_at_s) == (OrderState.CANCELLED, NOW_S + 1, None)
    assert placed.reason == "its machine was destroyed on request"
    assert machine.state is MachineState.DESTROYING


@pytest.mark.parametrize("gone", [False, True], ids=["destroying", "gone"])
def test_an_order_that_was_stranded_before_is_ended(tmp_path: Path, gone: bool) -> None:  # noqa: FBT001
    """Whatever stranded it (an older release): the next look ends it with a code, once."""

    def work(tx: Session) -> tuple[Order, int]:
        placed = order(tx, None, NOW_S)
        machine = rows.by_id(tx, Machine, str(placed.machine_id))
        for event in (MachineEvent.RETIRE, MachineEvent.DESTROYED)[: 1 + gone]:
            rows.move(tx, machine, MACHINE_TRANSITIONS, event, NOW_S)
        assert retry_due(tx, NOW_S + 1, POLICY) == 1
        return rows.by_id(tx, Order, placed.id), retry_due(tx, NOW_S + 2, POLICY)

    placed, further = in_tx(tmp_path, work)

    assert (placed.state, placed.code, further) == (OrderState.FAILED, "machine-gone", 0)


def test_an_attempt_that_nobody_reports_on_is_asked_again_and_given_up(tmp_path: Path) -> None:
    """Not before deadline and silence are over (300 s + 900 s); then once more, and then the order fails."""

    def work(tx: Session) -> tuple[Order, Machine, list[int]]:
        placed = order(tx, None, NOW_S)
        assert retry_due(tx, NOW_S + 1199, POLICY) == 0
        assert retry_due(tx, NOW_S + 1200, POLICY) == 1
        asked = [from_json(each.body) for each in outbox.unsent(tx, 10)]
        attempts = [each.attempt for each in asked if isinstance(each, CreateMachine)]
        assert retry_due(tx, NOW_S + 2399, POLICY) == 0
        assert retry_due(tx, NOW_S + 2400, POLICY) == 1
        return rows.by_id(tx, Order, placed.id), rows.by_id(tx, Machine, str(placed.machine_id)), attempts

    placed, machine, attempts = in_tx(tmp_path, work)

    assert attempts == [1, 2]
    assert (placed.state, placed.code, machine.state) == (OrderState.FAILED, "not-heard-of", MachineState.DESTROYING)


def test_a_lost_report_costs_no_second_machine(tmp_path: Path) -> None:
    """The report of a running machine is lost; asked again, the provisioner reports the same machine once more."""

    async def lose(_message: Message) -> None:
        """Take it and do nothing."""

    async def run() -> None:
        clock = ManualClock()
        cloud = MemoryCloud(clock)
        async with life(tmp_path, clock, cloud) as world:
            placed = await world.place()
            await dispatch_outbox(world.database, world.queue, clock, world.checkpoint)
            await world.queue.deliver_one(TO_PROVISIONER, world.provisioner.receive)
            while (job := await world.records.job(MachineId(str(placed.machine_id)))) and job.phase is not Phase.READY:
                clock.advance(5.0)
                await world.provisioner.work_one()
            await world.provisioner.publish_results()
            while await world.queue.deliver_one(TO_ORDERS, lose):
                pass
            await world.settled()
            (ended,) = (await world.orders()).values()
            assert (ended.state, ended.attempts, len(cloud.ledger)) == (OrderState.FULFILLED, 2, 1)

    asyncio.run(run())


def in_tx(folder: Path, work: Callable[[Session], T]) -> T:
    """Run ``work`` in one transaction on a fresh, seeded database."""

    async def run() -> T:
        async with seeded_database(folder, ManualClock()) as database:
            return await database.write(work)

    return asyncio.run(run())
