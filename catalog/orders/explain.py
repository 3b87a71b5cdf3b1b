"""How an order is served and what it waits for now, in its tenant's words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from catalog.approvals.asking import waiting_for as question_of
from catalog.model.machine import Machine, Pool
from catalog.model.offering import Offer
from catalog.model.order import Order, OrderState
from catalog.model.placement import Placement
from catalog.model.platform import Platform
from catalog.store import connections, rows
from catalog.store.database import Tx

# What follows the newest step of a creation.
_AFTER: Final[Mapping[str, str]] = {
    "order.dispatched": "its platform to be asked for a machine",
    "order.retried": "its platform to be asked for a machine",
    "provision.create.begin": "the cloud's answer to the creation",
    "provision.created": "the cloud to start the machine",
    "provision.running": "the machine to be handed over",
}
_ELSE: Final = "its machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What an order waits for, since when, and until when at the latest; None: not known, or without an end."""

    what: str
    since_s: float | None = None
    until_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an order is where it is: at ``platform``, chosen by its needs or named; from ``pool``, while there is one."""

    by_needs: bool
    platform: str
    pool: str | None
    waits_for: Waiting | None


def explain(tx: Tx, order: Order) -> Explanation:
    """Return why ``order`` is where it is, as things are now."""
    offer = rows.by_id(tx, Offer, order.offer_id)
    machine = rows.find(tx, Machine, order.machine_id) if order.machine_id else None
    pool = rows.find(tx, Pool, machine.pool_id) if machine is not None and machine.pool_id else None
    return Explanation(
        by_needs=rows.find(tx, Placement, order.id) is not None,
        platform=rows.by_id(tx, Platform, offer.platform_id).name,
        pool=None if pool is None else pool.name,
        waits_for=waits_for(tx, order),
    )


def waits_for(tx: Tx, order: Order) -> Waiting | None:
    """Return what ``order`` waits for; None once it has ended."""
    if order.state is OrderState.AWAITING_APPROVAL:
        question = question_of(tx, order)
        since_s, until_s = (None, None) if question is None else (question.created_at_s, question.expires_at_s)
        return Waiting(what="approval", since_s=since_s, until_s=until_s)
    if order.state is not OrderState.CREATING:
        return None if order.state is not OrderState.PLACED else Waiting(what=_ELSE, since_s=order.created_at_s)
    placement = rows.find(tx, Placement, order.id)
    if placement is not None and placement.moving_since_s is not None:
        machine = rows.by_id(tx, Machine, str(order.machine_id))
        where = rows.by_id(tx, Platform, machine.platform_id).name
        what = f"the end of what was begun at {where}; then it goes to the next candidate"
        return Waiting(what=what, since_s=placement.moving_since_s)
    if order.next_attempt_at_s is not None:
        what = f"attempt {order.attempts + 1}, because of the last: {order.reason}"
        return Waiting(what=what, since_s=order.updated_at_s, until_s=order.next_attempt_at_s)
    step = connections.newest_step(tx, order.id)
    return Waiting(what=_AFTER.get(step.step, _ELSE), since_s=step.at_s) if step else Waiting(what=_ELSE)
