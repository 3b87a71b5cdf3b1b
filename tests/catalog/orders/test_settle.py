"""Settling, retrying and cancelling: every order ends once, whatever the provisioner says and how often."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from sqlmodel import Session

from catalog.errors import NotFound, WrongState
from catalog.messages.contracts import (
    CreateMachine,
    DestroyMachine,
    MachineCreated,
    MachineDestroyed,
    MachineFailed,
    Message,
    from_json,
)
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import MachineId, MessageId
from catalog.model.machine import Machine, MachineState, Pool
from catalog.model.order import Order, OrderState
from catalog.orders.causes import chain
from catalog.orders.policy import RetryPolicy
from catalog.orders.retry import cancel, retry_due
from catalog.orders.settle import settle
from catalog.pool.apply import apply
from catalog.pool.give_back import destroy, give_back
from catalog.pool.manage import create_pool, remove_pool
from catalog.store import outbox, rows
from tests.support.clocks import ManualClock
from tests.support.ordering import OTHER_PROJECT, PLATFORM, PROJECT, order, seeded_database

T = TypeVar("T")
NOW_S = 1_800_000_000.0
POLICY = RetryPolicy(attempts_limit=3, first_pause_s=2.0, longest_pause_s=60.0)


def in_tx(folder: Path, work: Callable[[Session], T]) -> T:
    """Run ``work`` in one transaction on a fresh, seeded database."""

    async def run() -> T:
        async with seeded_database(folder, ManualClock()) as database:
            return await database.write(work)

    return asyncio.run(run())


def created(machine: str | None, number: int = 1) -> MachineCreated:
    """Return the report that the machine runs."""
    return MachineCreated(
        id=MessageId(f"message_c{number}"),
        created_at_s=NOW_S,
        machine=MachineId(str(machine)),
        platform=PLATFORM,
        attempt=1,
        cloud_id="vm-1",
        addresses=("192.0.2.1",),
    )


def failed(machine: str | None, attempt: int = 1, *, retryable: bool = True) -> MachineFailed:
    """Return the report that the attempt is over."""
    return MachineFailed(
        id=MessageId(f"message_f{machine}{attempt}"),
        created_at_s=NOW_S,
        machine=MachineId(str(machine)),
        platform=PLATFORM,
        attempt=attempt,
        code="cloud-unavailable",
        reason="the cloud did not answer",
        retryable=retryable,
    )


def destroyed(machine: str | None) -> MachineDestroyed:
    """Return the report that nothing is left."""
    return MachineDestroyed(
        id=MessageId(f"message_d{machine}"), created_at_s=NOW_S, machine=MachineId(str(machine)), platform=PLATFORM
    )


def outgoing(tx: Session) -> list[Message]:
    """Return every message in the outbox, oldest first."""
    return [from_json(each.body) for each in outbox.unsent(tx, 100)]


def machine_of(tx: Session, placed: Order) -> Machine:
    """Return the order's machine."""
    return rows.by_id(tx, Machine, str(placed.machine_id))


def test_a_created_machine_fulfils_its_order_once(tmp_path: Path) -> None:
    """The order ends FULFILLED with the cloud's facts; the same message again, or a late failure, changes nothing."""

    def work(tx: Session) -> None:
        placed = order(tx, None, NOW_S)
        for message in (created(placed.machine_id), created(placed.machine_id), failed(placed.machine_id)):
            settle(tx, message, NOW_S + 5, POLICY)
        machine = machine_of(tx, placed)
        assert (placed.state, placed.finished_at_s) == (OrderState.FULFILLED, NOW_S + 5)
        assert (machine.state, machine.cloud_id, machine.addresses) == (MachineState.IN_USE, "vm-1", ["192.0.2.1"])

    in_tx(tmp_path, work)


def test_failed_creations_are_retried_with_growing_pauses_and_then_given_up(tmp_path: Path) -> None:
    """Pauses of 2 s and 4 s, three attempts in all, the same machine id each time; then the reason is the order's."""

    def work(tx: Session) -> None:
        placed = order(tx, None, NOW_S)
        now_s = NOW_S
        for attempt, pause_s in ((1, 2.0), (2, 4.0)):
            settle(tx, failed(placed.machine_id, attempt), now_s, POLICY)
            assert placed.next_attempt_at_s == now_s + pause_s
            assert retry_due(tx, now_s + pause_s - 0.1, POLICY) == 0
            now_s += pause_s
            assert retry_due(tx, now_s, POLICY) == 1
            assert retry_due(tx, now_s, POLICY) == 0
        settle(tx, failed(placed.machine_id, 3), now_s, POLICY)
        assert [each.attempt for each in outgoing(tx) if isinstance(each, CreateMachine)] == [1, 2, 3]
        assert placed.state is OrderState.FAILED
        assert placed.reason == "no machine could be created in 3 attempts: the cloud did not answer"
        assert machine_of(tx, placed).state is MachineState.DESTROYING
        assert sum(isinstance(each, DestroyMachine) for each in outgoing(tx)) == 1

    in_tx(tmp_path, work)


