"""The queue in the database: what its leases, its clock and its own table promise beyond the contract."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from catalog.messages.contracts import Message
from catalog.messages.in_database import InDatabaseQueue
from catalog.messages.queue import QueuePolicy
from catalog.store.database import Database
from tests.support.clocks import ManualClock
from tests.support.queues import Handler, message

POLICY = QueuePolicy(lease_s=30, redelivery_limit=2, first_pause_s=1, longest_pause_s=60, poll_s=0.01)


@asynccontextmanager
async def queue_in(folder: Path, clock: ManualClock) -> AsyncIterator[InDatabaseQueue]:
    """Open the queue with fresh objects, as a new process does."""
    async with Database.open(f"sqlite:///{folder}/q.sqlite3", clock=clock) as database:
        queue = InDatabaseQueue(database, clock, POLICY)
        await queue.prepare()
        yield queue


def run(folder: Path, story: Callable[[InDatabaseQueue, ManualClock], Awaitable[None]]) -> None:
    """Run ``story`` with an open queue."""

    async def go() -> None:
        clock = ManualClock()
        async with queue_in(folder, clock) as queue, asyncio.timeout(120):
            await story(queue, clock)

    asyncio.run(go())


def test_messages_outlive_the_process(tmp_path: Path) -> None:
    """What was published is delivered by a later process, in the order of publishing; what was handled is not."""

    async def go() -> None:
        clock, handler = ManualClock(), Handler()
        async with queue_in(tmp_path, clock) as queue:
            for number in (1, 2, 3):
                await queue.publish("t", message(number))
            assert await queue.deliver_one("t", handler)
        async with queue_in(tmp_path, clock) as queue:
            while await queue.deliver_one("t", handler):
                pass
        assert handler.handled == ["message_001", "message_002", "message_003"]

    asyncio.run(go())


def test_a_message_held_by_a_dead_process_comes_again_at_once(tmp_path: Path) -> None:
    """A process that dies while handling leaves the message to the next one, which need not wait for the lease."""

    class Death(BaseException):
        pass

    async def die(_received: Message) -> None:
        raise Death

    async def go() -> None:
        clock, handler, died = ManualClock(), Handler(), False
        async with queue_in(tmp_path, clock) as queue:
            await queue.publish("t", message(1))
            try:
                await queue.deliver_one("t", die)
            except* Death:
                died = True
            assert died
            assert not await queue.deliver_one("t", handler)
        async with queue_in(tmp_path, clock) as queue:
            assert await queue.deliver_one("t", handler)
        assert handler.handled == ["message_001"]

    asyncio.run(go())


def test_publishing_twice_is_harmless(tmp_path: Path) -> None:
    """The same message id is delivered once, published again before or after its delivery."""

    async def story(queue: InDatabaseQueue, _clock: ManualClock) -> None:
        handler = Handler()
        for _ in range(2):
            await queue.publish("t", message(1))
            await queue.publish("t", message(1))
            await queue.deliver_one("t", handler)
        assert not await queue.deliver_one("t", handler)
        assert handler.handled == ["message_001"]

    run(tmp_path, story)


def test_a_failed_message_comes_again_after_a_growing_pause(tmp_path: Path) -> None:
    """With a first pause of 1 s, the second delivery comes 1 s after the first failure and the third 2 s later."""

    async def story(queue: InDatabaseQueue, clock: ManualClock) -> None:
        handler = Handler(failures=2)
        await queue.publish("t", message(1))
        assert await queue.deliver_one("t", handler)
        for pause_s in (1.0, 2.0):
            clock.advance(pause_s - 0.1)
            assert not await queue.deliver_one("t", handler)
            clock.advance(0.1)
            assert await queue.deliver_one("t", handler)
        assert len(handler.handled) == 3
        assert not await queue.deliver_one("t", handler)

    run(tmp_path, story)


def test_a_message_that_always_fails_is_kept_as_dead(tmp_path: Path) -> None:
    """After redelivery_limit=2 redeliveries (3 deliveries) it is dead with the reason; revived, it comes again."""

    async def story(queue: InDatabaseQueue, clock: ManualClock) -> None:
        handler = Handler(failures=3)
        await queue.publish("t", message(1))
        for _ in range(6):
            await queue.deliver_one("t", handler)
            clock.advance(100.0)
        (dead,) = await queue.dead_letters("t")
        assert len(handler.handled) == 3
        assert (dead.id, dead.deliveries, dead.reason) == ("message_001", 3, "ValueError")
        assert await queue.revive("t", "message_001")
        assert await queue.deliver_one("t", handler)
        assert await queue.dead_letters("t") == ()

    run(tmp_path, story)


def test_a_message_that_kills_its_handlers_is_buried(tmp_path: Path) -> None:
    """Deliveries that never come back count: after three, the message is dead and its handler is not called again."""

    async def story(queue: InDatabaseQueue, clock: ManualClock) -> None:
        await queue.publish("t", message(1))
        for _ in range(3):
            assert await queue._take("t") is not None  # taken, and its holder is never heard of again
            clock.advance(31.0)
        handler = Handler()
        assert await queue.deliver_one("t", handler)
        assert handler.handled == []
        assert [dead.reason for dead in await queue.dead_letters("t")] == ["never finished"]

    run(tmp_path, story)


def test_whoever_lost_the_lease_cannot_acknowledge(tmp_path: Path) -> None:
    """A holder whose lease ran out finishes late: the message still belongs to the new holder, whose failure counts."""

    async def story(queue: InDatabaseQueue, clock: ManualClock) -> None:
        gate = asyncio.Event()
        late, failing = Handler(gate=gate), Handler(failures=1)
        await queue.publish("t", message(1))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(queue.deliver_one("t", late))
            await late.all_here.wait()
            clock.advance(31.0)
            assert await queue.deliver_one("t", failing)
            gate.set()
        clock.advance(100.0)
        third = Handler()
        assert await queue.deliver_one("t", third)
        assert third.handled == ["message_001"]

    run(tmp_path, story)
