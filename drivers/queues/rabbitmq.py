"""The message queue in RabbitMQ: quorum queues, confirmed publishing, acknowledged only when handled.

Every topic has a queue, a queue of dead letters, and one queue for each pause, from which the broker hands messages
back when the pause is over. A message that failed is published anew, confirmed, before it is acknowledged, so that
whatever dies in between makes it come twice and never makes it vanish; how often it failed travels with it. Who comes
to nothing because its handlers die with their process is counted by the broker.

A connection that is lost is replaced as a whole: with it go its channels, and what was delivered over them comes again.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import aio_pika
from aio_pika import DeliveryMode
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError
from yarl import URL

from catalog.errors import QueueUnavailable
from catalog.messages.contracts import Message
from catalog.messages.queue import NEVER_FINISHED, DeadLetter, Handler, QueuePolicy, handled
from catalog.secrets import Secret

log = logging.getLogger(__name__)

FAILURES: Final = "x-crossway-failures"
REASON: Final = "x-crossway-reason"
_REDELIVERED: Final = "x-delivery-count"  # the broker's own count of deliveries that ended with their connection
# A belt under our own count: it can never be changed for a queue that exists, so it is no setting.
_BROKER_LIMIT: Final = 100
_PATIENCE_S: Final = 15.0
_Work = Callable[[AbstractChannel], Awaitable[None]]
_AWAY: Final = (*CONNECTION_EXCEPTIONS, TimeoutError)


class RabbitmqQueue:
    """A MessageQueue over a broker. ``prepare`` comes first, ``close`` last."""

    def __init__(
        self, url: str, topics: Sequence[str], policy: QueuePolicy | None = None, *, password: Secret | None = None
    ) -> None:
        """Take the broker's URL, the password of its user, and every topic there is; nothing is connected yet."""
        told = "" if password is None else password.reveal()
        url = str(URL(url).with_password(told)) if told else url
        self._url = url
        self._topics = tuple(topics)
        self._policy = policy or QueuePolicy()
        self._publishing = _Line(url)

    async def prepare(self) -> None:
        """Declare every queue; harmless where they are there. Raises QueueUnavailable."""
        await self._over_line(self._declare_all)

    async def close(self) -> None:
        """Give the connections back."""
        await self._publishing.drop()

    async def publish(self, topic: str, message: Message) -> None:
        """Return once the broker has confirmed that ``message`` is on disk.

        Publishing the same message again may deliver it again. Raises QueueUnavailable: it may be there or not.
        """
        body = message.to_json().encode()

        async def work(channel: AbstractChannel) -> None:
            try:
                await _send(channel, _main(topic), body, str(message.id), {})
            except DeliveryError:
                # Somebody deleted the queue: no message is lost by that, so it is made again.
                await self._declare_all(channel)
                await _send(channel, _main(topic), body, str(message.id), {})

        await self._over_line(work)

    async def consume(self, topic: str, handle: Handler, *, concurrency: int = 4) -> None:
        """Hand every message of ``topic`` to ``handle``, at most ``concurrency`` at a time, until cancelled.

        A broker that is away is waited for.
        """
        attempt = 0
        while True:
            try:
                async with _connected(self._url) as channel:
                    attempt = 0
                    await self._session(channel, topic, handle, concurrency)
            except _AWAY as error:
                log.warning("queue is away", extra={"topic": topic, "reason": type(error).__name__})
            attempt += 1
            await asyncio.sleep(_jittered(self._policy, attempt))

    async def dead_letters(self, topic: str) -> tuple[DeadLetter, ...]:
        """Return what was given up in ``topic``, oldest first. Raises QueueUnavailable."""
        found: list[DeadLetter] = []

        async def look(channel: AbstractChannel) -> None:
            found.extend([_letter(topic, each) async for each in _every(channel, _dead(topic))])

        await self._over_own(look)
        return tuple(found)

    async def revive(self, topic: str, message_id: str) -> bool:
        """Deliver a dead letter again as if it were new; False when there is no such. Raises QueueUnavailable."""
        revived = False

        async def work(channel: AbstractChannel) -> None:
            nonlocal revived
            async for each in _every(channel, _dead(topic)):
                if not revived and each.message_id == message_id:
                    await _send(channel, _main(topic), each.body, message_id, {})
                    await each.ack()
                    revived = True

        await self._over_own(work)
        return revived

    async def forget_done(self, before_s: float) -> int:
        """Return 0: the broker keeps nothing of what was handled."""
        del before_s
        return 0

    async def answers(self) -> None:
        """Return if the broker lets us in; nothing is made there. Raises QueueUnavailable."""

        async def nothing(_channel: AbstractChannel) -> None:
            """Ask for nothing more."""

        await self._over_own(nothing)

    async def _session(self, channel: AbstractChannel, topic: str, handle: Handler, concurrency: int) -> None:
        """Consume over this channel until it is lost."""
        await self._declare_all(channel)
        await channel.set_qos(prefetch_count=concurrency)
        queue = await channel.get_queue(_main(topic), ensure=False)
        over = asyncio.Event()
        channel.close_callbacks.add(lambda *_told: over.set())
        # The broker ends a consumer, and nothing else, when somebody deletes its queue; the next session makes it anew.
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(lambda _told: over.set())
        async with asyncio.TaskGroup() as handlers:

            async def begin(message: AbstractIncomingMessage) -> None:
                handlers.create_task(self._deliver(channel, topic, message, handle))

            await queue.consume(begin)
            await over.wait()
            # Handlers that are still at work end before the next session; what they did comes again, and is known.

    async def _deliver(
        self, channel: AbstractChannel, topic: str, message: AbstractIncomingMessage, handle: Handler
    ) -> None:
        """Handle one delivery and settle it; when that cannot be told to the broker, it comes again."""
        number = _failures(message) + _count(message, _REDELIVERED) + 1
        if number > self._policy.redelivery_limit + 1:
            reason = NEVER_FINISHED
        else:
            reason = await handled(handle, message.body, message=message.message_id, number=number)
        try:
            if reason and number > self._policy.redelivery_limit:
                log.error("message given up", extra={"id": message.message_id, "reason": reason})
                await _pass_on(channel, message, _dead(topic), {FAILURES: number, REASON: reason})
            elif reason:
                pause = _paused(topic, self._policy.pause_s(number))
                await _pass_on(channel, message, pause, {FAILURES: number, REASON: reason})
            else:
                await message.ack()
        except _AWAY as error:
            log.info("delivery not settled", extra={"id": message.message_id, "reason": type(error).__name__})
            await channel.close()  # so that it does come again, and not only when this channel ends by itself

    async def _over_line(self, work: _Work) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await work(await self._publishing.channel())
        except _AWAY as error:
            await self._publishing.drop()
            raise _unavailable(error) from None  # the cause's words may hold the URL

    async def _over_own(self, work: _Work) -> None:
        """Do ``work`` over a connection of its own; what it took and did not settle goes back when that ends."""
        try:
            async with asyncio.timeout(_PATIENCE_S), _connected(self._url) as channel:
                await work(channel)
        except _AWAY as error:
            raise _unavailable(error) from None

    async def _declare_all(self, channel: AbstractChannel) -> None:
        for topic in self._topics:
            await _declare(channel, _dead(topic), {})
            await _declare(channel, _main(topic), {**_to(_dead(topic)), "x-delivery-limit": _BROKER_LIMIT})
            for number in range(1, self._policy.redelivery_limit + 1):
                pause_s = self._policy.pause_s(number)
                back = {**_to(_main(topic)), "x-message-ttl": round(pause_s * 1000)}
                await _declare(channel, _paused(topic, pause_s), back)


