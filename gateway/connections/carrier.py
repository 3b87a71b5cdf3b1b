"""Carry HTTP to a platform's approved endpoints; ``exchange`` says over which tunnels, and what is repeated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ssl import SSLContext
from types import TracebackType
from typing import Self

import aiohttp

from catalog.endpoints import Target, verifying_context
from catalog.errors import CatalogError, DialRefused
from catalog.model.ids import PlatformId
from catalog.ports import ApprovedEndpoint, HttpAnswer, HttpCall
from gateway.connections.exchange import Exchange, Lines
from gateway.connections.hedging import Way
from gateway.connections.idle_lines import IdleLines
from gateway.connections.lines import Line, open_line
from gateway.connections.tunnels import LiveConnections
from routing.tunnel.tunnel import Tunnel


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
        self._tasks = asyncio.TaskGroup()
        self._warming: dict[tuple[Tunnel, ApprovedEndpoint], asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._warming.values():
            task.cancel()
        await self._tasks.__aexit__(None, None, None)
        await self._idle.close()

    @asynccontextmanager
    async def send(self, platform: PlatformId, endpoint: ApprovedEndpoint, call: HttpCall) -> AsyncIterator[HttpAnswer]:
        """Return the answer to ``call``; see the port."""
        if Target.of(call.url) != Target.of(endpoint.url):
            raise DialRefused("the call's URL does not lead to the endpoint it is meant for")
        self._live.to_platform(platform)  # whoever is not connected at all is told at once
        await self._idle.sweep(self._live.tunnels())
        lines = Lines(
            fresh=lambda way: self._fresh(platform, way, endpoint, call.timeout_s),
            used=lambda way: self._idle.take(way.tunnel, endpoint),
            wait_ways=self._live.wait_changed,
        )
        exchange = Exchange(call, lambda: self._live.ways_to(platform), lines)
        try:
            answer = await exchange.head()
            yield HttpAnswer(status=answer.status, headers=_headers(answer), body=exchange.pieces())
        finally:
            left = await exchange.end()
            if left is not None:
                await self._idle.put(left[0].tunnel, endpoint, left[1])
            if call.repeatable:
                self._warm(platform, endpoint, call.timeout_s)

    async def _fresh(self, platform: PlatformId, way: Way, endpoint: ApprovedEndpoint, timeout_s: float) -> Line:
        target = Target.of(endpoint.url)
        # Before anything is connected, which would be left open when the authority is of no use.
        tls = self._context(endpoint) if target.scheme == "https" else None
        connected = await self._live.to_platform(platform).open_over(way, endpoint.dial, timeout_s)
        return await open_line(connected, tls, target.host)

    def _warm(self, platform: PlatformId, endpoint: ApprovedEndpoint, timeout_s: float) -> None:
        """Have a line over the standby ready, so that the first call there takes one round trip."""
        for way in self._live.ways_to(platform)[1:]:
            place = (way.tunnel, endpoint)
            if not self._idle.has(*place) and place not in self._warming:
                task = self._tasks.create_task(self._laid(platform, way, endpoint, timeout_s))
                self._warming[place] = task
                task.add_done_callback(lambda _task, place=place: self._warming.pop(place))  # type: ignore[misc]

    async def _laid(self, platform: PlatformId, way: Way, endpoint: ApprovedEndpoint, timeout_s: float) -> None:
        with suppress(CatalogError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.put(way.tunnel, endpoint, await self._fresh(platform, way, endpoint, timeout_s))

    def _context(self, endpoint: ApprovedEndpoint) -> SSLContext:
        known = self._contexts.get(endpoint.ca_pem)
        if known is None:
            if len(self._contexts) >= self._policy.authority_limit:
                self._contexts.clear()
            known = self._contexts[endpoint.ca_pem] = verifying_context(endpoint.ca_pem)
        return known


def _headers(answer: aiohttp.ClientResponse) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in answer.raw_headers
    )
