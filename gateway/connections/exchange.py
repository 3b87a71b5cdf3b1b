"""One call and its answer over whichever tunnels there are.

What may be repeated is sent over the next tunnel as soon as the one in use is in doubt, and the first answer counts; an
answer that breaks off is asked for again, and goes on where it broke off if it is still the same. Everything else goes
out on a connection that nobody used before, which its far end cannot be closing just then: it is either not sent at
all, or sent once.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from catalog.errors import CloudError, CloudMisbehaved, CloudTimedOut, CloudUnavailable
from catalog.ports import HttpCall
from gateway.connections.hedging import Way, Ways, hedged
from gateway.connections.lines import Line
from routing.tunnel.liveness import Health

# How often an answer that breaks off is asked for again.
_REPLAYS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Where lines to the endpoint come from.

    ``fresh`` makes one over a way, or raises CloudError, and nothing was sent; ``used`` gives one that has been used;
    ``wait_ways`` waits until there may be other ways than now.
    """

    fresh: Callable[[Way], Awaitable[Line]]
    used: Callable[[Way], Line | None]
    wait_ways: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Sent:
    """A call that was answered: over which way and line, and the answer, its head read."""

    way: Way
    line: Line
    answer: aiohttp.ClientResponse

    async def drop(self) -> None:
        self.answer.close()
        await self.line.close()


class Exchange:
    """Sends one call and reads its answer."""

    def __init__(self, call: HttpCall, ways: Ways, lines: Lines) -> None:
        """Take the call, the ways there are at any time, and where lines come from."""
        self._call = call
        self._ways = ways
        self._lines = lines
        self._sent: _Sent | None = None
        self._replays_left = _REPLAYS if call.repeatable else 0

    async def head(self) -> aiohttp.ClientResponse:
        """Send the call and return its answer, the head read.

        Raises CloudUnavailable (nothing was done), CloudTimedOut (no answer in time, or the connection broke),
        CertificateRefused and CloudMisbehaved.
        """
        self._sent = await (self._repeatedly() if self._call.repeatable else self._once())
        return self._sent.answer

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, undecoded. Raises CloudTimedOut when it stalls or breaks off for good."""
        told = _Told()
        while True:
            try:
                piece = await self._piece()
                told.check_end(piece)
            except CloudTimedOut:
                if not self._replays_left:
                    raise
                self._replays_left -= 1
                await self._ask_again()
                told.begin_again()
                continue
            if not piece:
                return
            if fresh := told.beyond(piece):
                yield fresh

    async def end(self) -> tuple[Way, Line] | None:
        """Give everything up but a line that is fit for another call; return that and its way. May be repeated."""
        sent, self._sent = self._sent, None
        if sent is None:
            return None
        sent.answer.close()
        if sent.line.is_open:
            return sent.way, sent.line
        await sent.line.close()
        return None

    async def _once(self) -> _Sent:
        async def fresh(way: Way) -> tuple[Way, Line]:
            return way, await self._lines.fresh(way)

        try:
            async with asyncio.timeout(self._call.timeout_s):
                way, line = await hedged(self._ways, fresh, lambda late: late[1].close())
        except (TimeoutError, CloudTimedOut) as error:
            raise CloudUnavailable("the platform did not answer the dial in time; nothing was sent") from error
        async with self._in_time():
            return await self._asked(way, line)

    async def _repeatedly(self) -> _Sent:
        async with self._in_time():
            while True:
                try:
                    return await hedged(self._ways, self._over, _Sent.drop)
                except CloudError:
                    if self._ways():
                        raise
                # Every tunnel is lost, but the connection was up a moment ago: it is being established again.
                await self._lines.wait_ways()

    async def _over(self, way: Way) -> _Sent:
        used = self._lines.used(way)
        if used is not None:
            try:
                return await self._asked(way, used)
            except CloudTimedOut:
                pass  # closed by its far end in the meantime, as unused connections are
        return await self._asked(way, await self._lines.fresh(way))

    async def _asked(self, way: Way, line: Line) -> _Sent:
        try:
            return _Sent(way, line, await line.ask(self._call))
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL) as error:
            await line.close()
            raise CloudMisbehaved("the platform's answer is no HTTP") from error
        except (aiohttp.ClientError, OSError) as error:
            await line.close()
            raise CloudTimedOut("the connection broke before the platform answered") from error
        except BaseException:
            await line.close()
            raise

    async def _ask_again(self) -> None:
        assert self._sent is not None
        status = self._sent.answer.status
        await self._sent.drop()
        self._sent = None
        self._sent = await self._repeatedly()
        if self._sent.answer.status != status:
            raise _changed()

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._call.timeout_s):
                yield
        except TimeoutError as error:
            raise CloudTimedOut(f"the platform did not answer within {self._call.timeout_s:g} s") from error

    async def _piece(self) -> bytes:
        """Return the next piece of the body, empty at its end."""
        sent = self._sent
        assert sent is not None

        def doubted(health: Health) -> None:
            # Doubt passes: it is worth neither the last replay nor a change to a tunnel that is in doubt too.
            kept = 0 if health is Health.DEAD else 1
            better = any(way.tunnel.health is Health.HEALTHY for way in self._ways())
            if health is not Health.HEALTHY and better and self._replays_left > kept:
                sent.line.abort()

        sent.way.tunnel.listen(doubted)
        try:
            async with self._in_time():
                return await sent.answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise CloudTimedOut("the platform's answer broke off") from error
        finally:
            sent.way.tunnel.unlisten(doubted)


class _Told:
    """What of a body has been handed on, and how far a second copy of it has been compared with that."""

    def __init__(self) -> None:
        self._count = 0
        self._digest = hashlib.sha256()
        self._compared = 0
        self._again = hashlib.sha256()

    def begin_again(self) -> None:
        """Expect the body from its beginning."""
        self._compared = 0
        self._again = hashlib.sha256()

    def beyond(self, piece: bytes) -> bytes:
        """Return what of ``piece`` has not been handed on yet. Raises CloudTimedOut when what has is another body's."""
        known = piece[: self._count - self._compared]
        self._again.update(known)
        self._compared += len(known)
        if self._compared == self._count and self._again.digest() != self._digest.digest():
            raise _changed()
        fresh = piece[len(known) :]
        for digest in (self._digest, self._again):
            digest.update(fresh)
        self._count += len(fresh)
        self._compared += len(fresh)
        return fresh

    def check_end(self, piece: bytes) -> None:
        """Raise CloudTimedOut when ``piece`` is the end of a body shorter than what has been handed on."""
        if not piece and self._compared < self._count:
            raise _changed()


def _changed() -> CloudTimedOut:
    return CloudTimedOut("the platform's answer broke off, and was another one when it was asked for again")
