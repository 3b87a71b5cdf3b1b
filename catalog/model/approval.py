"""Orders that others must approve: the rules that say so, the questions that were asked, and who answered what."""

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlmodel import Field

from catalog.model.ids import ApprovalId, ApprovalRuleId, OfferId, OrderId, ProjectId
from catalog.model.lifecycle import Transitions
from catalog.model.rows import Row, enum_column, json_column


class ApprovalState(StrEnum):
    """Where a question stands; all but WAITING are final."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"
    TIMED_OUT = "timed-out"
    WITHDRAWN = "withdrawn"  # its order was cancelled
    SUPERSEDED = "superseded"  # the order costs more by now, and was asked about anew


class ApprovalEvent(StrEnum):
    """What can happen to a question."""

    APPROVE = "approve"
    DENY = "deny"
    TIME_OUT = "time-out"
    WITHDRAW = "withdraw"
    SUPERSEDE = "supersede"


class Verdict(StrEnum):
    """What an approver said."""

    APPROVE = "approve"
    DENY = "deny"


_S, _E = ApprovalState, ApprovalEvent

APPROVAL_TRANSITIONS: Transitions[ApprovalState, ApprovalEvent] = {
    _S.WAITING: {
        _E.APPROVE: _S.APPROVED,
        _E.DENY: _S.DENIED,
        _E.TIME_OUT: _S.TIMED_OUT,
        _E.WITHDRAW: _S.WITHDRAWN,
        _E.SUPERSEDE: _S.SUPERSEDED,
    },
    _S.APPROVED: {},
    _S.DENIED: {},
    _S.TIMED_OUT: {},
    _S.WITHDRAWN: {},
    _S.SUPERSEDED: {},
}


class ApprovalRule(Row, table=True):
    """Which orders need how many of whom. An order meets it when all that it names holds; it may name nothing.

    ``holder_id`` is a project's or an organisation's, "" for everybody's orders. ``over`` is an exact decimal amount
    of ``currency`` a month. ``approvers`` are texts "account:ID" and "role:NAME".
    """

    __tablename__ = "approval_rule"

    id: ApprovalRuleId = Field(primary_key=True, sa_type=String)
    holder_id: str = Field(default="", index=True)
    name: str
    over: str | None = None
    currency: str | None = None
    offers: list[str] = json_column(list)
    platforms: list[str] = json_column(list)
    needed: int = 1
    approvers: list[str] = json_column(list)
    allows_own: bool = False  # whether who ordered may be one of them
    wait_s: float
    set_by_admin: bool = True


class Approval(Row, table=True):
    """A question about one order: may it be served by this offer, at this price? What it reserves meanwhile is kept.

    ``rules`` is what was met and who had approved when it ended: [{"rule", "name", "needed", "approved_by": [name]}].
    """

    __table_args__ = (
        Index("ix_approval_reserved", "project_id", "state", "vcpu", "memory_mib"),
        Index("ix_approval_waiting", "state", "expires_at_s"),
    )

    id: ApprovalId = Field(primary_key=True, sa_type=String)
    order_id: OrderId = Field(foreign_key="machine_order.id", sa_type=String, index=True)
    project_id: ProjectId = Field(foreign_key="project.id", sa_type=String)
    offer_id: OfferId = Field(foreign_key="offer.id", sa_type=String)
    state: ApprovalState = enum_column(ApprovalState, ApprovalState.WAITING)
    asked_by: str = ""
    price: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    vcpu: float | None = None
    memory_mib: int | None = None
    votes: int = 0
    expires_at_s: float
    judged_at_s: float
    ended_at_s: float | None = None
    reason: str = ""
    rules: list[dict[str, Any]] = json_column(list)


class ApprovalVote(Row, table=True):
    """What one approver said, once and for ever; ``name`` is what people called him then."""

    __tablename__ = "approval_vote"

    approval_id: ApprovalId = Field(primary_key=True, foreign_key="approval.id", sa_type=String)
    approver: str = Field(primary_key=True)  # the principal's key
    name: str
    verdict: Verdict = enum_column(Verdict)
    comment: str = ""
