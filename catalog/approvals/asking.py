"""Have an order wait for those who must approve it, and give back what it reserved when it need not wait any more.

While it waits it holds no machine, but its place in the quotas and budgets of its project and organisation.
"""

import logging

from catalog.allowance import weight
from catalog.approvals import judging, rules
from catalog.connections import record_step
from catalog.model.approval import APPROVAL_TRANSITIONS, Approval, ApprovalEvent, ApprovalState
from catalog.model.ids import ApprovalId, new_id
from catalog.model.offering import Offer
from catalog.model.order import ORDER_TRANSITIONS, Order, OrderEvent
from catalog.store import rows
from catalog.store.database import Tx

log = logging.getLogger(__name__)


def ask(tx: Tx, order: Order, offer: Offer, now_s: float) -> Approval | None:
    """Let ``order`` wait for approval if it meets a rule, and return the question; None: nobody has to be asked.

    Whoever calls has seen that the order is admitted, and that no machine of it is left.
    """
    met = rules.met(tx, order, offer.platform_id)
    if not met:
        return None
    counts_for = weight(tx, offer.platform_id, order.size)
    question = Approval(
        id=ApprovalId(new_id("approval", now_s)),
        order_id=order.id,
        project_id=order.project_id,
        offer_id=offer.id,
        asked_by=order.ordered_by,
        price=order.price,
        vcpu=counts_for.vcpu,
        memory_mib=counts_for.memory_mib,
        expires_at_s=now_s + min(rule.wait_s for rule in met),
        judged_at_s=now_s,
    )
    rows.insert(tx, question, now_s)
    waits = {"machine_id": None, "served_from": "", "attempts": 0, "code": "", "reason": "", "next_attempt_at_s": None}
    rows.move(tx, order, ORDER_TRANSITIONS, OrderEvent.ASK, now_s, waits)
    record_step(tx, order.id, "order.asked", "done", now_s, detail=", ".join(rule.name for rule in met))
    log.info("order waits for approval", extra={"order": order.id, "approval": question.id})
    return question


def waiting_for(tx: Tx, order: Order) -> Approval | None:
    """Return the question that the order waits for, None when it waits for none."""
    return rows.first(tx, Approval, order_id=order.id, state=ApprovalState.WAITING)


def withdraw(tx: Tx, order: Order, now_s: float, reason: str = "") -> None:
    """End the question that a cancelled order waited for, if there is one."""
    question = waiting_for(tx, order)
    if question is not None:
        end(tx, question, order, ApprovalEvent.WITHDRAW, now_s, reason=reason or "the order was cancelled")


def end(tx: Tx, question: Approval, order: Order, event: ApprovalEvent, now_s: float, *, reason: str) -> None:
    """Take the question to its end, and keep with it what was needed and who had approved."""
    kept = {
        "ended_at_s": now_s,
        "reason": reason,
        "rules": judging.told(judging.requirements(tx, question, order)),
    }
    rows.move(tx, question, APPROVAL_TRANSITIONS, event, now_s, kept)
    outcome = "done" if event is ApprovalEvent.APPROVE else "failed"
    record_step(tx, order.id, f"order.{question.state.value}", outcome, now_s, detail=reason)
