"""Grants, their terms over time, and standing rules: what the owner granted and the gateway accepted (S1 10-12)."""

from enum import StrEnum

from sqlalchemy import BigInteger, String, UniqueConstraint
from sqlmodel import Field

from catalog.model.ids import AnswerLinkId, ConnectionId, GrantId, PlatformId, TokenId
from catalog.model.lifecycle import Transitions
from catalog.model.rows import Row, enum_column, json_column


class GrantState(StrEnum):
    """Where a grant stands; only ACCEPTED ones become offers."""

    PROPOSED = "proposed"  # found to be there; nobody has asked the owner for it yet
    REQUESTED = "requested"
    GRANTED = "granted"
    DENIED = "denied"
    ACCEPTED = "accepted"
    SUSPENDED = "suspended"  # accepted, and held back by a side that may let it go on
    REFUSED = "refused"
    REVOKED = "revoked"
    EXPIRED = "expired"


class GrantEvent(StrEnum):
    """What the owner, an admin or time can do to a grant."""

    GRANT = "grant"
    DENY = "deny"
    ACCEPT = "accept"
    REFUSE = "refuse"
    SUSPEND = "suspend"
    RESUME = "resume"
    REVOKE = "revoke"
    EXPIRE = "expire"
    ASK_AGAIN = "ask-again"


_S, _E = GrantState, GrantEvent

GRANT_TRANSITIONS: Transitions[GrantState, GrantEvent] = {
    _S.PROPOSED: {_E.ASK_AGAIN: _S.REQUESTED, _E.REFUSE: _S.REFUSED},
    _S.REQUESTED: {_E.GRANT: _S.GRANTED, _E.DENY: _S.DENIED, _E.ASK_AGAIN: _S.REQUESTED},
    _S.GRANTED: {
        _E.ACCEPT: _S.ACCEPTED,
        _E.REFUSE: _S.REFUSED,
        _E.REVOKE: _S.REVOKED,
        _E.EXPIRE: _S.EXPIRED,
    },
    _S.ACCEPTED: {_E.SUSPEND: _S.SUSPENDED, _E.REVOKE: _S.REVOKED, _E.EXPIRE: _S.EXPIRED},
    # Each side holds a grant back for itself, so a second one may join before the first lets go.
    _S.SUSPENDED: {
        _E.SUSPEND: _S.SUSPENDED,
        _E.RESUME: _S.ACCEPTED,
        _E.REVOKE: _S.REVOKED,
        _E.EXPIRE: _S.EXPIRED,
    },
    # Asking again is a new decision of the owner; what was once granted never comes back by itself.
    _S.DENIED: {_E.ASK_AGAIN: _S.REQUESTED},
    _S.REFUSED: {_E.ASK_AGAIN: _S.REQUESTED},
    _S.REVOKED: {_E.ASK_AGAIN: _S.REQUESTED},
    _S.EXPIRED: {_E.ASK_AGAIN: _S.REQUESTED},
}


class Side(StrEnum):
    """The two sides of a grant."""

    PLATFORM = "platform"
    GATEWAY = "gateway"


class Grant(Row, table=True):
    """One capability of one platform, and the terms of it: see ``catalog.model.terms``."""

    # "grant" is an SQL keyword
    __tablename__ = "capability_grant"
    __table_args__ = (UniqueConstraint("platform_id", "capability"),)

    id: GrantId = Field(primary_key=True, sa_type=String)
    platform_id: PlatformId = Field(foreign_key="platform.id", sa_type=String, index=True)
    connection_id: ConnectionId = Field(foreign_key="connection.id", sa_type=String)
    request_id: str
    capability: str
    verbs: list[str] = json_column(list)
    quota: int | None = None
    expires_at_s: float | None = None
    destinations: list[str] = json_column(list)  # where may be forwarded to, see catalog.destinations
    scope: dict[str, list[str]] = json_column()  # a kind of ``catalog.model.terms.Scope``: its patterns; absent = any
    cores: int | None = None
    memory_gib: int | None = None
    calls_per_minute: int | None = None
    on_end: str | None = None  # an EndRule
    wind_down_s: float | None = None
    state: GrantState = enum_column(GrantState, GrantState.REQUESTED, index=True)
    suspended_by: list[str] = json_column(list)  # the sides that hold it back; none unless SUSPENDED
    evidence: str = ""  # the owner's signed answer as it came
    serial: int = Field(default=0, sa_type=BigInteger)  # of the newest answer that granted it, 0 = not numbered
    # Grows whenever the grant ends or is held back: work that was begun under a smaller one is refused.
    epoch: int = 0
    # Until when what is left of it may be read and destroyed, once it has ended; None: for as long as there is any.
    wind_down_until_s: float | None = None
    # [{"request", "allowed", "detail", "at_s"}], newest last: what the account could really do
    proofs: list[dict[str, object]] = json_column(list)


class GrantTerms(Row, table=True):
    """One version of a grant's terms as the owner signed them; superseded by the next, or when the grant ends."""

    __tablename__ = "grant_terms"
    __table_args__ = (UniqueConstraint("grant_id", "number"),)

    id: int | None = Field(default=None, primary_key=True)
    grant_id: GrantId = Field(foreign_key="capability_grant.id", sa_type=String, index=True)
    number: int  # 1, 2, 3, … in the order they came
    terms: dict[str, object] = json_column()
    evidence: str = ""
    given_at_s: float
    superseded_at_s: float | None = None
    reason: str = ""  # why they are not in force any more


class GrantLook(Row, table=True):
    """That what an ended grant left behind was looked at, and in which epoch of the grant that was last noted."""

    __tablename__ = "grant_look"

    grant_id: GrantId = Field(foreign_key="capability_grant.id", sa_type=String, primary_key=True)
    machine: str = Field(primary_key=True)  # as it was asked for: by our id, or by its cloud's
    epoch: int


class AnswerLink(Row, table=True):
    """A link by which the owner answers for one grant, once, while the grant is as it was: see ``answer_links``."""

    __tablename__ = "answer_link"

    id: AnswerLinkId = Field(primary_key=True, sa_type=String)
    digest: str = Field(unique=True)
    grant_id: GrantId = Field(foreign_key="capability_grant.id", sa_type=String, index=True)
    request_id: str
    state: str  # a GrantState
    epoch: int
    made_by: TokenId = Field(sa_type=String)
    expires_at_s: float
    used_at_s: float | None = None


class GrantRule(Row, table=True):
    """A standing rule: what is granted by ``platform`` ("*" = any) for ``capability`` ("*" = any) is accepted."""

    __tablename__ = "grant_rule"
    __table_args__ = (UniqueConstraint("platform", "capability"),)

    id: int | None = Field(default=None, primary_key=True)
    platform: str
    capability: str
