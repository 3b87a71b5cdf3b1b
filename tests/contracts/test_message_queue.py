"""The contract of ``catalog.ports.MessageQueue``, which both queues keep: durable, at least once, given up in the end.

Each test opens the queue as a new process does, over the same database or the same broker.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from catalog.messages.in_database import InDatabaseQueue
from catalog.messages.queue import QueuePolicy
from catalog.ports import MessageQueue
from catalog.store.database import Database
from drivers.queues.rabbitmq import RabbitmqQueue
from gateway.clock import SystemClock
from tests.support.queues import Handler, message
from tests.support.waiting import until

POLICY = QueuePolicy(lease_s=30, redelivery_limit=2, first_pause_s=0.05, longest_pause_s=60, poll_s=0.01)
PATIENCE_S = 120.0
_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """One kind of queue: ``opened`` is what a process does; no other test uses ``topics``."""

    opened: Callable[[], AbstractAsyncContextManager[MessageQueue]]
    topics: tuple[str, str]


@pytest.fixture(params=["in the database", "rabbitmq"])
def queues(request: pytest.FixtureRequest, tmp_path: Path) -> Queues:
    """Return each kind of queue, empty."""
    number = next(_numbers)
    topics = (f"t{number}", f"u{number}")

    @asynccontextmanager
    async def in_database() -> AsyncIterator[MessageQueue]:
        clock = SystemClock()
        async with Database.open(f"sqlite:///{tmp_path}/q.sqlite3", clock=clock) as database:
            queue = InDatabaseQueue(database, clock, POLICY)
            await queue.prepare()
            yield queue

    @asynccontextmanager
    async def in_rabbitmq() -> AsyncIterator[MessageQueue]:
        queue = RabbitmqQueue(url, topics, POLICY)
        await queue.prepare()
        try:
            yield queue
        finally:
            await queue.close()

    if request.param == "in the database":
        return Queues(opened=in_database, topics=topics)
    url = request.getfixturevalue("rabbitmq_server").url
    return Queues(opened=in_rabbitmq, topics=topics)


@asynccontextmanager
async def consuming(queue: MessageQueue, topic: str, handler: Handler, concurrency: int = 4) -> AsyncIterator[None]:
    """Consume while the block lasts, and end as a process does that is told to."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(queue.consume(topic, handler, concurrency=concurrency))
        yield
        task.cancel()


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Run ``story``."""

    async def go() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await story()

    asyncio.run(go())


def test_messages_outlive_the_process(queues: Queues) -> None:
    """What was published is delivered by a later process, in the order of publishing; what was handled is not."""

    async def story() -> None:
        topic, first, later = queues.topics[0], Handler(), Handler()
        async with queues.opened() as queue:
            await queue.publish(topic, message(0))
            async with consuming(queue, topic, first, 1):
                await first.all_here.wait()
            for number in (1, 2, 3):
                await queue.publish(topic, message(number))

        async def last_is_here() -> bool:
            return "message_003" in later.handled

        async with queues.opened() as queue, consuming(queue, topic, later, 1):
            await until(last_is_here)
        # The first may come again: a process that ends may end before its queue knows.
        fresh = [each for each in later.handled if each != "message_000"]
        assert fresh == ["message_001", "message_002", "message_003"]

    run(story)


def test_a_message_whose_holder_dies_comes_again(queues: Queues) -> None:
    """A process that ends while it handles leaves the message to the next one."""

    async def story() -> None:
        topic, dying, living = queues.topics[0], Handler(gate=asyncio.Event()), Handler()
        async with queues.opened() as queue:
            await queue.publish(topic, message(1))
            async with consuming(queue, topic, dying):
                await dying.all_here.wait()
        async with queues.opened() as queue, consuming(queue, topic, living):
            await living.all_here.wait()
        assert living.handled == ["message_001"]

    run(story)


def test_a_failed_message_comes_again(queues: Queues) -> None:
    """Failed twice, it is delivered a third time, and is not dead."""

    async def story() -> None:
        topic, handler = queues.topics[0], Handler(failures=2, expect=3)
        async with queues.opened() as queue, consuming(queue, topic, handler):
            await queue.publish(topic, message(1))
            await handler.all_here.wait()
            assert handler.handled == ["message_001"] * 3
            assert list(await queue.dead_letters(topic)) == []

    run(story)


def test_a_message_that_always_fails_is_kept_as_dead_and_can_be_revived(queues: Queues) -> None:
    """After redelivery_limit=2 redeliveries it is dead with the reason, for later processes too; revived, it comes."""

    async def story() -> None:
        topic, failing, good = queues.topics[0], Handler(failures=6), Handler()
        async with queues.opened() as queue, consuming(queue, topic, failing, 1):
            for number in (1, 2):
                await queue.publish(topic, message(number))
                await until(partial(_has_dead, queue, topic, number))
        assert len(failing.handled) == 6
        async with queues.opened() as queue:
            letters = await queue.dead_letters(topic)
            assert [(each.id, each.deliveries, each.reason) for each in letters] == [
                ("message_001", 3, "ValueError"),
                ("message_002", 3, "ValueError"),
            ]
            assert not await queue.revive(topic, "message_003")
            assert not await queue.revive(queues.topics[1], "message_001")
            assert await queue.revive(topic, "message_001")
            async with consuming(queue, topic, good):
                await good.all_here.wait()
            assert good.handled == ["message_001"]
            assert [each.id for each in await queue.dead_letters(topic)] == ["message_002"]

    async def _has_dead(queue: MessageQueue, topic: str, count: int) -> bool:
        return len(await queue.dead_letters(topic)) == count

    run(story)


def test_a_message_that_kills_its_handlers_is_buried(queues: Queues) -> None:
    """Deliveries that never come back count: after three, the message is dead and its handler is not called again."""

    async def story() -> None:
        topic, spared = queues.topics[0], Handler()
        async with queues.opened() as queue:
            await queue.publish(topic, message(1))
        for _ in range(3):
            dying = Handler(gate=asyncio.Event())
            async with queues.opened() as queue, consuming(queue, topic, dying):
                await dying.all_here.wait()
        async with queues.opened() as queue, consuming(queue, topic, spared):

            async def is_dead() -> bool:
                return [each.reason for each in await queue.dead_letters(topic)] == ["never finished"]

            await until(is_dead)
        assert spared.handled == []

    run(story)


def test_at_most_the_agreed_number_is_handled_at_once(queues: Queues) -> None:
    """With concurrency=2 and five messages, two handlers run and no third begins before one returns."""

    async def story() -> None:
        topic, gate = queues.topics[0], asyncio.Event()
        handler = Handler(gate=gate, expect=2)
        async with queues.opened() as queue:
            for number in range(5):
                await queue.publish(topic, message(number))
            async with consuming(queue, topic, handler, 2):
                await handler.all_here.wait()
                assert handler.at_once == 2
                gate.set()

                async def all_here() -> bool:
                    return len(handler.handled) == 5

                await until(all_here)
        assert handler.most_at_once == 2
        assert sorted(handler.handled) == [f"message_{number:03}" for number in range(5)]

    run(story)


def test_two_consumers_never_hold_one_message(queues: Queues) -> None:
    """Forty messages, two consumers with four handlers each: every message is handed out once."""

    async def story() -> None:
        topic, handler = queues.topics[0], Handler(expect=40)
        async with queues.opened() as queue:
            for number in range(40):
                await queue.publish(topic, message(number))
            async with consuming(queue, topic, handler), consuming(queue, topic, handler):
                await handler.all_here.wait()
        assert sorted(handler.handled) == [f"message_{number:03}" for number in range(40)]

    run(story)


def test_topics_are_apart(queues: Queues) -> None:
    """A consumer of one topic never sees another's messages."""

    async def story() -> None:
        (mine, others), handler = queues.topics, Handler()
        async with queues.opened() as queue, consuming(queue, mine, handler):
            await queue.publish(others, message(1))
            await queue.publish(mine, message(2))
            await handler.all_here.wait()
        assert handler.handled == ["message_002"]

    run(story)
