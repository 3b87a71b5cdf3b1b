"""How an order went: its steps, why it is where it is, and what it waits for."""

from typing import Literal

from pydantic import Field

from catalog.connections import steps
from catalog.model.machine import Machine, Pool
from catalog.model.offering import Offer
from catalog.model.placement import Placement
from catalog.model.platform import Platform
from catalog.orders.by_needs import placement_of
from catalog.orders.waiting import waits_for
from catalog.store import rows
from catalog.store.database import Tx
from gateway.api.bodies import Nothing, Out, Time
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.needs import PlacementOut, placement_out
from gateway.api.orders import own_order
from gateway.api.trace import StepOut, step_out

routes = Routes("orders")


class WaitingOut(Out):
    """What an order waits for now."""

    what: str
    since: Time | None
    until: Time | None = Field(description="When it is over at the latest; null: not known.")


class ExplanationOut(Out):
    """Why an order is where it is."""

    order: str
    state: str
    chosen_by: Literal["needs", "name"] = Field(description="Its needs (see its placement), or its offer was named.")
    platform: str
    served_from: str = Field(description="`pool` or `cold` once it is known.")
    pool: str | None = Field(description="The pool that served it, while there is one.")
    waits_for: WaitingOut | None = Field(description="null once it has ended.")
    reason: str


@routes.plain(
    "GET",
    "/v1/orders/{id}/steps",
    permission="order:read",
    answer=StepOut,
    many=True,
    summary="Show how an order went so far",
)
def list_order_steps(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return every step on one page."""
    return Listing(items=[step_out(step) for step in steps(tx, own_order(tx, call).id)])


@routes.plain(
    "GET",
    "/v1/orders/{id}/placement",
    permission="order:read",
    answer=PlacementOut,
    summary="Show why an order by needs went where it did, and where else it may go",
)
def get_placement(tx: Tx, call: Call[Nothing]) -> PlacementOut:
    """Return the choice and the runners-up as they were judged; an order that named its offer has none."""
    return placement_out(placement_of(tx, own_order(tx, call)))


@routes.plain(
    "GET",
    "/v1/orders/{id}/explanation",
    permission="order:read",
    answer=ExplanationOut,
    summary="Show how an order is served, and what it waits for",
)
def get_explanation(tx: Tx, call: Call[Nothing]) -> ExplanationOut:
    """Return it for any order, as things are now."""
    order = own_order(tx, call)
    offer = rows.by_id(tx, Offer, order.offer_id)
    machine = rows.find(tx, Machine, order.machine_id) if order.machine_id else None
    pool = rows.find(tx, Pool, machine.pool_id) if machine is not None and machine.pool_id else None
    waiting = waits_for(tx, order)
    return ExplanationOut(
        order=order.id,
        state=order.state.value,
        chosen_by="name" if rows.find(tx, Placement, order.id) is None else "needs",
        platform=rows.by_id(tx, Platform, offer.platform_id).name,
        served_from=order.served_from,
        pool=None if pool is None else pool.name,
        waits_for=None
        if waiting is None
        else WaitingOut(what=waiting.what, since=waiting.since_s, until=waiting.until_s),
        reason=order.reason,
    )
