"""Queries for assets."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func
from sqlalchemy import select as sql_select
from sqlmodel import Session, select

from catalog.model.asset import LIVE, Asset, AssetState
from catalog.model.ids import AssetId, PlatformId, ProjectId
from catalog.store.rows import column

_STATE = column(Asset, "state")
_ID = column(Asset, "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How many there are of one kind, and their GiB together, where they have any."""

    count: int = 0
    gib: int = 0


def held_by(tx: Session, projects: Collection[ProjectId]) -> dict[str, Kept]:
    """Return what these projects hold, by kind: whatever was begun for them and may still be in a cloud."""
    kind = column(Asset, "kind")
    counted = (
        sql_select(kind, func.count(), func.coalesce(func.sum(column(Asset, "size_gib")), 0))
        .where(column(Asset, "project_id").in_(sorted(projects)), _STATE.in_(LIVE))
        .group_by(kind)
    )
    return {name: Kept(count=count, gib=int(gib)) for name, count, gib in tx.execute(counted).all()}


def count_at(tx: Session, platform: PlatformId, kind: str) -> int:
    """Return how many of ``kind`` the platform may hold for us."""
    counted = sql_select(func.count()).where(
        column(Asset, "platform_id") == platform, column(Asset, "kind") == kind, _STATE.in_(LIVE)
    )
    return int(tx.execute(counted).scalar_one())


def record_called(tx: Session, zone: AssetId, host: str, kind: str) -> Asset | None:
    """Return the record of this name and type that the zone may hold, None when there is none."""
    options = column(Asset, "options")
    called = (options["host"].as_string() == host, options["type"].as_string() == kind)
    return tx.exec(select(Asset).where(column(Asset, "parent_id") == zone, _STATE.in_(LIVE), *called)).first()


def due_for_retry(tx: Session, now_s: float, limit: int) -> Sequence[Asset]:
    """Return up to ``limit`` assets whose next attempt is due, most overdue first."""
    due_at = column(Asset, "next_attempt_at_s")
    wanted = select(Asset).where(_STATE == AssetState.CREATING, due_at <= now_s)
    return tx.exec(wanted.order_by(due_at, _ID).limit(limit)).all()


def unheard_of(tx: Session, since_s: float, limit: int) -> Sequence[Asset]:
    """Return up to ``limit`` assets asked for before ``since_s`` and never reported on, oldest first."""
    asked_at = column(Asset, "asked_at_s")
    silent = select(Asset).where(
        _STATE == AssetState.CREATING, column(Asset, "next_attempt_at_s").is_(None), asked_at <= since_s
    )
    return tx.exec(silent.order_by(asked_at, _ID).limit(limit)).all()


def ends_until(tx: Session, until_s: float, limit: int) -> Sequence[Asset]:
    """Return up to ``limit`` assets whose time after their grant's end is over by ``until_s``."""
    ends_at = column(Asset, "ends_at_s")
    return tx.exec(select(Asset).where(_STATE == AssetState.READY, ends_at <= until_s).order_by(_ID).limit(limit)).all()