class _Line:
    """One connection with one channel for publishing, made when it is needed and replaced when it is lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = asyncio.Lock()
        self._channel: AbstractChannel | None = None
        self._open = AsyncExitStack()

    async def channel(self) -> AbstractChannel:
        async with self._lock:
            if self._channel is None or self._channel.is_closed:
                await self._close()
                self._channel = await self._open.enter_async_context(_connected(self._url))
            return self._channel

    async def drop(self) -> None:
        async with self._lock:
            await self._close()

    async def _close(self) -> None:
        self._channel = None
        await self._open.aclose()


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AbstractChannel]:
    """Give the only channel of a connection of its own, on which publishing is confirmed or fails."""
    async with AsyncExitStack() as closing:
        connection = await aio_pika.connect(url, timeout=_PATIENCE_S)
        closing.push_async_callback(_close, connection)
        channel = await connection.channel(on_return_raises=True)
        # Left open, it would tell of its end after that of its connection, and after that of the event loop.
        closing.push_async_callback(_close, channel)
        yield channel


async def _close(what: AbstractChannel | AbstractConnection) -> None:
    """Close it, whatever state it is in; a broker that does not answer is not waited for."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await what.close()
    except _AWAY as error:
        log.info("connection to the queue not closed", extra={"reason": type(error).__name__})


