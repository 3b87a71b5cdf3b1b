"""Begin an order where it may go on: where it was approved for, or at the next candidate.

Of its last attempt, if there was one, it is known that nothing is left: ``ending`` had it destroyed.
"""

from typing import Any

from sqlmodel import Session

from catalog.allowance import network_for
from catalog.approvals.asking import ask
from catalog.connections import record_step
from catalog.errors import BudgetExceeded, Denied, QuotaExceeded, WrongState
from catalog.model.machine import Machine, MachineState
from catalog.model.offering import Offer, OfferState
from catalog.model.order import Order, OrderState
from catalog.model.placement import Placement
from catalog.orders import candidates
from catalog.orders.admission import admitted, price_now
from catalog.orders.causes import over_platforms
from catalog.orders.ending import NOT_HEARD_OF, fail
from catalog.orders.fulfil import fulfil
from catalog.orders.policy import RetryPolicy
from catalog.store import rows

MOVED = "order.moved"  # the step of going to the next candidate, or of passing it over
_REFUSALS = (BudgetExceeded, Denied, QuotaExceeded, WrongState)


def proceed(tx: Session, machine: Machine, now_s: float, policy: RetryPolicy) -> bool:
    """Begin the next candidate of the order that waited for the end of ``machine``, which is GONE now; False: none did.

    A candidate that is not on offer any more, or does not admit it, is passed over; after the last one the order ends.
    """
    order = rows.find(tx, Order, machine.order_id) if machine.order_id else None
    placement = rows.find(tx, Placement, order.id) if order is not None else None
    if order is None or placement is None or placement.moving_since_s is None or machine.state is not MachineState.GONE:
        return False
    if order.state is not OrderState.CREATING or order.machine_id != machine.id:
        return False
    _next(tx, order, placement, now_s, policy)
    return True


def go_on(tx: Session, order: Order, now_s: float, policy: RetryPolicy) -> None:
    """Begin an order that was approved, where it was approved for; if that does not admit it, the next candidate.

    Without one the order ends with the reason.
    """
    try:
        with tx.begin_nested():
            offer = _offered(tx, order.offer_id)
            grant = admitted(tx, order, offer.platform_id, now_s)
            rows.update(tx, order, {"network": network_for(tx, grant, order.network)}, now_s)
            fulfil(tx, order, offer=offer, grant=grant, now_s=now_s, policy=policy)
    except _REFUSALS as error:
        order = rows.by_id(tx, Order, order.id)
        placement = rows.find(tx, Placement, order.id)
        if placement is None:
            fail(tx, order, error.code, str(error), now_s)
            return
        told = candidates.noted(placement.candidates, placement.position, candidates.REFUSED, str(error))
        rows.update(tx, placement, {"candidates": told}, now_s)
        rows.update(tx, order, {"code": error.code, "reason": str(error)}, now_s)
        _next(tx, order, placement, now_s, policy)


def _next(tx: Session, order: Order, placement: Placement, now_s: float, policy: RetryPolicy) -> None:
    """Begin the next candidate that takes ``order``, of which nothing is left; after the last one it ends."""
    told, code, reason = list(placement.candidates), order.code, order.reason
    for position in range(placement.position + 1, len(told)):
        try:
            with tx.begin_nested():
                _begin(tx, order, told[position], now_s, policy)
        except _REFUSALS as error:
            order = rows.by_id(tx, Order, order.id)  # as it was: what this candidate had written to it is undone
            code, reason = error.code, str(error)
            told = candidates.noted(told, position, candidates.REFUSED, reason)
            record_step(tx, order.id, MOVED, "failed", now_s, detail=f"{told[position]['platform']}: {reason}")
            continue
        told = candidates.noted(told, position, candidates.CHOSEN)
        rows.update(tx, placement, {"candidates": told, "position": position, "moving_since_s": None}, now_s)
        return
    rows.update(tx, placement, {"candidates": told, "moving_since_s": None}, now_s)
    fail(tx, order, code, over_platforms(told, reason), now_s)


def end_moving(tx: Session, order: Order, now_s: float) -> None:
    """End an order that waited in vain for the end of what was begun for it: it could become two machines."""
    placement = rows.by_id(tx, Placement, order.id)
    rows.update(tx, placement, {"moving_since_s": None}, now_s)
    fail(tx, order, NOT_HEARD_OF, f"nothing was heard of the end of its last attempt: {order.reason}", now_s)


def _begin(tx: Session, order: Order, candidate: dict[str, Any], now_s: float, policy: RetryPolicy) -> None:
    offer = _offered(tx, candidate["offer"])
    there: dict[str, Any] = {"offer_id": offer.id, "location": None, "key_pair": None, "network": None}
    there |= {name: candidate[name] for name in ("size", "image")}
    # Days may lie between the order and this: what its candidates cost then says nothing about today.
    there["price"] = price_now(tx, offer.platform_id, there["size"], now_s)
    rows.update(tx, order, {**there, "code": "", "reason": ""}, now_s)
    record_step(tx, order.id, MOVED, "done", now_s, detail=f"to {candidate['platform']}")
    grant = admitted(tx, order, offer.platform_id, now_s)
    rows.update(tx, order, {"network": network_for(tx, grant, None)}, now_s)
    if not ask(tx, order, offer, now_s):
        fulfil(tx, order, offer=offer, grant=grant, now_s=now_s, policy=policy)


def _offered(tx: Session, offer_id: str) -> Offer:
    offer = rows.find(tx, Offer, offer_id)
    if offer is None or offer.state is not OfferState.OFFERED:
        raise WrongState("the offer takes no orders any more", field="offer")
    return offer
