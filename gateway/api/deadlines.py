"""The HTTP protocol with limits that aiohttp's server does not have: a deadline for heads, caps on connections.

aiohttp closes a connection that never sends a byte after its keep-alive time, and waits for ever for the rest of a
half-sent head; its default keep-alive is an hour. The deadline of a body is in ``parse``, where bodies are read.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_server import Server

from catalog.model.ids import new_id
from gateway import telemetry
from gateway.api import problems
from gateway.api.edge import HEADERS
from gateway.api.proxies import peer_of
from gateway.api.services import ApiServices
from gateway.errors import MalformedRequest

log = logging.getLogger(__name__)
_SHARED = ""  # the address of whoever comes by a unix socket or by a proxy of ours


@dataclass(slots=True, kw_only=True)
class Caps:
    """How many connections are open, in all and per address; ``_SHARED`` has no cap of its own."""

    total: int
    per_address: int
    open_by_address: Counter[str] = field(default_factory=Counter)

    def enter(self, address: str) -> str | None:
        """Count a connection in and return None, or the name of the cap that it would break."""
        if self.open_by_address.total() >= self.total:
            return "connections"
        if address != _SHARED and self.open_by_address[address] >= self.per_address:
            return "connections_per_address"
        self.open_by_address[address] += 1
        return None

    def leave(self, address: str) -> None:
        """Count a connection out."""
        self.open_by_address[address] -= 1
        if not self.open_by_address[address]:
            del self.open_by_address[address]


class Deadlines(RequestHandler):
    """One connection. A head has ``head_s`` from its first byte (the first head: from the connect).

    One that is begun before the head ahead of it was answered has the keep-alive time instead: the parser does not
    tell what it holds.
    """

    __slots__ = ("_address", "_caps", "_head_timer", "_services")

    def __init__(self, manager: Server, *, services: ApiServices, caps: Caps, loop: asyncio.AbstractEventLoop) -> None:
        limits = services.limits
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=limits.keepalive_s,
            lingering_time=limits.linger_s,
            auto_decompress=False,  # compressed bodies are refused, not unpacked
            access_log=None,  # type: ignore[arg-type]  # None is allowed and means none; the edge logs requests
        )
        self._services = services
        self._caps = caps
        self._address: str | None = None
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless a cap is reached: then the connection is closed without a word."""
        peer = transport.get_extra_info("peername")
        address = peer_of(peer)
        if self._services.proxies.trusts(address):
            address = _SHARED  # many callers' connections come from there
        broken = self._caps.enter(address)
        if broken is not None:
            self._services.metrics.cut.labels(broken).inc()
            self._manager = None  # connection_lost has nothing to undo then
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
            return
        self._address = address
        self._services.metrics.connections.inc()
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End, and give the place to somebody else."""
        self._stop_timer()
        if self._address is not None:
            self._caps.leave(self._address)
            self._services.metrics.connections.dec()
            self._address = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse on; a complete head stops the clock, the first byte of another one starts it."""
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._stop_timer()
        elif self._head_timer is None and not self._request_in_progress and not self._messages:
            self._start_timer()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # it quotes what was sent
    ) -> web.StreamResponse:
        """Answer what is not HTTP, or what failed outside every handler, as a problem; the connection is closed."""
        telemetry.request_id.set(new_id("request", self._services.clock.now_s()))
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun; the connection is closed instead")
        if status == HTTPStatus.BAD_REQUEST:
            response = problems.problem(MalformedRequest("this is not HTTP/1.1 as RFC 9112 has it"))
        else:
            response = problems.problem(exc or RuntimeError("a handler ended without an answer"))
        response.headers.update(HEADERS)
        response.force_close()
        return response

    def _start_timer(self) -> None:
        self._head_timer = self._loop.call_later(self._services.limits.head_s, self._head_late)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        self._head_timer = None
        self._services.metrics.cut.labels("head_s").inc()
        self.force_close()
