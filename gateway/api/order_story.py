"""How an order went: its steps, why it is where it is, and what it waits for."""

from typing import Literal

from pydantic import Field

from catalog.connections import steps
from catalog.orders.by_needs import placement_of
from catalog.orders.explain import Waiting, explain
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
    told = explain(tx, order)
    waiting = told.waits_for
    return ExplanationOut(
        order=order.id,
        state=order.state.value,
        chosen_by="needs" if told.by_needs else "name",
        platform=told.platform,
        served_from=order.served_from,
        pool=told.pool,
        waits_for=None if waiting is None else _waiting_out(waiting),
        reason=order.reason,
    )


def _waiting_out(waiting: Waiting) -> WaitingOut:
    return WaitingOut(what=waiting.what, since=waiting.since_s, until=waiting.until_s)