def test_a_failed_order_tells_the_whole_chain_of_causes(tmp_path: Path) -> None:
    """Each attempt's reason in its order, equal ones in a row once; also of one of which nothing was heard."""

    def work(tx: Session) -> None:
        placed = order(tx, None, NOW_S)
        settle(tx, failed(placed.machine_id, 1), NOW_S, POLICY)
        retry_due(tx, NOW_S + 10, POLICY)
        silent_s = NOW_S + 10 + POLICY.creation_deadline_s + POLICY.silence_s
        assert retry_due(tx, silent_s, POLICY) == 1
        last = replace(failed(placed.machine_id, 3), code="cloud-refused", reason="the image is gone", retryable=False)
        settle(tx, last, silent_s + 1, POLICY)
        assert placed.reason == (
            "no machine could be created in 3 attempts: the cloud did not answer; "
            "then nothing was heard of the machine within its deadline; then the image is gone"
        )
        assert placed.code == "cloud-refused"

    in_tx(tmp_path, work)


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        pytest.param(["a"], "a", id="one"),
        pytest.param(["a", "a"], "a", id="the same each time"),
        pytest.param(["a", "a", "b"], "a (2 times); then b", id="twice, then another"),
        pytest.param(["a", "b", "a"], "a; then b; then a", id="never out of its order"),
    ],
)
def test_causes_in_words(reasons: list[str], words: str) -> None:
    """The chain is told in its order."""
    assert chain(reasons) == words


def test_a_permanent_failure_ends_the_order_at_once(tmp_path: Path) -> None:
    """What will be refused again is not asked again."""

    def work(tx: Session) -> None:
        placed = order(tx, None, NOW_S)
        settle(tx, failed(placed.machine_id, retryable=False), NOW_S, POLICY)
        assert (placed.state, placed.code, placed.attempts) == (OrderState.FAILED, "cloud-unavailable", 1)

    in_tx(tmp_path, work)


def test_a_grant_revoked_meanwhile_ends_the_order(tmp_path: Path) -> None:
    """A retry asks for permission again: without the grant the order fails and what was begun is destroyed."""

    def work(tx: Session) -> None:
        placed = order(tx, None, NOW_S)
        settle(tx, failed(placed.machine_id), NOW_S, POLICY)
        rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"state": GrantState.REVOKED}, NOW_S)
        retry_due(tx, NOW_S + 10, POLICY)
        assert (placed.state, placed.code) == (OrderState.FAILED, "denied")
        assert machine_of(tx, placed).state is MachineState.DESTROYING

    in_tx(tmp_path, work)


def test_an_old_attempts_failure_changes_nothing(tmp_path: Path) -> None:
    """A failure of attempt 1 that arrives during attempt 2 neither ends nor delays it."""

    def work(tx: Session) -> None:
        placed = order(tx, None, NOW_S)
        settle(tx, failed(placed.machine_id), NOW_S, POLICY)
        retry_due(tx, NOW_S + 10, POLICY)
        late = replace(failed(placed.machine_id), id=MessageId("message_late"))
        settle(tx, late, NOW_S + 11, POLICY)
        assert (placed.state, placed.next_attempt_at_s) == (OrderState.CREATING, None)

    in_tx(tmp_path, work)


def test_a_cancelled_order_destroys_what_was_begun(tmp_path: Path) -> None:
    """Cancelling ends the order and asks for destruction; a machine that came meanwhile is destroyed, not delivered."""

    def work(tx: Session) -> None:
        placed = order(tx, None, NOW_S)
        cancel(tx, placed.id, NOW_S + 1, project_id=PROJECT)
        settle(tx, created(placed.machine_id), NOW_S + 2, POLICY)
        machine = machine_of(tx, placed)
        assert (placed.state, machine.state) == (OrderState.CANCELLED, MachineState.DESTROYING)
        assert "vm-1" in [each.cloud_id for each in outgoing(tx) if isinstance(each, DestroyMachine)]
        settle(tx, destroyed(placed.machine_id), NOW_S + 3, POLICY)
        assert machine_of(tx, placed).state is MachineState.GONE
        with pytest.raises(WrongState):
            cancel(tx, placed.id, NOW_S + 4)

    in_tx(tmp_path, work)


