"""Connections: asked for by one platform's owner, consented to by the target's, and what became of them (S1 1-8)."""

from collections.abc import Mapping, Sequence
from typing import Any

from catalog.errors import AlreadyExists, Denied, InvalidValue, WrongState
from catalog.model.connection import (
    CONNECTION_TRANSITIONS,
    AccountSession,
    Connection,
    ConnectionEvent,
    ConnectionState,
    Leg,
    RouteDecision,
    StepRecord,
)
from catalog.model.ids import ConnectionId, PlatformId, SessionId, new_id
from catalog.model.platform import Platform
from catalog.store import connections as store
from catalog.store import network, rows
from catalog.store.database import Tx

POLICY_FIELDS = (
    "direct_allowed",
    "relay_limit",
    "candidate_limit",
    "avoid",
    "require",
    "weights",
    "profile",
    "price_limit_usd_per_gb",
)
BULK = "bulk"  # the profile that looks for throughput; the other one, "interactive", looks for little delay
_DETAIL_LENGTH = 500
_UNFINISHED = store.OPEN_STATES - {ConnectionState.AWAITING_CONSENT}


def request(
    tx: Tx, *, requester: PlatformId, target: PlatformId, policy: Mapping[str, Any], now_s: float
) -> Connection:
    """Return the new connection: REQUESTED, or AWAITING_CONSENT when the target is another platform than the requester.

    Raises AlreadyExists naming an open connection of the same pair, WrongState for a disabled platform, NotFound,
    InvalidValue for a policy that contradicts itself or names what no relay is called.
    """
    for platform_id in {requester, target}:
        if not rows.by_id(tx, Platform, platform_id).enabled:
            raise WrongState(f"platform '{platform_id}' is disabled", field="target", fix="an admin enables it")
    _refuse_second(tx, requester, target)
    wishes = _sensible(policy)
    _refuse_unknown_words(tx, wishes)
    connection = Connection(
        id=ConnectionId(new_id("connection", now_s)),
        requester_id=requester,
        target_id=target,
        consented=requester == target,
        policy=wishes,
    )
    rows.insert(tx, connection, now_s)
    if requester == target:
        return connection
    return rows.move(tx, connection, CONNECTION_TRANSITIONS, ConnectionEvent.ASK_CONSENT, now_s)


def give_consent(tx: Tx, connection_id: ConnectionId, *, platform_id: str, allow: bool, now_s: float) -> Connection:
    """Record the target owner's word: ROUTING when allowed, FAILED (``denied``) when not.

    Raises Denied for any platform but the target, WrongState when nobody waits for consent.
    """
    connection = rows.by_id(tx, Connection, connection_id)
    if connection.target_id != platform_id:
        raise Denied("only the owner of the target platform can consent to a connection")
    if allow:
        changes = {"consented": True, "attempts": connection.attempts + 1}
        return rows.move(tx, connection, CONNECTION_TRANSITIONS, ConnectionEvent.CONSENT, now_s, changes)
    refused = {"code": Denied.code, "reason": "the owner of the target platform refused"}
    return rows.move(tx, connection, CONNECTION_TRANSITIONS, ConnectionEvent.REFUSE_CONSENT, now_s, refused)


def move(
    tx: Tx,
    connection_id: ConnectionId,
    event: ConnectionEvent,
    now_s: float,
    *,
    code: str = "",
    reason: str = "",
    route: str = "",
) -> Connection:
    """Take the connection along ``event``; ``code`` and ``reason`` replace what stood there.

    The route is kept from ROUTED until the tunnel is gone; sessions end with the tunnel, in this transaction.
    Nothing gets past consent: an event that would is a WrongState, as is one that its state does not allow.
    """
    connection = rows.by_id(tx, Connection, connection_id)
    if event in {ConnectionEvent.CONSENT, ConnectionEvent.REFUSE_CONSENT} or (
        event in {ConnectionEvent.BEGIN, ConnectionEvent.RETRY} and not connection.consented
    ):
        raise WrongState("the owner of the target platform has not consented", field="state", fix="give_consent")
    if connection.state is ConnectionState.FAILED and event is ConnectionEvent.RETRY:
        _refuse_second(tx, connection.requester_id, connection.target_id)
    after = CONNECTION_TRANSITIONS[connection.state].get(event)
    changes: dict[str, object] = {"code": code, "reason": reason[:_DETAIL_LENGTH]}
    changes["route"] = (route or connection.route) if after in store.ROUTED_STATES else ""
    if after is ConnectionState.ROUTING:
        changes["attempts"] = connection.attempts + 1
    if after is ConnectionState.ESTABLISHED:
        changes["attempts"] = 0
    rows.move(tx, connection, CONNECTION_TRANSITIONS, event, now_s, changes)
    if after not in store.ROUTED_STATES:
        store.end_sessions(tx, connection_id, now_s)
    return connection


def record_decision(tx: Tx, connection_id: ConnectionId, document: Mapping[str, Any], now_s: float) -> RouteDecision:
    """Keep why a route was chosen; earlier decisions stay."""
    return rows.insert(tx, RouteDecision(connection_id=connection_id, document=dict(document)), now_s)


