"""A connection: one requester reaching one target platform over a chosen route (S1 steps 1-8)."""

from enum import StrEnum
from typing import Any

from sqlalchemy import String
from sqlmodel import Field

from catalog.model.ids import ConnectionId, PlatformId, SessionId
from catalog.model.lifecycle import Transitions
from catalog.model.rows import Row, enum_column, json_column


class ConnectionState(StrEnum):
    """Where a connection request stands."""

    REQUESTED = "requested"
    AWAITING_CONSENT = "awaiting-consent"
    ROUTING = "routing"
    TUNNELLING = "tunnelling"
    HANDSHAKING = "handshaking"
    ESTABLISHED = "established"
    LOST = "lost"
    FAILED = "failed"
    CLOSED = "closed"


class ConnectionEvent(StrEnum):
    """What can happen to a connection."""

    ASK_CONSENT = "ask-consent"
    BEGIN = "begin"
    CONSENT = "consent"
    REFUSE_CONSENT = "refuse-consent"
    ROUTED = "routed"
    TUNNELLED = "tunnelled"
    ESTABLISH = "establish"
    LOSE = "lose"
    FAIL = "fail"
    RETRY = "retry"
    CLOSE = "close"


_S, _E = ConnectionState, ConnectionEvent

CONNECTION_TRANSITIONS: Transitions[ConnectionState, ConnectionEvent] = {
    _S.REQUESTED: {
        _E.ASK_CONSENT: _S.AWAITING_CONSENT,
        _E.BEGIN: _S.ROUTING,
        _E.FAIL: _S.FAILED,
        _E.CLOSE: _S.CLOSED,
    },
    _S.AWAITING_CONSENT: {
        _E.CONSENT: _S.ROUTING,
        _E.REFUSE_CONSENT: _S.FAILED,
        _E.CLOSE: _S.CLOSED,
    },
    # A restart finds work in the middle: what was half built died with the process, so it begins again.
    _S.ROUTING: {_E.ROUTED: _S.TUNNELLING, _E.RETRY: _S.ROUTING, _E.FAIL: _S.FAILED, _E.CLOSE: _S.CLOSED},
    _S.TUNNELLING: {
        _E.TUNNELLED: _S.HANDSHAKING,
        _E.RETRY: _S.ROUTING,
        _E.FAIL: _S.FAILED,
        _E.CLOSE: _S.CLOSED,
    },
    _S.HANDSHAKING: {
        _E.ESTABLISH: _S.ESTABLISHED,
        _E.RETRY: _S.ROUTING,
        _E.FAIL: _S.FAILED,
        _E.CLOSE: _S.CLOSED,
    },
    _S.ESTABLISHED: {_E.LOSE: _S.LOST, _E.CLOSE: _S.CLOSED},
    _S.LOST: {_E.RETRY: _S.ROUTING, _E.FAIL: _S.FAILED, _E.CLOSE: _S.CLOSED},
    _S.FAILED: {_E.RETRY: _S.ROUTING, _E.CLOSE: _S.CLOSED},
    _S.CLOSED: {},
}


class Connection(Row, table=True):
    """A communication connection. ``requester_id`` equals ``target_id`` when a platform asks for itself."""

    id: ConnectionId = Field(primary_key=True, sa_type=String)
    requester_id: PlatformId = Field(foreign_key="platform.id", sa_type=String, index=True)
    target_id: PlatformId = Field(foreign_key="platform.id", sa_type=String, index=True)
    state: ConnectionState = enum_column(ConnectionState, ConnectionState.REQUESTED, index=True)
    consented: bool = False
    code: str = ""  # the error code of the last failure, empty when all is well
    reason: str = ""  # in words, with no secrets
    route: str = ""  # the id of the route in use, such as "fra-1>sin-1"
    # what the requester asked for: {"direct_allowed", "relay_limit", "candidate_limit", "avoid", "require", "weights",
    #  "profile", "price_limit_usd_per_gb"}, each only if it was named
    policy: dict[str, Any] = json_column()
    attempts: int = 0


class RouteDecision(Row, table=True):
    """Why a route was chosen: every candidate, measurement, term and weight, as they were (never changed)."""

    __tablename__ = "route_decision"

    id: int | None = Field(default=None, primary_key=True)
    connection_id: ConnectionId = Field(foreign_key="connection.id", sa_type=String, index=True)
    # {"weights", "candidates": [{"route", "hops", "links", "terms", "cost_ms", "preference", ...}], "winner",
    #  "margin_ms", "probe_methods", "refused": [{"route", "code", "reason"}]}; since 0003 also "profile", "reason",
    #  "before" and "standby": {"route", "cost_ms", "extra_ms"} or {"route": None, "because"}
    document: dict[str, Any] = json_column()


class Leg(StrEnum):
    """Which of S1's three sessions: account with the gateway, with the transport network, with the target."""

    GATEWAY = "gateway"
    TRANSPORT = "transport"
    TARGET = "target"


class AccountSession(Row, table=True):
    """One of the three sessions of a connection; ``parent_id`` links it to the one before it (S1 step 8)."""

    __tablename__ = "account_session"

    id: SessionId = Field(primary_key=True, sa_type=String)
    connection_id: ConnectionId = Field(foreign_key="connection.id", sa_type=String, index=True)
    leg: Leg = enum_column(Leg)
    account: str
    parent_id: SessionId | None = Field(default=None, sa_type=String)
    calls: int = 0
    opened_at_s: float
    ended_at_s: float | None = None


class StepRecord(Row, table=True):
    """One step of a saga as it passed: what a crash leaves behind, and what a watcher sees."""

    __tablename__ = "step_record"

    id: int | None = Field(default=None, primary_key=True)
    subject_id: str = Field(index=True)  # the connection, order or machine
    step: str
    outcome: str  # "begun", "done", "failed", "undone"
    detail: str = ""
    at_s: float
