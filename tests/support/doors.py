"""A door before a server: by default all bytes pass; a test makes it misbehave, and behave again, while it runs.

Unlike ``hostile`` it is for whole processes: it runs on a thread of its own, in the network of whoever opened it.
"""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from catalog.ports import Address
from tests.support.hostile import Behaviour, hostile

_PIECE_BYTES = 65_536
_PATIENCE_S = 20.0


@dataclass(slots=True, kw_only=True)
class Door:
    """Where it listens, what is behind it, and what every new connection meets: ``behaviour``, or the server itself."""

    address: Address
    behind: Address
    behaviour: Behaviour | None = None
    misbehaved: int = 0  # connections that met a behaviour since it was set
    _inner: set[asyncio.StreamWriter] = field(default_factory=set)

    @contextmanager
    def behaving(self, behaviour: Behaviour) -> Iterator[None]:
        """Misbehave for the block, towards connections that are made in it."""
        self.misbehaved, self.behaviour = 0, behaviour
        try:
            yield
        finally:
            self.behaviour = None

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.behaviour is not None:
            self.misbehaved += 1
            await self.behaviour(reader, writer)
            return
        inner_reader, inner_writer = await asyncio.open_connection(self.behind.host, self.behind.port)
        self._inner.add(inner_writer)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_pass(reader, inner_writer))
                tasks.create_task(_pass(inner_reader, writer))
        finally:
            self._inner.discard(inner_writer)
            inner_writer.transport.abort()

    def cut(self) -> None:
        """Cut what passes."""
        for writer in self._inner:
            writer.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()  # TLS has no half-close


@contextmanager
def door(behind: Address, *, tls: ssl.SSLContext | None = None) -> Iterator[Door]:
    """Open a door before ``behind`` until the block ends; with ``tls`` it ends TLS and passes plain bytes on."""
    opened: Future[tuple[Door, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        made = Door(address=behind, behind=behind)
        async with hostile(made._met, tls=tls) as address:
            made.address, closing = address, asyncio.Event()
            opened.set_result((made, asyncio.get_running_loop(), closing))
            await closing.wait()
            made.cut()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    made, loop, closing = opened.result(_PATIENCE_S)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(closing.set)
        thread.join(_PATIENCE_S)
        assert not thread.is_alive(), "a connection of this door does not end"
