"""Take in what the provisioner reports: fulfil, retry later, or fail with the reason (S2 step 4, S4).

Each message has its effect once: its id enters the inbox in the same transaction.
"""

import logging
from collections.abc import Callable

from sqlmodel import Session

from catalog import parting
from catalog.assets import using
from catalog.assets.settle import settle as settle_asset
from catalog.connections import record_step
from catalog.errors import CloudQuotaExhausted
from catalog.leases.rules import handed_over
from catalog.machines import ask_destruction, dispose
from catalog.messages.contracts import (
    TO_ORDERS,
    AssetCreated,
    AssetDestroyed,
    AssetFailed,
    AssetNotDestroyed,
    MachineCreated,
    MachineDestroyed,
    MachineFailed,
    MachineNotDestroyed,
    MachineProgress,
    Message,
)
from catalog.model.machine import MACHINE_TRANSITIONS, Machine, MachineEvent, MachineState, Pool
from catalog.model.order import ORDER_TRANSITIONS, Order, OrderEvent, OrderState
from catalog.obstacles import with_obstacle, without_obstacle
from catalog.orders import fall
from catalog.orders.causes import FAILED_ATTEMPT, over_attempts
from catalog.orders.ending import give_up, has_next
from catalog.orders.policy import RetryPolicy
from catalog.orders.steps import UNWATCHED
from catalog.ports import Checkpoint, Clock, MessageQueue
from catalog.store import outbox, rows
from catalog.store.database import Database

log = logging.getLogger(__name__)


