"""The queue in RabbitMQ, beyond the contract: a broker that is killed, queues that somebody deletes, a word kept."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aio_pika
import pytest

from catalog.errors import QueueUnavailable
from catalog.messages.contracts import TO_ORDERS, Message
from catalog.messages.in_database import InDatabaseQueue
from catalog.messages.queue import Handler, QueuePolicy
from catalog.store.database import Database
from drivers.queues.rabbitmq import RabbitmqQueue
from gateway.clock import SystemClock
from gateway.compose.queues import broker as chosen
from gateway.compose.queues import message_queue
from gateway.errors import InvalidSettings
from gateway.sections import QueueSettings
from tests.support import rabbitmq
from tests.support.queues import message
from tests.support.rabbitmq import RabbitmqServer
from tests.support.sshd import free_port
from tests.support.waiting import until

POLICY = QueuePolicy(redelivery_limit=50, first_pause_s=0.05, longest_pause_s=0.5)


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitmqServer]:
    """Return a broker that this module's tests may kill."""
    with rabbitmq.running() as server:
        yield server


async def confirmed(queue: RabbitmqQueue, topic: str, number: int) -> None:
    """Publish message ``number`` until it is confirmed, as the outbox does."""
    while True:
        try:
            await queue.publish(topic, message(number))
        except QueueUnavailable:
            await asyncio.sleep(0.05)  # as long as the broker is away there is nothing else to wait for
        else:
            return


def connections_to(port: int) -> int:
    """Return how many TCP connections of this machine lead to ``port``, as established by whoever opened them."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines)


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Run ``story``."""

    async def go() -> None:
        async with asyncio.timeout(180):
            await story()

    asyncio.run(go())


def test_a_broker_that_is_killed_loses_nothing_that_it_confirmed(broker: RabbitmqServer) -> None:
    """Killed twice under load: every message is handled, by the same objects, over as many connections as before."""

    async def story() -> None:
        queue, handled = RabbitmqQueue(broker.url, ["killed"], POLICY), set[str]()
        await queue.prepare()

        async def handle(received: Message) -> None:
            await asyncio.sleep(0)  # as whatever is durable does, so that some are at work when it dies
            handled.add(received.id)

        async with asyncio.TaskGroup() as tasks:
            consumer = tasks.create_task(queue.consume("killed", handle, concurrency=8))
            await confirmed(queue, "killed", 0)
            await until(lambda: "message_000" in handled)
            before = connections_to(broker.port)
            for cut in (1, 2):
                publishing = tasks.create_task(_publish_many(queue, range(cut * 1000, cut * 1000 + 400)))
                await until(lambda cut=cut: f"message_{cut * 1000 + 20}" in handled)  # type: ignore[misc]
                await asyncio.to_thread(broker.kill)
                await asyncio.to_thread(broker.start)
                await publishing
            wanted = {f"message_{cut * 1000 + number}" for cut in (1, 2) for number in range(400)}
            await until(lambda: wanted <= handled)
            assert connections_to(broker.port) == before == 2
            consumer.cancel()
        await queue.close()
        await until(lambda: connections_to(broker.port) == 0)

    run(story)


async def _publish_many(queue: RabbitmqQueue, numbers: range) -> None:
    for number in numbers:
        await confirmed(queue, "killed", number)


