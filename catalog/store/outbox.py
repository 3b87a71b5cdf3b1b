"""Messages out and in, in the same transaction as the facts they tell of or change."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import update
from sqlmodel import Session, select

from catalog.model.ids import MessageId
from catalog.model.outbox import InboxMessage, OutboxMessage
from catalog.store import rows
from catalog.store.database import insert_new


class Sendable(Protocol):
    """What the outbox must know of a message: its id and its wire form."""

    @property
    def id(self) -> MessageId:
        """Recognises a message that comes twice."""
        ...

    def to_json(self) -> str:
        """Return the wire form."""
        ...


def put(tx: Session, topic: str, message: Sendable, now_s: float) -> None:
    """Keep ``message`` for ``topic``; it leaves after this transaction commits, and only then."""
    rows.insert(tx, OutboxMessage(id=message.id, topic=topic, body=message.to_json()), now_s)


def unsent(tx: Session, limit: int) -> Sequence[OutboxMessage]:
    """Return up to ``limit`` messages that the queue has not confirmed, oldest first."""
    return tx.exec(
        select(OutboxMessage)
        .where(rows.column(OutboxMessage, "sent_at_s").is_(None))
        .order_by(rows.column(OutboxMessage, "created_at_s"), rows.column(OutboxMessage, "id"))
        .limit(limit)
    ).all()


def mark_sent(tx: Session, messages: Sequence[MessageId], now_s: float) -> None:
    """Note that the queue confirmed the messages. May be repeated."""
    tx.execute(
        update(OutboxMessage)
        .where(rows.column(OutboxMessage, "id").in_(messages))
        .values(sent_at_s=now_s, updated_at_s=now_s)
        .execution_options(synchronize_session=False)
    )


def seen(tx: Session, message_id: MessageId, now_s: float) -> bool:
    """Return whether the message's effect is already in the database; from now on it counts as being there."""
    added = tx.execute(
        insert_new(tx, InboxMessage)
        .values(id=message_id, version=1, created_at_s=now_s, updated_at_s=now_s)
        .returning(rows.column(InboxMessage, "id"))
    )
    return added.first() is None
