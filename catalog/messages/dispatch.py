"""Carry messages from the outbox to the queue, and mark them only after the queue confirmed (S4)."""

from catalog.messages.contracts import from_json
from catalog.model.ids import MessageId
from catalog.ports import Checkpoint, Clock, MessageQueue
from catalog.store import outbox
from catalog.store.database import Database

BATCH = 100


async def dispatch_outbox(database: Database, queue: MessageQueue, clock: Clock, checkpoint: Checkpoint) -> int:
    """Publish every unsent message, oldest first, and return how many. May be repeated and interrupted anywhere.

    Dying between the queue's confirmation and our mark publishes a message twice; its id makes that harmless.
    """
    published = 0
    while batch := await database.read(lambda tx: outbox.unsent(tx, BATCH)):
        for row in batch:
            checkpoint.reached("order.publish.begin")
            await queue.publish(row.topic, from_json(row.body))
            checkpoint.reached("order.publish.end")
            await _mark(database, row.id, clock.now_s())
            checkpoint.reached("order.marked")
            published += 1
    return published


async def _mark(database: Database, message_id: MessageId, now_s: float) -> None:
    await database.write(lambda tx: outbox.mark_sent(tx, message_id, now_s))
