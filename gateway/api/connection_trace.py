"""What became of a connection and why: the route decision, the account sessions, the steps."""

from typing import Any

from pydantic import Field

from catalog import connections
from catalog.access import owns
from catalog.model.connection import AccountSession, Leg
from catalog.model.ids import ConnectionId
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Nothing, Out, Time
from gateway.api.connections import own_connection
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.trace import StepOut, steps_page

routes = Routes("connections")


class RoutesOut(Out):
    """Why this route: every candidate with its measurements and terms, the weights, the winner and the margin."""

    connection: str
    decided_at: Time | None = Field(description="null before the first decision, and the rest is empty.")
    winner: str | None
    margin_ms: float | None = Field(description="By how much it won; null when there is no other usable route.")
    weights: dict[str, float]
    candidates: list[dict[str, Any]]
    refused: list[dict[str, Any]] = Field(description="Routes that were tried and could not be built: code and reason.")
    probe_methods: list[str]


@routes.plain(
    "GET",
    "/v1/connections/{id}/routes",
    permission="connection:read",
    answer=RoutesOut,
    summary="Show the latest route decision with everything it was based on",
)
def get_routes(tx: Tx, call: Call[Nothing]) -> RoutesOut:
    """Return the latest decision."""
    row = own_connection(tx, call)
    decision = connections.latest_decision(tx, ConnectionId(row.id))
    told = decision.document if decision else {}
    return RoutesOut(
        connection=row.id,
        decided_at=decision.created_at_s if decision else None,
        winner=told.get("winner"),
        margin_ms=told.get("margin_ms"),
        weights=told.get("weights", {}),
        candidates=told.get("candidates", []),
        refused=told.get("refused", []),
        probe_methods=told.get("probe_methods", []),
    )


class SessionOut(Out):
    """One of the three linked account sessions of a connection."""

    id: str
    leg: str
    account: str = Field(description="Empty for the target's account when it is not the reader's own.")
    parent_id: str | None
    calls: int
    opened_at: Time
    ended_at: Time | None


@routes.plain(
    "GET",
    "/v1/connections/{id}/sessions",
    permission="connection:read",
    answer=SessionOut,
    many=True,
    summary="Show the account sessions: with the gateway, the transport network and the target",
)
def list_sessions(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of sessions, oldest first."""
    row = own_connection(tx, call)
    sees_target = owns(call.principal, row.target_id)
    found = page(tx, AccountSession, limit=call.limit, token=call.page_token, where={"connection_id": row.id})
    # Ids go by the millisecond; the three of one opening, which share it, belong in the order of their links.
    ordered = sorted(found.items, key=lambda each: (each.opened_at_s, list(Leg).index(each.leg)))
    items = [_session(each, show_account=sees_target or each.leg is not Leg.TARGET) for each in ordered]
    return Listing(items=items, next_token=found.next_token)


@routes.plain(
    "GET",
    "/v1/connections/{id}/steps",
    permission="connection:read",
    answer=StepOut,
    many=True,
    summary="Show how establishing went so far",
)
def list_connection_steps(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of steps, oldest first."""
    return steps_page(tx, call, own_connection(tx, call).id)


def _session(row: AccountSession, *, show_account: bool) -> SessionOut:
    return SessionOut(
        id=row.id,
        leg=row.leg.value,
        account=row.account if show_account else "",
        parent_id=row.parent_id,
        calls=row.calls,
        opened_at=row.opened_at_s,
        ended_at=row.ended_at_s,
    )
