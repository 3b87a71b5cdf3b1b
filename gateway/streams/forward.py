"""Forward local programs' streams through a gateway, until cancelled: what ``crossway forward`` does."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress

from gateway.client.problems import ClientError
from gateway.streams.dial import StreamDialer, Target
from gateway.streams.doors import Local, serve, standard
from gateway.streams.wire import StreamBroken, carry

log = logging.getLogger(__name__)

STREAMS_LIMIT = 128

Failure = ClientError | StreamBroken
Headers = Callable[[], Mapping[str, str]]  # asked anew for every stream


async def forward_standard(dialer: StreamDialer, target: Target, headers: Headers) -> None:
    """Carry standard input and output to ``target`` and back until both halves have ended.

    Raises DoorUnusable, StreamBroken, or what ``StreamDialer.opened`` does.
    """
    async with standard() as local:
        await _one(dialer, target, headers, local)


async def forward_from(
    listener: socket.socket,
    dialer: StreamDialer,
    target: Target,
    headers: Headers,
    *,
    told: Callable[[Failure], None],
) -> None:
    """Carry every local connection of our own uid to ``target``, until cancelled; ``told`` hears what failed."""

    async def work(local: Local) -> None:
        try:
            await _one(dialer, target, headers, local)
        except (ClientError, StreamBroken) as error:
            told(error)

    await serve(listener, work, limit=STREAMS_LIMIT)


def run_until_signal(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run ``work()`` until it ends, or SIGINT or SIGTERM ends it. Raises what it raises."""

    async def watched() -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        await work()

    with suppress(asyncio.CancelledError):
        asyncio.run(watched())


async def _one(dialer: StreamDialer, target: Target, headers: Headers, local: Local) -> None:
    async with dialer.opened(target, headers()) as web_socket:
        await carry(web_socket, local)
