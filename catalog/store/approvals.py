"""Queries on questions that wait: what they reserve, and which are due."""

from collections.abc import Collection, Sequence

from sqlalchemy import select as sql_select
from sqlmodel import Session, select

from catalog.model.approval import Approval, ApprovalState
from catalog.model.ids import ProjectId
from catalog.store.machines import Taken, sums, weighed
from catalog.store.rows import column

_STATE = column(Approval, "state")
_ID = column(Approval, "id")


def reserved(tx: Session, projects: Collection[ProjectId]) -> Taken:
    """Return what orders of these projects that wait for approval will hold when they get it."""
    of_them = column(Approval, "project_id").in_(sorted(projects))
    waiting = sql_select(*weighed(Approval)).where(of_them, _STATE == ApprovalState.WAITING)
    return sums(*tx.execute(waiting).one())


def is_any_due(tx: Session, now_s: float, judged_before_s: float) -> bool:
    """Return whether ``overdue`` or ``unjudged`` would find any: looking needs no write transaction."""
    return bool(overdue(tx, now_s, 1) or unjudged(tx, judged_before_s, 1))


def overdue(tx: Session, now_s: float, limit: int) -> Sequence[Approval]:
    """Return up to ``limit`` questions that wait and whose time is over, the most overdue first."""
    ends = column(Approval, "expires_at_s")
    waiting = select(Approval).where(_STATE == ApprovalState.WAITING, ends <= now_s)
    return tx.exec(waiting.order_by(ends, _ID).limit(limit)).all()


def unjudged(tx: Session, before_s: float, limit: int) -> Sequence[Approval]:
    """Return up to ``limit`` questions that wait and were last judged by ``before_s``, the longest ago first."""
    judged = column(Approval, "judged_at_s")
    waiting = select(Approval).where(_STATE == ApprovalState.WAITING, judged <= before_s)
    return tx.exec(waiting.order_by(judged, _ID).limit(limit)).all()
