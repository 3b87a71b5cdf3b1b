"""Carry messages from the outbox to the queue, and mark them only after the queue confirmed (S4)."""

from collections.abc import Sequence

from catalog.messages.publishing import BATCH, publish_batch
from catalog.model.ids import MessageId
from catalog.ports import Checkpoint, Clock, MessageQueue
from catalog.store import outbox
from catalog.store.database import Database


async def dispatch_outbox(database: Database, queue: MessageQueue, clock: Clock, checkpoint: Checkpoint) -> int:
    """Publish every unsent message, begun oldest first, and return how many. May be repeated and interrupted anywhere.

    Dying between the queue's confirmation and our mark publishes a message twice; its id makes that harmless.
    """

    async def mark(confirmed: Sequence[MessageId]) -> None:
        now_s = clock.now_s()
        await database.write(lambda tx: outbox.mark_sent(tx, confirmed, now_s))

    published = 0
    while batch := await database.read(lambda tx: outbox.unsent(tx, BATCH)):
        outgoing = [(row.id, row.topic, row.body) for row in batch]
        await publish_batch(queue, outgoing, mark, checkpoint=checkpoint, application="order")
        published += len(batch)
    return published
