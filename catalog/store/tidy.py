"""Forget what nobody can ask for any more, so that no table grows for ever. May be repeated at any time."""

from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, select
from sqlmodel import Session

from catalog.model.access import Login, UsedNonce
from catalog.model.connection import AccountSession, RouteDecision, StepRecord
from catalog.model.offering import IncomingItem
from catalog.model.outbox import InboxMessage, OutboxMessage
from catalog.model.passage import Passage, PassageCall
from catalog.model.rows import Row
from catalog.store.rows import column

# Longer than any message is delivered again: an id that is forgotten must not come back.
MESSAGES_KEPT_S = 86_400.0
STEPS_KEPT = 200  # of each connection, order or machine
DECISIONS_KEPT = 50  # of each connection
SESSIONS_KEPT = 99  # ended ones of each connection: whole threes, see catalog.connections.open_sessions
PASSAGES_KEPT = 500  # ended ones of each platform, with their calls
LOGINS_KEPT = 100  # of each account, beside those that may still be open
PASSAGE_CALLS_KEPT = 1000  # of each passage
LISTS_KEPT_S = 3_600.0  # no list takes so long to read: whoever began it is no more


def tidy(tx: Session, now_s: float) -> int:
    """Delete old messages that were sent or taken in, and all but the newest of what only grows.

    Returns how many rows that were. What is unsent, open or newest stays, however old.
    """
    before_s = now_s - MESSAGES_KEPT_S
    return (
        _delete(tx, OutboxMessage, column(OutboxMessage, "sent_at_s") < before_s)
        + _delete(tx, InboxMessage, column(InboxMessage, "created_at_s") < before_s)
        + _keep_newest(tx, StepRecord, "subject_id", STEPS_KEPT)
        + _keep_newest(tx, RouteDecision, "connection_id", DECISIONS_KEPT)
        + _keep_newest(tx, AccountSession, "connection_id", SESSIONS_KEPT, column(AccountSession, "ended_at_s") > 0)
        + _keep_newest(tx, PassageCall, "passage_id", PASSAGE_CALLS_KEPT)
        + _forget_passages(tx)
        + _delete(tx, IncomingItem, column(IncomingItem, "created_at_s") < now_s - LISTS_KEPT_S)
        + _keep_newest(tx, Login, "account_id", LOGINS_KEPT, column(Login, "expires_at_s") < now_s)
        + _delete(tx, UsedNonce, column(UsedNonce, "expires_at_s") < now_s)
    )


def _forget_passages(tx: Session) -> int:
    old = _older(Passage, "platform_id", PASSAGES_KEPT, column(Passage, "ended_at_s") > 0)
    return _delete(tx, PassageCall, column(PassageCall, "passage_id").in_(old)) + _delete(
        tx, Passage, column(Passage, "id").in_(old)
    )


def _keep_newest(tx: Session, kind: type[Row], of: str, kept: int, *where: ColumnElement[bool]) -> int:
    return _delete(tx, kind, column(kind, "id").in_(_older(kind, of, kept, *where)))


def _older(kind: type[Row], of: str, kept: int, *where: ColumnElement[bool]) -> Select[tuple[Any]]:
    newest_first = (column(kind, "created_at_s").desc(), column(kind, "id").desc())
    place = func.row_number().over(partition_by=column(kind, of), order_by=newest_first)
    ranked = select(column(kind, "id").label("id"), place.label("place")).where(*where).subquery()
    return select(ranked.c.id).where(ranked.c.place > kept)


def _delete(tx: Session, kind: type[Row], which: ColumnElement[bool]) -> int:
    statement = delete(kind).where(which).returning(column(kind, "id"))
    return len(tx.execute(statement.execution_options(synchronize_session=False)).all())
