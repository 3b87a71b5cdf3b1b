"""Which message queue there is: the one in the gateway's database, or RabbitMQ where the settings name a broker."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from catalog.messages.contracts import TO_ORDERS, TO_PROVISIONER
from catalog.messages.in_database import InDatabaseQueue
from catalog.ports import Clock, MessageQueue
from catalog.secrets import Secret
from catalog.store.database import Database
from drivers.queues.rabbitmq import RabbitmqQueue
from gateway.secret_files import read_secret
from gateway.sections import QueueSettings

log = logging.getLogger(__name__)


@asynccontextmanager
async def message_queue(
    settings: QueueSettings, state_dir: Path, database: Database, clock: Clock
) -> AsyncIterator[MessageQueue]:
    """Give the queue, ready for both applications, while the block lasts. Raises QueueUnavailable, InvalidSettings."""
    stored = InDatabaseQueue(database, clock)
    await stored.prepare()
    if not settings.url:
        yield stored
        return
    queue = broker(settings, state_dir)
    await queue.prepare()
    try:
        if moved := await stored.hand_over(queue):
            log.info("messages that waited in the database are handed over", extra={"count": moved})
        yield queue
    finally:
        await queue.close()


def broker(settings: QueueSettings, state_dir: Path) -> RabbitmqQueue:
    """Return the queue at the broker that the settings name; nothing is connected yet. Raises InvalidSettings."""
    password = Secret("")
    if settings.password_file is not None:
        password = read_secret(state_dir / settings.password_file, field="queue.password_file")
    return RabbitmqQueue(settings.url, (TO_PROVISIONER, TO_ORDERS), password=password)
