"""Orders: a tenant asks for a machine and watches it come. Other projects' orders do not exist for it."""

from typing import Any

from pydantic import Field

from catalog import tenancy
from catalog.errors import BudgetExceeded, InvalidValue, NotFound, QuotaExceeded, WrongState
from catalog.model.ids import OrderId
from catalog.model.order import Order, OrderState
from catalog.orders.by_needs import candidates_for, place_by_needs
from catalog.orders.place import place
from catalog.orders.retry import cancel
from catalog.store import connections, scoped
from catalog.store.database import Tx
from gateway.api.bodies import Body, Composite, Lifetime, Name, Nothing, ProjectReference, Reference, Time, Word, stamp
from gateway.api.endpoints import Call, Listing, Routes, one_of
from gateway.api.needs import NeedsIn
from gateway.api.prices import KeptPriceOut, kept_price_out
from gateway.api.services import Wakes

routes = Routes("orders")


class OrderIn(Body):
    """One machine, please: of this offer, size and image, or whatever fits these needs best."""

    offer: Reference | None = Field(
        default=None, description="An offer's id, or the name of a platform that offers machines."
    )
    size: Word | None = Field(default=None, description="Id or name of one of the offer's sizes.")
    image: Word | None = Field(default=None, description="Id or name of one of the offer's images.")
    needs: NeedsIn | None = Field(default=None, description="Instead of offer, size and image: the best that fits.")
    location: Word | None = Field(
        default=None, description="Id or name of one of the platform's locations; else the cloud chooses."
    )
    key_pair: Word | None = Field(
        default=None, description="Id or name of one of the platform's key pairs, to log in with; else none."
    )
    network: Word | None = Field(
        default=None,
        description="Id or name of one of the platform's networks; else the only one granted, or the cloud's choice.",
    )
    lease_s: Lifetime | None = Field(
        default=None,
        description="How long the machine is lent, from its delivery on; else as the rules say.",
    )
    name: Name | None = Field(default=None, description="What the machine shall be called; else the order's id.")
    project: ProjectReference | None = Field(default=None, description="Needed by who works in several.")


class OrderOut(Composite):
    """An order; it ends fulfilled, failed (with code and reason) or cancelled, and may wait for approval before."""

    project: str
    offer: str
    name: str
    size: str
    image: str
    location: str | None
    key_pair: str | None
    network: str | None
    state: str
    machine: str | None
    served_from: str = Field(description="`pool` or `cold` once it is known.")
    step: str = Field(description="While it is created, the newest of its steps.")
    lease_s: float | None = Field(description="How long the machine is lent; null: without an end.")
    attempts: int
    code: str
    reason: str
    price: KeptPriceOut | None = Field(description="What its size cost when it was ordered or approved; null: unknown.")
    ordered_by: str = Field(description="`account:ID`, or what the token was for; empty: nobody knows any more.")
    next_attempt_at: Time | None
    finished_at: Time | None


def _candidates(tx: Tx, call: Call[OrderIn]) -> list[dict[str, Any]] | None:
    """Return where the order's needs are met, best first; None for an order that names its offer."""
    wanted = call.body
    if wanted.needs is None:
        return None
    for field in ("offer", "size", "image", "location", "key_pair", "network"):
        if getattr(wanted, field) is not None:
            raise InvalidValue("an order by needs leaves this to the choice", field=field, fix="leave it out, or needs")
    return candidates_for(
        tx,
        project_id=tenancy.working_project(tx, call.principal, call.permission, wanted.project),
        needs=wanted.needs.told(),
        index=call.services.search,
        now_s=call.now_s,
    )