def latest_decision(tx: Tx, connection_id: ConnectionId) -> RouteDecision | None:
    """Return the newest decision, None before the first."""
    return store.latest_decision(tx, connection_id)


def record_step(  # noqa: PLR0917 who, what, how it went, when: read as one line of a diary
    tx: Tx, subject_id: str, step: str, outcome: str, now_s: float, detail: str = ""
) -> StepRecord:
    """Keep that ``step`` of ``subject_id`` (a connection, order or machine) was begun, done, failed or undone."""
    record = StepRecord(subject_id=subject_id, step=step, outcome=outcome, detail=detail[:_DETAIL_LENGTH], at_s=now_s)
    return rows.insert(tx, record, now_s)


def steps(tx: Tx, subject_id: str) -> Sequence[StepRecord]:
    """Return the recorded steps of ``subject_id``, oldest first."""
    return rows.where(tx, StepRecord, subject_id=subject_id)


def open_sessions(
    tx: Tx,
    connection: Connection,
    *,
    gateway_account: str,
    transport_account: str,
    target_account: str,
    now_s: float,
) -> tuple[AccountSession, AccountSession, AccountSession]:
    """Return the three new sessions, gateway, transport and target, each the parent of the next; earlier ones end."""
    store.end_sessions(tx, connection.id, now_s)

    def opened(leg: Leg, account: str, parent: AccountSession | None) -> AccountSession:
        session = AccountSession(
            id=SessionId(new_id("session", now_s)),
            connection_id=connection.id,
            leg=leg,
            account=account,
            parent_id=parent.id if parent else None,
            opened_at_s=now_s,
        )
        return rows.insert(tx, session, now_s)

    gateway = opened(Leg.GATEWAY, gateway_account, None)
    transport = opened(Leg.TRANSPORT, transport_account, gateway)
    return gateway, transport, opened(Leg.TARGET, target_account, transport)


def end_sessions(tx: Tx, connection_id: ConnectionId, now_s: float) -> int:
    """End whatever sessions are open and return how many were; harmless when none is."""
    return store.end_sessions(tx, connection_id, now_s)


def sessions(tx: Tx, connection_id: ConnectionId) -> Sequence[AccountSession]:
    """Return every session the connection ever had, oldest first, ended ones included."""
    found = rows.where(tx, AccountSession, connection_id=connection_id)
    return sorted(found, key=lambda session: (session.opened_at_s, list(Leg).index(session.leg)))


def count_call(tx: Tx, connection_id: ConnectionId) -> int:
    """Count one call in all three open sessions and return how many were open."""
    return store.count_call(tx, connection_id)


def unfinished(tx: Tx) -> list[Connection]:
    """Return the connections that need somebody's work or care: all but those awaiting consent, failed or closed.

    ESTABLISHED ones are among them: their tunnels die with the process that holds them.
    """
    return list(rows.where(tx, Connection, state=_UNFINISHED))


def established_for(tx: Tx, platform_id: PlatformId) -> Connection | None:
    """Return the oldest established connection to ``platform_id``, None when there is none."""
    return rows.first(tx, Connection, target_id=platform_id, state=ConnectionState.ESTABLISHED)


def _refuse_second(tx: Tx, requester: PlatformId, target: PlatformId) -> None:
    held = store.open_between(tx, requester, target)
    if held is not None:
        raise AlreadyExists(f"connection '{held.id}' joins this pair already", field="target", fix=f"use '{held.id}'")


def _sensible(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``policy``, which could be followed: what no network could ever give is refused at once."""
    for name in policy:
        if name not in POLICY_FIELDS:
            raise InvalidValue(f"a connection's policy has no '{name}'", field="policy", fix=", ".join(POLICY_FIELDS))
    required = policy.get("require", ())
    if both := sorted(set(required) & set(policy.get("avoid", ()))):
        raise InvalidValue(f"'{both[0]}' is avoided too", field="policy.require", fix="name it once")
    if required and policy.get("relay_limit") == 0:
        fix = "allow a relay: policy.relay_limit"
        raise InvalidValue("what is required stands at relays", field="policy.require", fix=fix)
    if policy.get("price_limit_usd_per_gb") is not None and policy.get("profile") != BULK:
        fix = f"policy.profile: {BULK}; elsewhere let the weight price speak"
        raise InvalidValue(f"only {BULK} has a price limit", field="policy.price_limit_usd_per_gb", fix=fix)
    return dict(policy)


def _refuse_unknown_words(tx: Tx, policy: Mapping[str, Any]) -> None:
    """Raise InvalidValue for a word that calls no relay: misspelt, what is avoided would be gone over in silence."""
    wanted = {name: policy.get(name, ()) for name in ("avoid", "require")}
    known = network.route_words(tx) if any(wanted.values()) else frozenset()
    for name, words in wanted.items():
        if unknown := sorted(set(words) - known):
            fix = "the name of a relay, a site or a region, or a risk group of a relay, as it is declared"
            raise InvalidValue(f"no relay is called '{unknown[0]}'", field=f"policy.{name}", fix=fix)