def test_a_queue_that_somebody_deletes_is_made_again(broker: RabbitmqServer) -> None:
    """What is published then is not lost, as the broker alone would have it, and whoever consumes goes on."""

    async def story() -> None:
        queue, handled = RabbitmqQueue(broker.url, ["deleted"], POLICY), list[str]()
        await queue.prepare()

        async def handle(received: Message) -> None:
            handled.append(received.id)

        async def delete() -> None:
            async with await aio_pika.connect(broker.url) as connection, connection.channel() as channel:
                await channel.queue_delete("crossway.deleted")

        async def made_again() -> None:
            async with await aio_pika.connect(broker.url) as connection:
                while True:
                    channel = await connection.channel()
                    try:
                        await channel.declare_queue("crossway.deleted", passive=True)
                    except aio_pika.exceptions.ChannelNotFoundEntity:
                        await asyncio.sleep(0.02)  # the broker tells nobody
                    else:
                        return

        await delete()
        await queue.publish("deleted", message(1))
        async with asyncio.TaskGroup() as tasks:
            consumer = tasks.create_task(queue.consume("deleted", handle))
            await until(lambda: handled == ["message_001"])
            await delete()
            # What is published in the very moment of its deletion goes the way of what was in it.
            await made_again()
            await queue.publish("deleted", message(2))
            await until(lambda: handled == ["message_001", "message_002"])
            consumer.cancel()
        await queue.close()

    run(story)


def test_a_broker_that_is_away_is_an_error_that_says_so_and_not_how_to_log_in(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is asked raises QueueUnavailable, which may be repeated; neither it nor the log holds the password."""
    queue = RabbitmqQueue(f"amqp://gateway:canary-word@127.0.0.1:{free_port()}/", ["t"], POLICY)

    async def story() -> None:
        for ask in (queue.prepare, lambda: queue.publish("t", message(1)), lambda: queue.dead_letters("t")):
            with pytest.raises(QueueUnavailable) as told:
                await ask()
            assert told.value.retryable
            assert "canary-word" not in f"{told.value} {told.value.fix} {told.value.__cause__}"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await queue.consume("t", never)

    async def never(_received: Message) -> None:
        raise AssertionError

    with caplog.at_level(logging.DEBUG):
        run(story)
    assert "queue is away" in caplog.text
    assert "canary-word" not in caplog.text


def test_what_waited_in_the_database_is_handed_over(broker: RabbitmqServer, tmp_path: Path) -> None:
    """A gateway whose settings name a broker for the first time loses none of its messages, and takes none twice."""

    async def story() -> None:
        clock, handled, late = SystemClock(), list[str](), list[str]()
        async with Database.open(f"sqlite:///{tmp_path}/q.sqlite3", clock=clock) as database:
            before = InDatabaseQueue(database, clock, POLICY)
            await before.prepare()
            for number in (1, 2, 3):
                await before.publish(TO_ORDERS, message(number))
            assert await before.deliver_one(TO_ORDERS, into(handled))
            settings = QueueSettings(url=broker.url)
            async with message_queue(settings, tmp_path, database, clock) as queue, asyncio.TaskGroup() as tasks:
                consumer = tasks.create_task(queue.consume(TO_ORDERS, into(handled), concurrency=1))
                await until(lambda: len(handled) == 3)
                consumer.cancel()
            assert not await before.deliver_one(TO_ORDERS, into(late))
        assert (handled, late) == (["message_001", "message_002", "message_003"], [])

    run(story)


def into(kept: list[str]) -> Handler:
    """Return a handler that keeps the ids of what it was handed."""

    async def handle(received: Message) -> None:
        kept.append(received.id)

    return handle


def test_a_user_s_password_stands_in_a_file(broker: RabbitmqServer, tmp_path: Path) -> None:
    """With it the broker lets us in; with another it does not, and a file that others may read is refused by name."""
    file = tmp_path / "queue.password"
    settings = QueueSettings(url=broker.url, password_file=Path(file.name))

    async def story() -> None:
        await chosen(settings, tmp_path).answers()

    file.touch(mode=0o600)
    file.write_text("guest\n")
    run(story)
    file.write_text("another")
    with pytest.raises(QueueUnavailable):
        run(story)
    file.chmod(0o640)
    with pytest.raises(InvalidSettings, match="others may read") as told:
        chosen(settings, tmp_path)
    assert told.value.field == "queue.password_file"
    with pytest.raises(ValueError, match="url"):
        QueueSettings(url=broker.url.replace("guest@", "guest:guest@"))
