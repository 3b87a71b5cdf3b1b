"""Why a connection goes the way it goes: the latest route decision, those before it, what other weights would do."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from catalog import connections
from catalog.errors import InvalidValue, WrongState
from catalog.model.connection import Connection, RouteDecision
from catalog.model.ids import ConnectionId
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Nothing, Out, Time, absent
from gateway.api.connections import Profile, own_connection
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.weights import WeightChangesIn

routes = Routes("connections")


class StandbyOut(Out):
    """The second route, which shares no relay and no declared fate with the one in use."""

    route: str | None = Field(description="null: there is none, and `because` says why.")
    cost_ms: float | None
    extra_ms: float | None = Field(description="What it costs more than the route in use.")
    because: str


class RoutesOut(Out):
    """Why this route: every candidate with its measurements and terms, the weights, the winner and the margin."""

    connection: str
    decided_at: Time | None = Field(description="null before the first decision, and the rest is empty.")
    winner: str | None
    reason: str = Field(description="Why this one: `first`, `kept`, `moved`, `escaped-dead` and the like.")
    before: str = Field(description="The route in use before; empty when there was none.")
    margin_ms: float | None = Field(description="By how much it won; null when there is no other usable route.")
    standby: StandbyOut | None
    profile: str
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
    return _routes(row, decision, decision.document if decision else {})


class WhatIfIn(Body):
    """Other weights, other profile; what is left out stays as it was when the decision was made."""

    weights: WeightChangesIn = Field(default_factory=WeightChangesIn)
    profile: Profile = absent()


@routes.endpoint(
    "POST",
    "/v1/connections/{id}/what-if",
    permission="connection:read",
    body=WhatIfIn,
    answer=RoutesOut,
    errors=(InvalidValue, WrongState),
    summary="Rank the measurements of the latest decision again, by other weights; changes nothing",
)
def ask_what_if(tx: Tx, call: Call[WhatIfIn]) -> RoutesOut:
    """Return the decision as it would have been."""
    row = own_connection(tx, call)
    decision = connections.latest_decision(tx, ConnectionId(row.id))
    if decision is None:
        raise WrongState("no route was decided yet", field="id", fix="wait until it has a route, then ask again")
    if "profile" not in decision.document:
        # An older release wrote it, without all that a ranking needs.
        raise WrongState("the latest decision cannot be ranked again", field="id", fix="ask for a reroute, then again")
    changes = call.body.weights.model_dump(exclude_unset=True)
    told = call.services.what_if(decision.document, changes, profile=call.body.profile)
    # A standby stands by for the route that was chosen, not for one that might have been.
    same = told.get("winner") == decision.document.get("winner")
    return _routes(row, decision, told if same else {**told, "standby": None})


class DecisionOut(Out):
    """One decision in short; see `/routes` for what the latest was based on."""

    decided_at: Time
    winner: str | None
    reason: str
    before: str
    margin_ms: float | None
    cost_ms: float | None = Field(description="What the winner cost then.")
    standby: StandbyOut | None


@routes.plain(
    "GET",
    "/v1/connections/{id}/decisions",
    permission="connection:read",
    answer=DecisionOut,
    many=True,
    summary="Show the route decisions, newest first",
)
def list_decisions(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of decisions."""
    mine = {"connection_id": own_connection(tx, call).id}
    found = page(tx, RouteDecision, limit=call.limit, token=call.page_token, where=mine, newest_first=True)
    return Listing(items=[_decision(each) for each in found.items], next_token=found.next_token)


def _routes(row: Connection, decision: RouteDecision | None, told: Mapping[str, Any]) -> RoutesOut:
    return RoutesOut(
        connection=row.id,
        decided_at=decision.created_at_s if decision else None,
        winner=told.get("winner"),
        reason=told.get("reason", ""),
        before=told.get("before", ""),
        margin_ms=told.get("margin_ms"),
        standby=_standby(told.get("standby")),
        profile=told.get("profile", "interactive"),
        weights=told.get("weights", {}),
        candidates=told.get("candidates", []),
        refused=told.get("refused", []),
        probe_methods=told.get("probe_methods", []),
    )


def _decision(row: RouteDecision) -> DecisionOut:
    told = row.document
    costs = {each["route"]: each["cost_ms"] for each in told.get("candidates", [])}
    return DecisionOut(
        decided_at=row.created_at_s,
        winner=told.get("winner"),
        reason=told.get("reason", ""),
        before=told.get("before", ""),
        margin_ms=told.get("margin_ms"),
        cost_ms=costs.get(told.get("winner")),
        standby=_standby(told.get("standby")),
    )


def _standby(told: Mapping[str, Any] | None) -> StandbyOut | None:
    if told is None:
        return None
    return StandbyOut(
        route=told.get("route"),
        cost_ms=told.get("cost_ms"),
        extra_ms=told.get("extra_ms"),
        because=told.get("because", ""),
    )
