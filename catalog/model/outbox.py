"""The outbox: messages that leave exactly because the transaction that wrote them committed; and the inbox."""

from sqlalchemy import String
from sqlmodel import Field

from catalog.model.ids import MessageId
from catalog.model.rows import Row


class OutboxMessage(Row, table=True):
    """A message to publish; ``sent_at_s`` is set only after the queue confirmed it."""

    __tablename__ = "outbox_message"

    id: MessageId = Field(primary_key=True, sa_type=String)
    topic: str
    body: str
    sent_at_s: float | None = Field(default=None, index=True)


class InboxMessage(Row, table=True):
    """A message whose effect is in the database; seeing its id again changes nothing."""

    __tablename__ = "inbox_message"

    id: MessageId = Field(primary_key=True, sa_type=String)
