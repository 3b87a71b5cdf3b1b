"""Try failed creations again when their pause is over (S2 step 4), and end orders that nobody wants any more."""

from sqlmodel import Session

from catalog import consent
from catalog.connections import record_step
from catalog.errors import Denied, NotFound
from catalog.machines import ask_creation, dispose
from catalog.model.ids import OrderId, TenantId
from catalog.model.machine import Machine, MachineEvent, MachineState
from catalog.model.order import ORDER_TRANSITIONS, Order, OrderEvent
from catalog.orders.choose import MACHINE
from catalog.orders.policy import RetryPolicy
from catalog.orders.settle import fail
from catalog.orders.steps import UNWATCHED
from catalog.ports import Checkpoint
from catalog.store import orders, rows

BATCH = 100


def retry_due(tx: Session, now_s: float, policy: RetryPolicy, *, checkpoint: Checkpoint = UNWATCHED) -> int:
    """Ask again for the machines of all orders whose pause is over, and return how many (at most 100 at a time).

    The machine keeps its id and its tags, so that what an earlier attempt left in the cloud is found and adopted.
    """
    due = orders.due_for_retry(tx, now_s, BATCH)
    for order in due:
        _again(tx, order, now_s, policy)
        checkpoint.reached("order.retried")
    return len(due)


def _again(tx: Session, order: Order, now_s: float, policy: RetryPolicy) -> None:
    machine = rows.by_id(tx, Machine, str(order.machine_id))
    try:
        consent.allowed(tx, machine.platform_id, MACHINE, "create", now_s)
    except Denied as error:
        dispose(tx, machine, MachineEvent.BUILD_FAILED, now_s, reason=str(error))
        fail(tx, order, error.code, str(error), now_s)
        return
    rows.update(tx, machine, {"attempt": machine.attempt + 1}, now_s)
    again = {"attempts": order.attempts + 1, "next_attempt_at_s": None}
    rows.move(tx, order, ORDER_TRANSITIONS, OrderEvent.CREATE_AGAIN, now_s, again)
    ask_creation(tx, machine, deadline_s=policy.creation_deadline_s, now_s=now_s)
    record_step(tx, order.id, "order.retried", "done", now_s, detail=f"attempt {machine.attempt}")


def cancel(
    tx: Session,
    order_id: OrderId,
    now_s: float,
    *,
    tenant_id: TenantId | None = None,
    checkpoint: Checkpoint = UNWATCHED,
) -> Order:
    """End an order that has no machine yet, and destroy what was begun for it; ``tenant_id`` None is an admin.

    Raises NotFound also for another tenant's order, and WrongState once it has ended.
    """
    order = rows.find(tx, Order, order_id)
    if order is None or (tenant_id is not None and order.tenant_id != tenant_id):
        raise NotFound(f"there is no order '{order_id}'")
    ended = {"finished_at_s": now_s, "next_attempt_at_s": None}
    rows.move(tx, order, ORDER_TRANSITIONS, OrderEvent.CANCEL, now_s, ended)
    machine = rows.find(tx, Machine, order.machine_id) if order.machine_id else None
    if machine is not None and machine.state is MachineState.BUILDING:
        dispose(tx, machine, MachineEvent.RETIRE, now_s, reason="its order was cancelled")
    record_step(tx, order.id, "order.cancelled", "done", now_s)
    checkpoint.reached("order.cancelled")
    return order