class Settler:
    """The order application's end of the queue."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        policy: RetryPolicy,
        checkpoint: Checkpoint = UNWATCHED,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """``settled`` is called after each message: whoever waits for outbox or pool work may look again."""
        self._database = database
        self._clock = clock
        self._policy = policy
        self._checkpoint = checkpoint
        self._settled = settled

    async def run(self, queue: MessageQueue) -> None:
        """Settle every message until cancelled."""
        await queue.consume(TO_ORDERS, self.receive)

    async def receive(self, message: Message) -> None:
        """Settle ``message``; on return its effect is durable. The same message may come any number of times."""
        await self._database.write(
            lambda tx: settle(tx, message, self._clock.now_s(), self._policy, checkpoint=self._checkpoint)
        )
        self._checkpoint.reached("order.settle.end")
        self._settled()


def settle(
    tx: Session, message: Message, now_s: float, policy: RetryPolicy, *, checkpoint: Checkpoint = UNWATCHED
) -> None:
    """Write the effects of ``message``, once. A message about what has moved on in the meantime changes nothing."""
    checkpoint.reached("order.settle.begin")
    if outbox.seen(tx, message.id, now_s):
        return
    match message:
        case MachineCreated():
            _created(tx, message, now_s)
        case MachineFailed():
            _failed(tx, message, now_s, policy)
        case MachineDestroyed():
            _destroyed(tx, message, now_s, policy)
        case MachineNotDestroyed():
            _not_destroyed(tx, message, now_s)
        case MachineProgress():
            _progressed(tx, message, now_s)
        case AssetCreated() | AssetFailed() | AssetDestroyed() | AssetNotDestroyed():
            settle_asset(tx, message, now_s, policy)
        case _:
            log.error("message not for orders", extra={"type": message.type})
    checkpoint.reached("order.settled")


def _created(tx: Session, message: MachineCreated, now_s: float) -> None:
    machine = rows.find(tx, Machine, message.machine)
    if machine is None:
        log.error("created machine is unknown", extra={"machine": message.machine})
        return
    found = {"cloud_id": message.cloud_id, "addresses": list(message.addresses), "reason": ""}
    if machine.state is not MachineState.BUILDING:
        # Its order was cancelled or given up meanwhile; say once more what is to become of it.
        if machine.state in (MachineState.DESTROYING, MachineState.GONE):
            rows.update(tx, machine, {"cloud_id": message.cloud_id}, now_s)
            ask_destruction(tx, machine, now_s)
        return
    order = rows.find(tx, Order, machine.order_id) if machine.order_id else None
    if order is None:
        rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.BUILT, now_s, {**found, "idle_from_s": now_s})
        _note_on_pool(tx, machine, now_s, failures=0, reason="")
        return
    if order.state is not OrderState.CREATING:
        # Whoever ended the order disposed of its machine with it; should one be left, nobody waits for it.
        rows.update(tx, machine, found, now_s)
        dispose(tx, machine, MachineEvent.RETIRE, now_s, reason="its order has ended")
        return
    lent = handed_over(order, now_s)
    rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.DELIVERED, now_s, {**found, **lent})
    done = {"finished_at_s": now_s, "next_attempt_at_s": None, "code": "", "reason": ""}
    rows.move(tx, order, ORDER_TRANSITIONS, OrderEvent.CREATED, now_s, done)
    record_step(tx, order.id, "order.settled", "done", now_s, detail=machine.id)
    log.info("order fulfilled", extra={"order": order.id, "machine": machine.id})


def _failed(tx: Session, message: MachineFailed, now_s: float, policy: RetryPolicy) -> None:
    machine = rows.find(tx, Machine, message.machine)
    if machine is None or machine.state is not MachineState.BUILDING or machine.attempt != message.attempt:
        return
    order = rows.find(tx, Order, machine.order_id) if machine.order_id else None
    waits = order is not None and order.state is OrderState.CREATING
    if order is not None and waits and _is_tried_again(tx, order, message, policy):
        again_at_s = now_s + policy.pause_s(order.attempts)
        waiting = {"next_attempt_at_s": again_at_s, "code": message.code, "reason": message.reason}
        rows.update(tx, order, waiting, now_s)
        record_step(tx, order.id, FAILED_ATTEMPT, "failed", now_s, detail=f"{message.code}: {message.reason}")
        return
    if order is not None and waits:
        reason = over_attempts(tx, order, message.reason)
        give_up(tx, order, machine, code=message.code, reason=reason, now_s=now_s)
        return
    dispose(tx, machine, MachineEvent.BUILD_FAILED, now_s, reason=message.reason)
    if order is None:
        pool = rows.find(tx, Pool, machine.pool_id) if machine.pool_id else None
        _note_on_pool(tx, machine, now_s, failures=pool.failures_in_a_row + 1 if pool else 0, reason=message.reason)


def _is_tried_again(tx: Session, order: Order, message: MachineFailed, policy: RetryPolicy) -> bool:
    """Return whether there is another attempt at the same platform.

    A quota that is used up there may be free again later, but the next candidate may be free now.
    """
    if not message.retryable or order.attempts >= policy.attempts_limit:
        return False
    return message.code != CloudQuotaExhausted.code or not has_next(tx, order)


def _destroyed(tx: Session, message: MachineDestroyed, now_s: float, policy: RetryPolicy) -> None:
    machine = rows.find(tx, Machine, message.machine)
    if machine is not None and machine.state is MachineState.DESTROYING:
        ended = {"addresses": [], "used_to_s": now_s, "reason": without_obstacle(machine.reason)}
        rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.DESTROYED, now_s, ended)
        using.machine_gone(tx, machine, now_s)
        fall.proceed(tx, machine, now_s, policy)
        parting.part_if_nothing_is_left(tx, machine.platform_id, now_s)


def _not_destroyed(tx: Session, message: MachineNotDestroyed, now_s: float) -> None:
    machine = rows.find(tx, Machine, message.machine)
    if machine is not None and machine.state is MachineState.DESTROYING:
        rows.update(tx, machine, {"reason": with_obstacle(machine.reason, message.reason)}, now_s)
        log.warning("machine not destroyed", extra={"machine": machine.id, "code": message.code})


def _progressed(tx: Session, message: MachineProgress, now_s: float) -> None:
    machine = rows.find(tx, Machine, message.machine)
    order = rows.find(tx, Order, machine.order_id) if machine is not None and machine.order_id else None
    if order is not None and order.state is OrderState.CREATING:
        record_step(tx, order.id, message.step, "done", now_s, detail=f"attempt {message.attempt}")


def _note_on_pool(tx: Session, machine: Machine, now_s: float, *, failures: int, reason: str) -> None:
    pool = rows.find(tx, Pool, machine.pool_id) if machine.pool_id else None
    if pool is not None and (pool.failures_in_a_row, pool.reason) != (failures, reason):
        rows.update(tx, pool, {"failures_in_a_row": failures, "reason": reason}, now_s)
