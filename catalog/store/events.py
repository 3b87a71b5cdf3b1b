"""The event log in the database: append in the transaction of the change, read in order, forget the old end."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, insert, or_, update
from sqlmodel import Session, col, delete, select

from catalog.model.event import Event, LogHead
from catalog.model.rows import Row
from catalog.store.telling import Telling, telling

HEAD: Final = "events"
TOLD: Final = "told"  # in Session.info: this transaction holds events, so that its commit is news


def tell(tx: Session, row: Row, before: Telling | None, now_s: float, *, moved_by: str = "") -> None:
    """Append what happened to ``row``, which was told as ``before`` (None: it is new); silent for what is not told.

    A new standing gives the event its name, other facts alone ``.changed``; no difference at all is no event, unless
    an event of its transition table (``moved_by``) led back to where it stood.
    """
    now = telling(row)
    if now is None or (now == before and not moved_by):
        return
    stays = before is not None and now.standing == before.standing and not moved_by
    data: dict[str, Any] = dict(now.facts)
    if before is not None:
        data["before"] = before.standing
    if moved_by:
        data["by"] = moved_by
    append(tx, now, f"{now.noun}.{'changed' if stays else now.standing}", data, now_s)


def tell_moved(tx: Session, row: Row, before: str, now_s: float, *, moved_by: str) -> None:
    """Append that ``row`` came from the standing ``before``; for statements that change rows unseen."""
    now = telling(row)
    tell(tx, row, None if now is None else replace(now, standing=before), now_s, moved_by=moved_by)


def append(tx: Session, about: Telling, kind: str, data: Mapping[str, Any], now_s: float) -> int:
    """Append one event about ``about`` and return its number; it exists if and only if the transaction commits."""
    taken = (
        update(LogHead)
        .where(col(LogHead.name) == HEAD)
        .values(seq=col(LogHead.seq) + 1, updated_at_s=now_s, version=col(LogHead.version) + 1)
        .returning(col(LogHead.seq))
        .execution_options(synchronize_session=False)
    )
    seq: int = tx.execute(taken).scalar_one()
    tx.execute(
        insert(Event).values(
            seq=seq,
            kind=kind,
            subject_id=about.subject_id,
            platform_id=about.platform_id,
            partner_id=about.partner_id,
            project_id=about.project_id,
            at_s=now_s,
            data=dict(data),
            version=1,
            created_at_s=now_s,
            updated_at_s=now_s,
        )
    )
    tx.info[TOLD] = seq
    return seq


def wake(tx: Session) -> None:
    """Have the commit wake who waits for news, although there is no new event: there is work for them."""
    tx.info.setdefault(TOLD, 0)


def newest(tx: Session) -> int:
    """Return the number of the newest event ever written, 0 before the first."""
    return tx.exec(select(LogHead.seq).where(LogHead.name == HEAD)).one()


def oldest(tx: Session) -> int:
    """Return the number of the oldest event that is kept; of an empty log, the number that the next one will have."""
    found = tx.exec(select(func.min(Event.seq))).one()
    return newest(tx) + 1 if found is None else int(found)


def after(tx: Session, seq: int, *conditions: ColumnElement[bool], upto: int, limit: int) -> Sequence[Event]:
    """Return up to ``limit`` events with numbers above ``seq`` and not above ``upto``, oldest first."""
    wanted = select(Event).where(col(Event.seq) > seq, col(Event.seq) <= upto, *conditions)
    return tx.exec(wanted.order_by(col(Event.seq)).limit(limit)).all()


def concerning(
    *, platforms: AbstractSet[str] = frozenset(), projects: AbstractSet[str] = frozenset()
) -> ColumnElement[bool]:
    """Return the condition that an event concerns one of these platforms, on either side, or of these projects.

    Give one kind of them; no project at all is concerned by nothing.
    """
    if platforms:
        return or_(col(Event.platform_id).in_(sorted(platforms)), col(Event.partner_id).in_(sorted(platforms)))
    return col(Event.project_id).in_(sorted(projects))


def of_kind(kind: str) -> ColumnElement[bool]:
    """Return the condition that an event is of ``kind``: all of a noun's (``order``) or one (``order.failed``)."""
    if "." in kind:
        return col(Event.kind) == kind
    # A range rather than LIKE: it uses the index, and no letter of ``kind`` is a pattern.
    return and_(col(Event.kind) > f"{kind}.", col(Event.kind) < f"{kind}/")


def about(subject_id: str) -> ColumnElement[bool]:
    """Return the condition that an event is about this thing."""
    return col(Event.subject_id) == subject_id


def forget(tx: Session, before_s: float) -> int:
    """Delete the events from before ``before_s`` and return how many: always the oldest, so that no hole appears."""
    upto = select(func.max(Event.seq)).where(col(Event.at_s) < before_s).scalar_subquery()
    gone = delete(Event).where(col(Event.seq) <= upto)
    return tx.exec(gone.execution_options(synchronize_session=False)).rowcount
