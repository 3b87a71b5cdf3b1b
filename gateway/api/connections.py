"""Connections: asked for, consented to, watched, explained, moved and closed."""

from typing import Any, Literal

from pydantic import Field

from catalog import connections, naming
from catalog.access import owns
from catalog.errors import AlreadyExists, Denied, InvalidValue, NotFound, WrongState
from catalog.model.connection import Connection, ConnectionEvent, ConnectionState
from catalog.model.ids import ConnectionId, PlatformId
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Nothing, Price, Reference, Resource, Word, stamp
from gateway.api.endpoints import Call, Listing, Routes, one_of
from gateway.api.services import Wakes
from gateway.api.weights import WeightChangesIn

routes = Routes("connections")

# A saga under way owns its row: moved from outside, it would fail by it and begin anew.
CHOOSES_BY_ITSELF = frozenset(
    {
        ConnectionState.REQUESTED,
        ConnectionState.ROUTING,
        ConnectionState.TUNNELLING,
        ConnectionState.HANDSHAKING,
        ConnectionState.ESTABLISHED,  # woken, it measures and moves by its own rules
    }
)


Profile = Literal["interactive", "bulk"]


class PolicyIn(Body):
    """What routes the connection may take; what is left out is the gateway's own policy."""

    direct_allowed: bool = True
    relay_limit: int = Field(default=2, ge=0, le=4)
    candidate_limit: int = Field(default=12, ge=1, le=64)
    avoid: list[Word] = Field(
        default_factory=list, max_length=64, description="Relays, sites, regions or risk groups to keep away from."
    )
    require: list[Word] = Field(
        default_factory=list, max_length=64, description="Likewise; each must be on the route, as one of its relays."
    )
    weights: WeightChangesIn = Field(default_factory=WeightChangesIn)
    profile: Profile = Field(default="interactive", description="`bulk`: the most throughput instead of least cost.")
    price_limit_usd_per_gb: Price | None = Field(default=None, description="For `bulk`: no route dearer than this.")


class ConnectionIn(Body):
    """A connection request."""

    target: Reference | None = Field(
        default=None, description="Name or id of a platform; absent: the requester itself."
    )
    requester: Reference | None = Field(default=None, description="For admins only: on whose behalf.")
    policy: PolicyIn = Field(default_factory=PolicyIn)


class ConnectionOut(Resource):
    """A connection; ``code`` and ``reason`` say why it is not (or not yet again) established."""

    requester: str
    requester_id: str
    target: str
    target_id: str
    state: str
    consented: bool
    route: str
    code: str
    reason: str
    attempts: int
    policy: dict[str, Any]


@routes.endpoint(
    "POST",
    "/v1/connections",
    permission="connection:write",
    body=ConnectionIn,
    answer=ConnectionOut,
    status=202,
    location="/v1/connections/{id}",
    wakes=(Wakes.CONNECTIONS,),
    errors=(AlreadyExists, InvalidValue, WrongState),
    summary="Ask for a connection; it is established in the background",
)
def request_connection(tx: Tx, call: Call[ConnectionIn]) -> ConnectionOut:
    """Return the accepted request. Where the target is another's, its owner is asked for consent first."""
    requester = _requester(tx, call)
    target = requester if call.body.target is None else naming.known(tx, Platform, call.body.target, field="target")
    policy = call.body.policy.model_dump(exclude_unset=True)
    row = connections.request(
        tx, requester=PlatformId(requester.id), target=PlatformId(target.id), policy=policy, now_s=call.now_s
    )
    return _out(tx, row)


def _requester(tx: Tx, call: Call[ConnectionIn]) -> Platform:
    named = call.body.requester
    if not call.sees_all:
        own = rows.by_id(tx, Platform, call.principal.subject_id)
        if named is not None and named not in {own.id, own.name}:
            raise InvalidValue("a platform asks for itself", field="requester", fix="leave it out")
        return own
    named = named or call.body.target
    if named is None:
        raise InvalidValue("an admin says who asks", field="requester", fix="the name or id of a platform")
    return naming.known(tx, Platform, named, field="requester")