@routes.endpoint(
    "POST",
    "/v1/orders",
    permission="order:write",
    body=OrderIn,
    answer=OrderOut,
    status=202,
    location="/v1/orders/{id}",
    wakes=(Wakes.DISPATCH, Wakes.POOLS),
    errors=(InvalidValue, BudgetExceeded, QuotaExceeded, WrongState, NotFound),
    first=_candidates,
    summary="Order a machine",
)
def place_order(tx: Tx, call: Call[OrderIn]) -> OrderOut:
    """Return the accepted order; it may already be fulfilled, from a pool, or wait for approval."""
    wanted = call.body
    if wanted.needs is not None:
        return _out(tx, _place_needed(tx, call, wanted.needs))
    order = place(
        tx,
        project_id=tenancy.working_project(tx, call.principal, call.permission, wanted.project),
        offer=_named("offer", wanted.offer),
        size=_named("size", wanted.size),
        image=_named("image", wanted.image),
        name=wanted.name,
        location=wanted.location,
        key_pair=wanted.key_pair,
        network=wanted.network,
        lease_s=wanted.lease_s,
        by=call.principal.key,
        proof=call.principal.token_id,
        now_s=call.now_s,
        policy=call.services.retry_policy,
        checkpoint=call.services.checkpoint,
    )
    return _out(tx, order)


@routes.plain(
    "GET",
    "/v1/orders",
    permission="order:read",
    answer=OrderOut,
    many=True,
    filters={"state": one_of(OrderState, "Only orders in this state."), "project": "Only this project's."},
    summary="List the orders",
)
def list_orders(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of orders: a project's own, an admin's all."""
    found = scoped.page(tx, call.scope, Order, limit=call.limit, token=call.page_token, where=_wanted(tx, call))
    return Listing(items=[_out(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/orders/{id}", permission="order:read", answer=OrderOut, summary="Show or watch an order")
def get_order(tx: Tx, call: Call[Nothing]) -> OrderOut:
    """Return the order."""
    return _out(tx, own_order(tx, call))


@routes.plain(
    "POST",
    "/v1/orders/{id}/cancel",
    permission="order:cancel",
    answer=OrderOut,
    status=202,
    wakes=(Wakes.DISPATCH, Wakes.POOLS),
    errors=(WrongState,),
    summary="Cancel an order that has no machine yet",
)
def cancel_order(tx: Tx, call: Call[Nothing]) -> OrderOut:
    """Return the cancelled order; what was begun for it is destroyed."""
    order = own_order(tx, call)
    return _out(tx, cancel(tx, OrderId(order.id), call.now_s, checkpoint=call.services.checkpoint))


def _place_needed(tx: Tx, call: Call[OrderIn], needs: NeedsIn) -> Order:
    """Return the order placed where its needs are met best."""
    wanted = call.body
    return place_by_needs(
        tx,
        project_id=tenancy.working_project(tx, call.principal, call.permission, wanted.project),
        needs=needs.told(),
        found=call.found,
        name=wanted.name,
        lease_s=wanted.lease_s,
        by=call.principal.key,
        proof=call.principal.token_id,
        now_s=call.now_s,
        policy=call.services.retry_policy,
        checkpoint=call.services.checkpoint,
    )


def _named(field: str, value: str | None) -> str:
    if value is None:
        raise InvalidValue("an order names offer, size and image, or needs", field=field, fix=f"give {field}, or needs")
    return value


def own_order(tx: Tx, call: Call[Nothing]) -> Order:
    """Return the order that the path names, if the caller may do this to it."""
    return scoped.find(tx, call.scope, Order, call.path["id"])


def _wanted(tx: Tx, call: Call[Nothing]) -> dict[str, object]:
    wanted: dict[str, object] = dict(call.filters)
    if "project" in call.filters:
        wanted["project_id"] = tenancy.visible_project(tx, call.scope, str(wanted.pop("project"))).id
    return wanted


def _out(tx: Tx, row: Order) -> OrderOut:
    step = connections.newest_step(tx, row.id) if row.state is OrderState.CREATING else None
    return OrderOut(
        **stamp(row),
        project=row.project_id,
        offer=row.offer_id,
        name=row.name,
        size=row.size,
        image=row.image,
        location=row.location,
        key_pair=row.key_pair,
        network=row.network,
        state=row.state.value,
        machine=row.machine_id,
        served_from=row.served_from,
        step="" if step is None else step.step,
        lease_s=row.lease_s,
        attempts=row.attempts,
        code=row.code,
        reason=row.reason,
        price=None if row.price is None else kept_price_out(row.price),
        ordered_by=row.ordered_by,
        next_attempt_at=row.next_attempt_at_s,
        finished_at=row.finished_at_s,
    )
