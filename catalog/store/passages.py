"""Queries on passages that the general ones cannot say."""

from collections.abc import Sequence

from sqlmodel import col, select, update

from catalog.model.ids import PassageId
from catalog.model.passage import Passage, PassageCall
from catalog.store import events
from catalog.store.database import Tx
from catalog.store.rows import by_id


def count(tx: Tx, passage_id: PassageId, *, calls: int, bytes_in: int, bytes_out: int, now_s: float) -> None:
    """Add to what went through the passage; harmless when there is no such passage."""
    statement = (
        update(Passage)
        .where(col(Passage.id) == passage_id)
        .values(
            calls=col(Passage.calls) + calls,
            bytes_in=col(Passage.bytes_in) + bytes_in,
            bytes_out=col(Passage.bytes_out) + bytes_out,
            updated_at_s=now_s,
            version=col(Passage.version) + 1,
        )
    )
    tx.exec(statement.execution_options(synchronize_session=False))


def end(tx: Tx, passage_id: PassageId | None, reason: str, now_s: float) -> int:
    """End the passage (None: all of them) and return how many were open."""
    statement = update(Passage).where(col(Passage.ended_at_s).is_(None))
    if passage_id is not None:
        statement = statement.where(col(Passage.id) == passage_id)
    ended = statement.values(ended_at_s=now_s, end_reason=reason, updated_at_s=now_s, version=col(Passage.version) + 1)
    ids = tx.execute(ended.returning(col(Passage.id)).execution_options(synchronize_session=False)).scalars().all()
    for each in ids:
        events.tell_moved(tx, by_id(tx, Passage, each), "opened", now_s, moved_by="end")
    return len(ids)


def answered(tx: Tx, call_id: int, status: int, now_s: float) -> None:
    """Note with which status a call was answered."""
    statement = (
        update(PassageCall)
        .where(col(PassageCall.id) == call_id)
        .values(status=status, updated_at_s=now_s, version=col(PassageCall.version) + 1)
    )
    tx.exec(statement.execution_options(synchronize_session=False))


def calls(tx: Tx, passage_id: PassageId, limit: int) -> Sequence[PassageCall]:
    """Return the passage's newest calls, newest first."""
    statement = select(PassageCall).where(col(PassageCall.passage_id) == passage_id)
    return tx.exec(statement.order_by(col(PassageCall.id).desc()).limit(limit)).all()
