"""The outbox leaves exactly because its transaction committed, and is marked only after the queue confirmed."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from catalog.errors import CatalogError
from catalog.messages.contracts import Message
from catalog.messages.dispatch import dispatch_outbox
from catalog.store import outbox
from tests.support.clocks import ManualClock
from tests.support.doubles import KillingCheckpoint
from tests.support.ordering import order, seeded_database

NOW_S = 1_800_000_000.0


class Unconfirming:
    """A queue that takes every message and confirms none until ``confirms`` is set."""

    def __init__(self) -> None:
        self.confirms = False
        self.taken: list[str] = []

    async def publish(self, topic: str, message: Message) -> None:
        """Take it, and fail to say so."""
        self.taken.append(f"{topic} {message.id}")
        if not self.confirms:
            raise CatalogError("connection lost before the confirmation")

    async def consume(self, topic: str, handle: Callable[[Message], Awaitable[None]], *, concurrency: int = 4) -> None:
        """Deliver nothing."""


def test_a_message_is_marked_only_after_the_queue_confirmed(tmp_path: Path) -> None:
    """An unconfirmed message stays unsent and is published again, under the same id; a confirmed one is not."""

    async def run() -> None:
        clock, queue, checkpoint = ManualClock(), Unconfirming(), KillingCheckpoint()
        async with seeded_database(tmp_path, clock) as database:
            await database.write(lambda tx: order(tx, None, NOW_S))
            with pytest.raises(CatalogError):
                await dispatch_outbox(database, queue, clock, checkpoint)
            assert len(await database.read(lambda tx: outbox.unsent(tx, 10))) == 1
            queue.confirms = True
            assert await dispatch_outbox(database, queue, clock, checkpoint) == 1
            assert await dispatch_outbox(database, queue, clock, checkpoint) == 0
        assert len(queue.taken) == 2
        assert len(set(queue.taken)) == 1

    asyncio.run(run())


class Together:
    """A queue that confirms nothing before ``expected`` messages are there, and never the ``refused``-th."""

    def __init__(self, expected: int, refused: int | None = None) -> None:
        self.taken: list[str] = []
        self._expected, self._refused = expected, refused
        self._all_here = asyncio.Event()

    async def publish(self, topic: str, message: Message) -> None:
        """Take it, and confirm it with the others."""
        number = len(self.taken)
        self.taken.append(f"{topic} {message.id}")
        if len(self.taken) >= self._expected:
            self._all_here.set()
        await self._all_here.wait()
        if number == self._refused:
            raise CatalogError("no room for this one")

    async def consume(self, topic: str, handle: Callable[[Message], Awaitable[None]], *, concurrency: int = 4) -> None:
        """Deliver nothing."""


def three_orders(tx: outbox.Session) -> None:
    """Place three orders, one message each."""
    for _ in range(3):
        order(tx, None, NOW_S)


def test_no_message_waits_for_another_s_confirmation(tmp_path: Path) -> None:
    """Three messages are under way, oldest first, before any is confirmed; then all of them are marked."""

    async def run() -> None:
        clock, queue = ManualClock(), Together(expected=3)
        async with seeded_database(tmp_path, clock) as database, asyncio.timeout(60):
            await database.write(three_orders)
            waiting = await database.read(lambda tx: outbox.unsent(tx, 10))
            assert await dispatch_outbox(database, queue, clock, KillingCheckpoint()) == 3
            assert await database.read(lambda tx: outbox.unsent(tx, 10)) == []
        assert queue.taken == [f"{each.topic} {each.id}" for each in waiting]

    asyncio.run(run())


def test_a_message_that_the_queue_never_takes_makes_no_other_come_again(tmp_path: Path) -> None:
    """Of three messages the last is refused: the others are marked, the error leaves, and only that one is unsent."""

    async def run() -> None:
        clock, queue = ManualClock(), Together(expected=3, refused=2)
        async with seeded_database(tmp_path, clock) as database, asyncio.timeout(60):
            await database.write(three_orders)
            last = (await database.read(lambda tx: outbox.unsent(tx, 10)))[-1].id
            with pytest.raises(CatalogError, match="no room"):
                await dispatch_outbox(database, queue, clock, KillingCheckpoint())
            assert [each.id for each in await database.read(lambda tx: outbox.unsent(tx, 10))] == [last]

    asyncio.run(run())


def test_the_inbox_remembers(tmp_path: Path) -> None:
    """A message id is new once, and new again if the transaction that saw it rolled back."""

    async def run() -> None:
        async with seeded_database(tmp_path, ManualClock()) as database:

            def fail(tx: outbox.Session) -> None:
                assert not outbox.seen(tx, outbox.MessageId("message_1"), NOW_S)
                raise CatalogError("rolled back")

            with pytest.raises(CatalogError):
                await database.write(fail)
            seen = [
                await database.write(lambda tx: outbox.seen(tx, outbox.MessageId("message_1"), NOW_S)) for _ in (1, 2)
            ]
            assert seen == [False, True]

    asyncio.run(run())
