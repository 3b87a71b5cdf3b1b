"""Try failed creations again when their pause is over (S2 step 4), and end orders that wait in vain.

No order may wait for ever: not for a machine that somebody destroyed, and not for a report that was lost.
"""

import logging

from sqlmodel import Session

from catalog import consent
from catalog.allowance import refuse_outside, refuse_retry_beyond, wanted
from catalog.approvals import asking
from catalog.connections import record_step
from catalog.errors import Denied, NotFound, QuotaExceeded
from catalog.machines import ask_creation, dispose
from catalog.model.ids import OrderId, ProjectId
from catalog.model.machine import Machine, MachineEvent, MachineState
from catalog.model.order import ORDER_TRANSITIONS, Order, OrderEvent, OrderState
from catalog.orders import fall
from catalog.orders.causes import FAILED_ATTEMPT, over_attempts
from catalog.orders.choose import MACHINE
from catalog.orders.ending import NOT_HEARD_OF, give_up, move_on_or_fail
from catalog.orders.policy import RetryPolicy
from catalog.orders.steps import UNWATCHED
from catalog.ports import Checkpoint
from catalog.store import orders, rows

log = logging.getLogger(__name__)

BATCH = 100
MACHINE_GONE = "machine-gone"


def retry_due(tx: Session, now_s: float, policy: RetryPolicy, *, checkpoint: Checkpoint = UNWATCHED) -> int:
    """Ask again for the machines of all orders whose pause is over, end those that wait in vain, and return how many.

    At most 100 of each at a time. The machine keeps its id and its tags, so that what an earlier attempt left in the
    cloud is found and adopted.
    """
    in_vain = orders.stranded(tx, BATCH)
    for order in in_vain:
        _stranded(tx, order, now_s, policy)
    stuck = orders.moving_since(tx, now_s - policy.creation_deadline_s - policy.silence_s, BATCH)
    for order in stuck:
        fall.end_moving(tx, order, now_s)
    silent = orders.unheard_of(tx, now_s - policy.creation_deadline_s - policy.silence_s, BATCH)
    for order in silent:
        _unheard_of(tx, order, now_s, policy)
    due = orders.due_for_retry(tx, now_s, BATCH)
    for order in due:
        _again(tx, order, now_s, policy)
        checkpoint.reached("order.retried")
    return len(in_vain) + len(stuck) + len(silent) + len(due)


def _stranded(tx: Session, order: Order, now_s: float, policy: RetryPolicy) -> None:
    reason = "its machine was destroyed before it was handed over"
    move_on_or_fail(tx, order, code=MACHINE_GONE, reason=reason, now_s=now_s)
    fall.proceed(tx, rows.by_id(tx, Machine, str(order.machine_id)), now_s, policy)


def _unheard_of(tx: Session, order: Order, now_s: float, policy: RetryPolicy) -> None:
    """Take an attempt whose report was lost as failed; the provisioner reports again when it is asked again."""
    log.error("order was never reported on", extra={"order": order.id, "attempts": order.attempts})
    reason = "nothing was heard of the machine within its deadline"
    if order.attempts < policy.attempts_limit:
        record_step(tx, order.id, FAILED_ATTEMPT, "failed", now_s, detail=f"{NOT_HEARD_OF}: {reason}")
        _again(tx, order, now_s, policy)
        return
    machine, reason = rows.by_id(tx, Machine, str(order.machine_id)), over_attempts(tx, order, reason)
    give_up(tx, order, machine, code=NOT_HEARD_OF, reason=reason, now_s=now_s)


def _again(tx: Session, order: Order, now_s: float, policy: RetryPolicy) -> None:
    machine = rows.by_id(tx, Machine, str(order.machine_id))
    try:
        grant = consent.allowed(tx, machine.platform_id, MACHINE, "create", now_s)
        refuse_outside(tx, grant, wanted(machine))
        refuse_retry_beyond(tx, grant, machine)
    except (Denied, QuotaExceeded) as error:
        reason = over_attempts(tx, order, str(error))
        give_up(tx, order, machine, code=error.code, reason=reason, now_s=now_s)
        return
    rows.update(tx, machine, {"attempt": machine.attempt + 1, "epoch": grant.epoch}, now_s)
    again = {"attempts": order.attempts + 1, "next_attempt_at_s": None}
    rows.move(tx, order, ORDER_TRANSITIONS, OrderEvent.CREATE_AGAIN, now_s, again)
    ask_creation(tx, machine, deadline_s=policy.creation_deadline_s, now_s=now_s)
    record_step(tx, order.id, "order.retried", "done", now_s, detail=f"attempt {machine.attempt}")


def cancel(
    tx: Session,
    order_id: OrderId,
    now_s: float,
    *,
    project_id: ProjectId | None = None,
    checkpoint: Checkpoint = UNWATCHED,
) -> Order:
    """End an order that has no machine yet, and destroy what was begun for it; ``project_id`` None is an admin.

    Raises NotFound also for another project's order, and WrongState once it has ended.
    """
    order = rows.find(tx, Order, order_id)
    if order is None or (project_id is not None and order.project_id != project_id):
        raise NotFound(f"there is no order '{order_id}'")
    _cancel(tx, order, now_s)
    machine = rows.find(tx, Machine, order.machine_id) if order.machine_id else None
    if machine is not None and machine.state is MachineState.BUILDING:
        dispose(tx, machine, MachineEvent.RETIRE, now_s, reason="its order was cancelled")
    checkpoint.reached("order.cancelled")
    return order


def cancel_with_machine(tx: Session, machine: Machine, now_s: float) -> None:
    """End the order that still waits for ``machine``, if there is one: its caller is destroying the machine."""
    order = rows.find(tx, Order, machine.order_id) if machine.order_id else None
    if order is not None and order.state in (OrderState.PLACED, OrderState.CREATING):
        _cancel(tx, order, now_s, reason="its machine was destroyed on request")


def _cancel(tx: Session, order: Order, now_s: float, reason: str = "") -> None:
    ended = {"finished_at_s": now_s, "next_attempt_at_s": None, **({"code": "", "reason": reason} if reason else {})}
    rows.move(tx, order, ORDER_TRANSITIONS, OrderEvent.CANCEL, now_s, ended)
    asking.withdraw(tx, order, now_s)
    record_step(tx, order.id, "order.cancelled", "done", now_s, detail=reason)
