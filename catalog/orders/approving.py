"""Take in what approvers answer: an order goes on when all that it needs is there, and ends when one says no.

Going on is judged anew, by today's price, grant, quotas and budgets: a yes of yesterday is no yes to something dearer.
"""

import logging
from collections.abc import Sequence
from typing import Any

from sqlmodel import Session

from catalog import naming
from catalog.access import Principal
from catalog.approvals import asking, judging, rules
from catalog.errors import AlreadyExists, Denied, WrongState
from catalog.model.approval import Approval, ApprovalEvent, ApprovalRule, ApprovalState, ApprovalVote, Verdict
from catalog.model.offering import Offer
from catalog.model.order import Order
from catalog.orders import fall
from catalog.orders.admission import price_now
from catalog.orders.ending import fail
from catalog.orders.policy import RetryPolicy
from catalog.store import approvals, rows

log = logging.getLogger(__name__)

BATCH = 100
JUDGED_AGAIN_S = 60.0  # rules, roles and prices may change without anybody answering
Price = dict[str, Any] | None

DENIED, TIMED_OUT = "approval-denied", "approval-timed-out"


def answer(
    tx: Session,
    question: Approval,
    by: Principal,
    verdict: Verdict,
    *,
    comment: str = "",
    now_s: float,
    policy: RetryPolicy,
) -> Approval:
    """Take ``verdict`` of ``by`` in, with everything that follows from it, and return the question as it then is.

    Raises WrongState when it has ended, Denied for one who is not asked (any more), AlreadyExists for a second answer.
    """
    if question.state is not ApprovalState.WAITING:
        raise WrongState(f"the question is {question.state.value}: {question.reason}", field="state")
    if _is_over(question, now_s):
        raise WrongState("the time to answer is over", field="state", fix="order again")
    order = rows.by_id(tx, Order, question.order_id)
    _refuse_unasked(tx, question, order, by)
    if _costs_more(tx, question, order, now_s):
        return question
    comment = naming.label(comment, field="comment", empty=True)
    vote = ApprovalVote(approval_id=question.id, approver=by.key, name=by.name, verdict=verdict, comment=comment)
    try:
        rows.insert(tx, vote, now_s)
    except AlreadyExists as error:
        raise AlreadyExists("you have answered already, and an answer stands", field="approver") from error
    rows.update(tx, question, {"votes": question.votes + 1}, now_s)
    if verdict is Verdict.DENY:
        reason = f"{by.name} denied it" + (f": {comment}" if comment else "")
        _refuse(tx, question, order, ApprovalEvent.DENY, code=DENIED, reason=reason, now_s=now_s)
        return question
    _go_on_if_met(tx, question, order, now_s, policy)
    return question


def settle_waiting(tx: Session, now_s: float, policy: RetryPolicy) -> int:
    """End what nobody answered in time, let go on what needs nothing any more, and return how many questions ended.

    At most 100 of each at a time. May be repeated at any moment.
    """
    over = approvals.overdue(tx, now_s, BATCH)
    for question in over:
        order = rows.by_id(tx, Order, question.order_id)
        reason = "not everybody who is needed approved it in time"
        _refuse(tx, question, order, ApprovalEvent.TIME_OUT, code=TIMED_OUT, reason=reason, now_s=now_s)
    gone_on = 0
    for question in approvals.unjudged(tx, now_s - JUDGED_AGAIN_S, BATCH):
        rows.update(tx, question, {"judged_at_s": now_s}, now_s)
        if _is_over(question, now_s):
            continue  # more were overdue than are ended at a time
        order = rows.by_id(tx, Order, question.order_id)
        gone_on += _go_on_if_met(tx, question, order, now_s, policy)
    return len(over) + gone_on


def _is_over(question: Approval, now_s: float) -> bool:
    return question.expires_at_s <= now_s


def _go_on_if_met(tx: Session, question: Approval, order: Order, now_s: float, policy: RetryPolicy) -> bool:
    """Begin the order if it has all that it needs; False: it waits on, perhaps for another question."""
    if _costs_more(tx, question, order, now_s):
        return False
    if not all(each.is_met for each in judging.requirements(tx, question, order)):
        return False
    # First the end, so that what it reserved is free for the order itself.
    asking.end(tx, question, order, ApprovalEvent.APPROVE, now_s, reason="")
    log.info("order approved", extra={"order": order.id, "approval": question.id})
    fall.go_on(tx, order, now_s, policy)
    return True


def _costs_more(tx: Session, question: Approval, order: Order, now_s: float) -> bool:
    """Let the order take today's price; True: that is no less than what was asked about, so it is asked about anew."""
    offer = rows.by_id(tx, Offer, order.offer_id)
    price = price_now(tx, offer.platform_id, order.size, now_s)
    if price == order.price:
        return False
    rows.update(tx, order, {"price": price}, now_s)
    if _is_covered(price, by=question.price) or not rules.met(tx, order, offer.platform_id):
        return False
    reason = "its price is another one by now: it is asked about anew"
    asking.end(tx, question, order, ApprovalEvent.SUPERSEDE, now_s, reason=reason)
    return asking.ask(tx, order, offer, now_s) is not None


def _is_covered(price: Price, *, by: Price) -> bool:
    """Return whether who agreed to the price ``by`` agreed to this one too; to an unknown one only if that was it."""
    (asked, currency), (now, currency_now) = rules.monthly(by), rules.monthly(price)
    if asked is None or now is None:
        return asked is now
    return currency == currency_now and now <= asked


def _refuse(
    tx: Session, question: Approval, order: Order, event: ApprovalEvent, *, code: str, reason: str, now_s: float
) -> None:
    asking.end(tx, question, order, event, now_s, reason=reason)
    fail(tx, order, code, reason, now_s)


def _refuse_unasked(tx: Session, question: Approval, order: Order, by: Principal) -> None:
    if not judging.is_somebody(by):
        raise Denied("a project's token is nobody in particular", fix="log in, or use a token of your account")
    asked = [each.rule for each in judging.requirements(tx, question, order)]
    if any(judging.is_asked(tx, rule, order, by) for rule in asked):
        return
    if judging.is_own(tx, order, by):
        raise Denied(
            "nobody approves an order of his own, or by a token that he issued",
            fix="another approver, one above the project for a project's token; you may cancel it",
        )
    raise Denied("you are not among those who are asked", fix=_who(tx, asked))


def _who(tx: Session, asked: Sequence[ApprovalRule]) -> str:
    words = {rules.approver_words(tx, each) for rule in asked for each in rule.approvers}
    return ", ".join(sorted(words)) or "nobody is asked any more: it goes on within a minute"