@routes.plain(
    "GET",
    "/v1/connections",
    permission="connection:read",
    answer=ConnectionOut,
    many=True,
    filters={"state": one_of(ConnectionState, "Only connections in this state.")},
    summary="List the connections",
)
def list_connections(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of connections: a platform's own (on either side), an admin's all."""
    mine = call.principal.subject_id
    either = None if call.sees_all else {"requester_id": mine, "target_id": mine}
    found = page(tx, Connection, limit=call.limit, token=call.page_token, where=call.filters, either=either)
    return Listing(items=[_out(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "GET",
    "/v1/connections/{id}",
    permission="connection:read",
    answer=ConnectionOut,
    summary="Show or watch a connection",
)
def get_connection(tx: Tx, call: Call[Nothing]) -> ConnectionOut:
    """Return the connection."""
    return _out(tx, own_connection(tx, call))


class ConsentIn(Body):
    """The target owner's word."""

    decision: Literal["allow", "refuse"]


@routes.endpoint(
    "POST",
    "/v1/connections/{id}/consent",
    permission="connection:consent",
    body=ConsentIn,
    answer=ConnectionOut,
    status=202,
    wakes=(Wakes.CONNECTIONS,),
    errors=(WrongState,),
    summary="Allow or refuse, as the target's owner, that another platform connects",
)
def consent_to_connection(tx: Tx, call: Call[ConsentIn]) -> ConnectionOut:
    """Return the connection after the owner's word."""
    row = own_connection(tx, call)
    allow = call.body.decision == "allow"
    given = connections.give_consent(
        tx, ConnectionId(row.id), platform_id=call.principal.subject_id, allow=allow, now_s=call.now_s
    )
    return _out(tx, given)


@routes.plain(
    "POST",
    "/v1/connections/{id}/reroute",
    permission="connection:write",
    answer=ConnectionOut,
    status=202,
    wakes=(Wakes.CONNECTIONS,),
    errors=(WrongState,),
    summary="Measure and choose again now; a failed connection is tried again",
)
def reroute_connection(tx: Tx, call: Call[Nothing]) -> ConnectionOut:
    """Return the connection. An established one keeps its tunnel unless another route is clearly better.

    One that is being established is choosing already: it is left at that.
    """
    row = _requested_by_caller(tx, call)
    if row.state not in CHOOSES_BY_ITSELF:
        row = connections.move(tx, ConnectionId(row.id), ConnectionEvent.RETRY, call.now_s)
    return _out(tx, row)


@routes.plain(
    "DELETE",
    "/v1/connections/{id}",
    permission="connection:write",
    answer=ConnectionOut,
    status=202,
    wakes=(Wakes.CONNECTIONS, Wakes.PASSAGES),
    errors=(WrongState,),
    summary="Close a connection, as either side's owner; its tunnel is taken down in the background",
)
def close_connection(tx: Tx, call: Call[Nothing]) -> ConnectionOut:
    """Return the closed connection. The target's owner may take consent back at any time."""
    row = own_connection(tx, call)
    call.precondition.check(row)
    return _out(tx, connections.move(tx, ConnectionId(row.id), ConnectionEvent.CLOSE, call.now_s))


def own_connection(tx: Tx, call: Call[Any]) -> Connection:
    """Return the connection of the path. Raises NotFound also for one that the caller has no part in."""
    row = rows.find(tx, Connection, call.path["id"])
    if row is None or not owns(call.principal, row.requester_id, row.target_id):
        raise NotFound(f"there is no connection '{call.path['id']}'")
    return row


def _requested_by_caller(tx: Tx, call: Call[Any]) -> Connection:
    row = own_connection(tx, call)
    if not owns(call.principal, row.requester_id):
        raise Denied("only who asked for the connection can do this", fix="as its target, close it instead")
    return row


def _out(tx: Tx, row: Connection) -> ConnectionOut:
    return ConnectionOut(
        **stamp(row),
        requester=rows.by_id(tx, Platform, row.requester_id).name,
        requester_id=row.requester_id,
        target=rows.by_id(tx, Platform, row.target_id).name,
        target_id=row.target_id,
        state=row.state.value,
        consented=row.consented,
        route=row.route,
        code=row.code,
        reason=row.reason,
        attempts=row.attempts,
        policy=row.policy,
    )
