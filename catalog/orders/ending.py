"""What becomes of an order whose attempt is over: it waits for its next candidate, or it ends.

There is one machine per order, so the next one is begun only once nothing is left of the one before: its destruction
is asked for at once, and the report that it is gone begins the next (``fall``). If that report does not come, the order
ends.
"""

import logging

from sqlmodel import Session

from catalog.connections import record_step
from catalog.machines import dispose
from catalog.model.machine import Machine, MachineEvent
from catalog.model.order import ORDER_TRANSITIONS, Order, OrderEvent
from catalog.model.placement import Placement
from catalog.orders import candidates
from catalog.orders.causes import FAILED_ATTEMPT, over_platforms
from catalog.store import rows

log = logging.getLogger(__name__)

NOT_HEARD_OF = "not-heard-of"


def give_up(tx: Session, order: Order, machine: Machine, *, code: str, reason: str, now_s: float) -> None:
    """Destroy what was begun as ``machine``, and let the order move on after that, or end it with ``reason``."""
    dispose(tx, machine, MachineEvent.BUILD_FAILED, now_s, reason=reason)
    move_on_or_fail(tx, order, code=code, reason=reason, now_s=now_s)


def move_on_or_fail(tx: Session, order: Order, *, code: str, reason: str, now_s: float) -> None:
    """Let the order wait for the end of its machine, which is being destroyed; without a next candidate, end it."""
    placement = rows.find(tx, Placement, order.id)
    if placement is None:
        fail(tx, order, code, reason, now_s)
        return
    told = candidates.noted(placement.candidates, placement.position, candidates.FAILED, reason)
    if not _has_next(placement):
        rows.update(tx, placement, {"candidates": told, "moving_since_s": None}, now_s)
        fail(tx, order, code, over_platforms(told, reason), now_s)
        return
    rows.update(tx, placement, {"candidates": told, "moving_since_s": now_s}, now_s)
    rows.update(tx, order, {"code": code, "reason": reason, "next_attempt_at_s": None}, now_s)
    record_step(tx, order.id, FAILED_ATTEMPT, "failed", now_s, detail=f"{code}: {reason}")


def has_next(tx: Session, order: Order) -> bool:
    """Return whether the order may go to a further candidate when the one in use fails it."""
    placement = rows.find(tx, Placement, order.id)
    return placement is not None and _has_next(placement)


def _has_next(placement: Placement) -> bool:
    return placement.position + 1 < len(placement.candidates)


def fail(tx: Session, order: Order, code: str, reason: str, now_s: float) -> None:
    """End ``order`` without a machine, with ``reason`` in the tenant's words."""
    ended = {"code": code, "reason": reason, "finished_at_s": now_s, "next_attempt_at_s": None}
    rows.move(tx, order, ORDER_TRANSITIONS, OrderEvent.FAIL, now_s, ended)
    record_step(tx, order.id, FAILED_ATTEMPT, "failed", now_s, detail=f"{code}: {reason}")
    log.warning("order failed", extra={"order": order.id, "code": code})
