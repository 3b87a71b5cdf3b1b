"""Carry HTTP to a platform's approved endpoints through whichever tunnel to it is up.

What is safe to repeat may go out on a connection that was used before, which its far end may be closing just then. What
is not goes out on a fresh one, so that it is either not sent at all or sent once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from ssl import SSLContext
from types import TracebackType
from typing import Self

import aiohttp

from catalog.errors import CloudMisbehaved, CloudTimedOut, CloudUnavailable, DialRefused
from catalog.model.ids import PlatformId
from catalog.ports import ApprovedEndpoint, HttpAnswer, HttpCall
from gateway.connections.idle_lines import IdleLines
from gateway.connections.lines import Line, open_line, origin, verifying_context
from gateway.connections.tunnels import LiveConnection, LiveConnections


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierPolicy:
    """How many unused lines to one endpoint are kept, and for how long (many a server closes them after a minute).

    TLS settings are kept for ``authority_limit`` authorities: making them costs milliseconds.
    """

    idle_limit: int = 8
    idle_s: float = 20.0
    authority_limit: int = 256


class TunnelCarrier:
    """catalog.ports.Carrier over the tunnels of this process.

    Use as an async context manager; leaving it closes every idle line.
    """

    def __init__(self, live: LiveConnections, policy: CarrierPolicy | None = None) -> None:
        """Take the registry of tunnels."""
        self._live = live
        self._policy = policy or CarrierPolicy()
        self._idle = IdleLines(limit=self._policy.idle_limit, idle_s=self._policy.idle_s)
        self._contexts: dict[str | None, SSLContext] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._idle.close()

    @asynccontextmanager
    async def send(self, platform: PlatformId, endpoint: ApprovedEndpoint, call: HttpCall) -> AsyncIterator[HttpAnswer]:
        """Return the answer to ``call``; see the port."""
        if origin(call.url) != origin(endpoint.url):
            raise DialRefused("the call's URL does not lead to the endpoint it is meant for")
        await self._idle.sweep(self._live.tunnels())
        live = self._live.to_platform(platform)
        line = await self._line(live, endpoint, call)
        try:
            answer = await _asked(line, call)
            with closing(answer):
                yield HttpAnswer(status=answer.status, headers=_headers(answer), body=_pieces(answer, call.timeout_s))
        except BaseException:
            await line.close()
            raise
        await self._idle.put(live.tunnel, endpoint, line)

    async def _line(self, live: LiveConnection, endpoint: ApprovedEndpoint, call: HttpCall) -> Line:
        """Return a line to ``endpoint``. Whatever this raises, nothing was sent."""
        if call.repeatable and (known := self._idle.take(live.tunnel, endpoint)) is not None:
            return known
        scheme, host, _ = origin(endpoint.url)
        try:
            async with asyncio.timeout(call.timeout_s):
                connected = await live.open_socket(endpoint.dial, call.timeout_s)
                return await open_line(connected, self._context(endpoint) if scheme == "https" else None, host)
        except (TimeoutError, CloudTimedOut) as error:
            raise CloudUnavailable("the platform did not answer the dial in time; nothing was sent") from error

    def _context(self, endpoint: ApprovedEndpoint) -> SSLContext:
        known = self._contexts.get(endpoint.ca_pem)
        if known is None:
            if len(self._contexts) >= self._policy.authority_limit:
                self._contexts.clear()
            known = self._contexts[endpoint.ca_pem] = verifying_context(endpoint.ca_pem)
        return known


async def _asked(line: Line, call: HttpCall) -> aiohttp.ClientResponse:
    """Send ``call`` and return its answer. Raises CloudTimedOut, CloudMisbehaved: something may have been done."""
    try:
        async with asyncio.timeout(call.timeout_s):
            return await line.ask(call)
    except TimeoutError as error:
        raise CloudTimedOut(f"the platform did not answer within {call.timeout_s:g} s") from error
    except (aiohttp.ClientResponseError, aiohttp.InvalidURL) as error:
        raise CloudMisbehaved("the platform's answer is no HTTP") from error
    except (aiohttp.ClientError, OSError) as error:
        raise CloudTimedOut("the connection broke before the platform answered") from error


async def _pieces(answer: aiohttp.ClientResponse, timeout_s: float) -> AsyncIterator[bytes]:
    """Yield the body as it comes, undecoded."""
    try:
        while True:
            async with asyncio.timeout(timeout_s):
                piece = await answer.content.readany()
            if not piece:
                return
            yield piece
    except TimeoutError as error:
        raise CloudTimedOut(f"the platform's answer stalled for {timeout_s:g} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise CloudTimedOut("the platform's answer broke off") from error


def _headers(answer: aiohttp.ClientResponse) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in answer.raw_headers
    )
