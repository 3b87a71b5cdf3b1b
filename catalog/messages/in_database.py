"""The default message queue: one table of its own in the gateway's database, at-least-once, no other program needed.

A delivery takes a lease that is renewed while the handler runs; ``deliveries`` is its fence, so a holder who lost
the lease cannot acknowledge or refuse for the new one. Finished messages are kept for a while, because their ids
are what makes publishing again harmless.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, String, Table, Update, select, update

from catalog.messages.bell import Bell
from catalog.messages.contracts import Message, from_json
from catalog.messages.queue import NEVER_FINISHED, DeadLetter, Handler, QueuePolicy, handled
from catalog.ports import Clock, MessageQueue
from catalog.store.database import Database, Tx, insert_new

log = logging.getLogger(__name__)

METADATA = MetaData()
_QUEUE = Table(
    "queued_message",
    METADATA,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("topic", String, nullable=False),
    Column("body", String, nullable=False),
    Column("published_at_s", Float, nullable=False),
    # When it may next be taken: the end of the lease while it is held, of the pause after a failure.
    Column("due_at_s", Float, nullable=False),
    Column("held", Boolean, nullable=False, default=False),
    Column("deliveries", Integer, nullable=False, default=0),
    Column("done_at_s", Float),
    Column("dead_at_s", Float),
    Column("reason", String, nullable=False, default=""),
    Index("ix_queued_message_open", "topic", "done_at_s", "dead_at_s", "due_at_s"),
)
_C = _QUEUE.c


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    seq: int
    body: str
    deliveries: int


class InDatabaseQueue:
    """A MessageQueue over a Database. ``prepare`` comes first."""

    def __init__(self, database: Database, clock: Clock, policy: QueuePolicy | None = None) -> None:
        """Take where the messages live; nothing is read or written yet."""
        self._database = database
        self._clock = clock
        self._policy = policy or QueuePolicy()
        self._bell = Bell()

    async def prepare(self) -> None:
        """Create the table if it is missing and free what a dead process held.

        The database admits one process at a time, so whoever held a lease before us is gone.
        Call it once per process, before consuming.
        """
        await self._database.ensure_tables(METADATA)
        now_s = self._clock.now_s()
        await self._database.write(
            lambda tx: tx.execute(update(_QUEUE).where(_C.held).values(held=False, due_at_s=now_s))
        )

    async def close(self) -> None:
        """Do nothing: the database is somebody else's."""

    async def publish(self, topic: str, message: Message) -> None:
        """Return once ``message`` is on disk. A message id that was ever published is not queued again."""
        now_s = self._clock.now_s()
        row = {
            "id": message.id,
            "topic": topic,
            "body": message.to_json(),
            "published_at_s": now_s,
            "due_at_s": now_s,
        }
        await self._database.write(lambda tx: tx.execute(insert_new(tx, _QUEUE).values(row)))
        self._bell.ring()

    async def consume(self, topic: str, handle: Handler, *, concurrency: int = 4) -> None:
        """Hand every message of ``topic`` to ``handle``, at most ``concurrency`` at a time, until cancelled."""
        async with asyncio.TaskGroup() as consumers:
            for _ in range(concurrency):
                consumers.create_task(self._consume(topic, handle))

    async def _consume(self, topic: str, handle: Handler) -> None:
        while True:
            ticket = self._bell.ticket()
            if not await self.deliver_one(topic, handle):
                await self._bell.wait(ticket, self._policy.poll_s)

    async def deliver_one(self, topic: str, handle: Handler) -> bool:
        """Hand the oldest due message of ``topic`` to ``handle``; False when none is due."""
        held = await self._take(topic)
        if held is None:
            return False
        if held.deliveries > self._policy.redelivery_limit + 1:
            # Its handlers did not even fail, they never came back: this message kills processes.
            await self._bury(held, NEVER_FINISHED)
            return True
        reason = await self._handled(held, handle)
        if not reason:
            await self._finish(held, done_at_s=self._clock.now_s())
        elif held.deliveries > self._policy.redelivery_limit:
            await self._bury(held, reason)
        else:
            await self._finish(held, due_at_s=self._clock.now_s() + self._policy.pause_s(held.deliveries))
        return True

    async def dead_letters(self, topic: str) -> tuple[DeadLetter, ...]:
        """Return what was given up in ``topic``, oldest first."""
        query = select(_C.id, _C.topic, _C.body, _C.deliveries, _C.reason).where(
            _C.topic == topic, _C.dead_at_s.is_not(None)
        )
        found = await self._database.read(lambda tx: tx.execute(query.order_by(_C.seq)).all())
        return tuple(DeadLetter(id=i, topic=t, body=b, deliveries=d, reason=r) for i, t, b, d, r in found)

    async def revive(self, topic: str, message_id: str) -> bool:
        """Deliver a dead letter again as if it were new; False when there is no such dead letter."""
        now_s = self._clock.now_s()
        statement = (
            update(_QUEUE)
            .where(_C.id == message_id, _C.topic == topic, _C.dead_at_s.is_not(None))
            .values(dead_at_s=None, deliveries=0, due_at_s=now_s, reason="")
        )
        revived = await self._database.write(lambda tx: _rows_changed(tx, statement))
        self._bell.ring()
        return revived

    async def forget_done(self, before_s: float) -> int:
        """Delete what was finished before ``before_s`` and return how much; its ids are new again after that."""
        statement = _QUEUE.delete().where(_C.done_at_s < before_s).returning(_C.seq)
        return await self._database.write(lambda tx: len(tx.execute(statement).all()))

    async def hand_over(self, other: MessageQueue) -> int:
        """Publish to ``other`` whatever waits here, and return how much. May be repeated and interrupted anywhere."""
        waiting = select(_C.seq, _C.topic, _C.body).where(_C.done_at_s.is_(None), _C.dead_at_s.is_(None))
        found = await self._database.read(lambda tx: tx.execute(waiting.order_by(_C.seq)).all())
        for seq, topic, body in found:
            await other.publish(topic, from_json(body))
            await self._handed_over(seq)
        return len(found)

    async def _handed_over(self, seq: int) -> None:
        statement = update(_QUEUE).where(_C.seq == seq).values(held=False, done_at_s=self._clock.now_s())
        await self._database.write(lambda tx: _rows_changed(tx, statement))

    async def _take(self, topic: str) -> _Held | None:
        now_s = self._clock.now_s()
        due = (
            select(_C.seq)
            .where(_C.topic == topic, _C.done_at_s.is_(None), _C.dead_at_s.is_(None), _C.due_at_s <= now_s)
            .order_by(_C.seq)
            .limit(1)
        )
        # A look on a reader first: idle consumers must not keep the one writer busy.
        if await self._database.read(lambda tx: tx.execute(due).first()) is None:
            return None
        statement = (
            update(_QUEUE)
            .where(_C.seq == due.scalar_subquery())
            .values(held=True, due_at_s=now_s + self._policy.lease_s, deliveries=_C.deliveries + 1)
            .returning(_C.seq, _C.body, _C.deliveries)
        )
        taken = await self._database.write(lambda tx: tx.execute(statement).first())
        return None if taken is None else _Held(seq=taken.seq, body=taken.body, deliveries=taken.deliveries)

    async def _handled(self, held: _Held, handle: Handler) -> str:
        """Return why ``handle`` did not take the message, "" when it did; its lease is renewed meanwhile."""
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(self._keep(held))
            try:
                return await handled(handle, held.body, message=held.seq, number=held.deliveries)
            finally:
                keeper.cancel()

    async def _keep(self, held: _Held) -> None:
        while True:
            await asyncio.sleep(self._policy.lease_s / 3)
            if not await self._renew(held):
                log.warning("message lease lost", extra={"seq": held.seq})
                return

    async def _renew(self, held: _Held) -> bool:
        statement = _mine(held).values(due_at_s=self._clock.now_s() + self._policy.lease_s)
        return await self._database.write(lambda tx: _rows_changed(tx, statement))

    async def _bury(self, held: _Held, reason: str) -> None:
        log.error("message given up", extra={"seq": held.seq, "reason": reason})
        await self._finish(held, dead_at_s=self._clock.now_s(), reason=reason)

    async def _finish(self, held: _Held, **values: Any) -> None:
        statement = _mine(held).values(held=False, **values)
        await self._database.write(lambda tx: _rows_changed(tx, statement))


def _mine(held: _Held) -> Update:
    return update(_QUEUE).where(
        _C.seq == held.seq, _C.deliveries == held.deliveries, _C.held, _C.done_at_s.is_(None), _C.dead_at_s.is_(None)
    )


def _rows_changed(tx: Tx, statement: Update) -> bool:
    return tx.execute(statement.returning(_C.seq)).first() is not None
