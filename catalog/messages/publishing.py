"""Publish what waits in an outbox: a whole batch under way at once, marked in one go, and only what was confirmed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from catalog.errors import CatalogError
from catalog.messages.contracts import from_json
from catalog.model.ids import MessageId
from catalog.ports import Checkpoint, MessageQueue

BATCH: Final = 100
Outgoing = tuple[MessageId, str, str]  # its id, its topic, its body
Mark = Callable[[Sequence[MessageId]], Awaitable[None]]


async def publish_batch(
    queue: MessageQueue, batch: Sequence[Outgoing], mark: Mark, *, checkpoint: Checkpoint, application: str
) -> None:
    """Publish ``batch``, begun in its order, and ``mark`` what the queue confirmed.

    Waiting for one confirmation after the other would cost a disk's pace for each message. Raises, once the rest is
    marked, what the queue said of the first that it did not take. Dying before the mark publishes messages twice;
    their ids make that harmless. ``application`` begins the names of the steps.
    """
    confirmed: list[MessageId] = []
    refused: list[CatalogError] = []

    async def publish(message_id: MessageId, topic: str, body: str) -> None:
        checkpoint.reached(f"{application}.publish.begin")
        try:
            await queue.publish(topic, from_json(body))
        except CatalogError as error:
            # Whatever else is under way goes on: it would come again for nothing.
            refused.append(error)
            return
        checkpoint.reached(f"{application}.publish.end")
        confirmed.append(message_id)

    async with asyncio.TaskGroup() as tasks:
        for each in batch:
            tasks.create_task(publish(*each))
    await mark(confirmed)
    checkpoint.reached(f"{application}.marked")
    if refused:
        raise refused[0]