def test_another_projects_things_do_not_exist(tmp_path: Path) -> None:
    """Cancelling or giving back what is another project's is NotFound, and nothing changes."""

    def work(tx: Session) -> None:
        placed = order(tx, None, NOW_S)
        with pytest.raises(NotFound):
            cancel(tx, placed.id, NOW_S, project_id=OTHER_PROJECT)
        settle(tx, created(placed.machine_id), NOW_S, POLICY)
        for end in (give_back, destroy):
            with pytest.raises(NotFound):
                end(tx, MachineId(str(placed.machine_id)), OTHER_PROJECT, NOW_S)
        assert machine_of(tx, placed).state is MachineState.IN_USE

    in_tx(tmp_path, work)


def test_a_machine_given_back_never_returns_to_a_pool(tmp_path: Path) -> None:
    """Without a proven wipe, what a tenant used is destroyed."""

    def work(tx: Session) -> None:
        placed = order(tx, None, NOW_S)
        settle(tx, created(placed.machine_id), NOW_S, POLICY)
        give_back(tx, MachineId(str(placed.machine_id)), PROJECT, NOW_S)
        assert machine_of(tx, placed).state is MachineState.DESTROYING
        assert any(isinstance(each, DestroyMachine) for each in outgoing(tx))

    in_tx(tmp_path, work)


def test_a_pool_fills_serves_refills_and_stops_after_failures(tmp_path: Path) -> None:
    """Two idle are kept: a claim refills in the same transaction; five failures in a row stop it, with the reason."""

    def work(tx: Session) -> None:
        pool = create_pool(
            tx, name="ready", offer="north", size="small", image="debian-12", idle_target=2, idle_limit=2, now_s=NOW_S
        )
        assert apply(tx, pool.id, NOW_S).create == 2
        assert apply(tx, pool.id, NOW_S).create == 0
        for number, machine in enumerate(rows.where(tx, Machine)):
            settle(tx, created(machine.id, number), NOW_S, POLICY)
        placed = order(tx, None, NOW_S)
        assert placed.served_from == "pool"
        assert sorted(each.state for each in rows.where(tx, Machine)) == ["building", "idle", "in-use"]
        failures = 0
        while building := rows.where(tx, Machine, state=MachineState.BUILDING):
            for machine in building:
                settle(tx, failed(machine.id), NOW_S, POLICY)
                failures += 1
            apply(tx, pool.id, NOW_S)
        after = rows.by_id(tx, Pool, pool.id)
        assert failures == 5
        assert (after.failures_in_a_row, after.reason) == (5, "the cloud did not answer")

    in_tx(tmp_path, work)


def test_a_pool_whose_grant_is_gone_says_so(tmp_path: Path) -> None:
    """What hinders a pool is its reason, and it is taken off when the hindrance is gone."""

    def work(tx: Session) -> None:
        pool = create_pool(tx, name="ready", offer="north", size="small", image="debian-12", now_s=NOW_S)
        grant = rows.by_id(tx, Grant, "grant_M")
        rows.update(tx, grant, {"state": GrantState.REVOKED}, NOW_S)
        assert apply(tx, pool.id, NOW_S).create == 0
        assert rows.by_id(tx, Pool, pool.id).reason != ""
        rows.update(tx, grant, {"state": GrantState.ACCEPTED}, NOW_S)
        assert apply(tx, pool.id, NOW_S).create == 1
        assert rows.by_id(tx, Pool, pool.id).reason == ""

    in_tx(tmp_path, work)


def test_a_removed_pool_gives_up_its_machines_but_not_the_tenants(tmp_path: Path) -> None:
    """Idle and building machines are destroyed; the one in use stays its tenant's."""

    def work(tx: Session) -> None:
        pool = create_pool(tx, name="ready", offer="north", size="small", image="debian-12", now_s=NOW_S)
        apply(tx, pool.id, NOW_S)
        (machine,) = rows.where(tx, Machine)
        settle(tx, created(machine.id), NOW_S, POLICY)
        order(tx, None, NOW_S)
        remove_pool(tx, rows.by_id(tx, Pool, pool.id), NOW_S)
        assert sorted(each.state for each in rows.where(tx, Machine)) == ["destroying", "in-use"]
        assert rows.where(tx, Pool) == []

    in_tx(tmp_path, work)