async def _declare(channel: AbstractChannel, name: str, arguments: dict[str, Any]) -> None:
    await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum", **arguments})


def _to(name: str) -> dict[str, Any]:
    """Return the arguments of a queue that hands what it gives up to queue ``name``, confirmed like a publisher's."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": name,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # without it the strategy silently falls back to at most once
    }


async def _send(channel: AbstractChannel, queue: str, body: bytes, message_id: str, headers: dict[str, Any]) -> None:
    """Publish to ``queue`` and return once that is confirmed. Raises DeliveryError when there is no such queue."""
    message = aio_pika.Message(
        body,
        message_id=message_id,
        headers=headers,
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
    )
    await channel.default_exchange.publish(message, queue, mandatory=True, timeout=_PATIENCE_S)


async def _pass_on(
    channel: AbstractChannel, message: AbstractIncomingMessage, queue: str, headers: dict[str, Any]
) -> None:
    """Move a delivery to another queue: there before it is acknowledged here, so that it may be twice, never gone."""
    await _send(channel, queue, message.body, message.message_id or "", headers)
    await message.ack()


async def _every(channel: AbstractChannel, name: str) -> AsyncIterator[AbstractIncomingMessage]:
    """Yield what waits in a queue, oldest first; what is not settled is there again when the channel is closed."""
    queue = await channel.get_queue(name)
    while (message := await queue.get(no_ack=False, fail=False)) is not None:
        yield message


def _letter(topic: str, message: AbstractIncomingMessage) -> DeadLetter:
    told = message.headers.get(REASON)
    return DeadLetter(
        id=message.message_id or "",
        topic=topic,
        body=message.body.decode(),
        deliveries=_failures(message) or _BROKER_LIMIT,
        reason=str(told) if told else NEVER_FINISHED,  # the broker's own, for whoever its belt has caught
    )


def _failures(message: AbstractIncomingMessage) -> int:
    return _count(message, FAILURES)


def _count(message: AbstractIncomingMessage, header: str) -> int:
    value = message.headers.get(header)
    return value if isinstance(value, int) else 0


def _main(topic: str) -> str:
    return f"crossway.{topic}"


def _dead(topic: str) -> str:
    return f"crossway.{topic}.dead"


def _paused(topic: str, pause_s: float) -> str:
    # Its pause is part of its name: a queue's arguments can never be changed.
    return f"crossway.{topic}.pause.{round(pause_s * 1000)}"


def _jittered(policy: QueuePolicy, attempt: int) -> float:
    """Return how long to wait for a broker before attempt ``attempt`` (from 1); many that lost it come back apart."""
    return policy.pause_s(attempt) * random.uniform(0.5, 1.0)  # noqa: S311  # nothing secret about it


def _unavailable(error: BaseException) -> QueueUnavailable:
    fix = "is RabbitMQ running, and is queue.url right?"
    return QueueUnavailable(f"the message queue does not answer ({type(error).__name__})", fix=fix)
