"""An HTTP server that writes down every request before it does anything else, and then behaves as its path says.

The ledger is what "sent twice" is judged by: it is the server's word, not the client's.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from catalog.ports import Address


@dataclass(frozen=True, slots=True)
class Entry:
    """One request as it arrived. ``peer`` tells connections apart."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    peer: object


@dataclass(slots=True)
class Ledger:
    """What arrived, in order; ``changed`` is notified of each."""

    entries: list[Entry] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def arrivals(self) -> Counter[str]:
        """Return how often each request target arrived."""
        return Counter(entry.target for entry in self.entries)

    async def wait_for(self, count: int) -> None:
        """Wait until ``count`` requests have arrived in all."""
        async with self.changed, asyncio.timeout(60):
            await self.changed.wait_for(lambda: len(self.entries) >= count)


class LedgerServer:
    """Serves these paths; a query makes targets distinct.

    ``/ok`` says so, ``/close`` does and closes, ``/drop`` closes without a word, ``/hang`` never answers, ``/slow``
    answers when ``release`` is set, ``/paced`` sends 256 bytes at once and 256 then, ``/large`` has 300,000 bytes in
    pieces, ``/broken`` promises more than it sends, ``/moved`` redirects, anything else is 404.
    """

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.release = asyncio.Event()
        self.stopping = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Write the request down, then answer."""
        assert request.transport is not None
        headers = tuple((name.decode(), value.decode()) for name, value in request.raw_headers)
        peer = request.transport.get_extra_info("peername")
        entry = Entry(request.method, request.path_qs, headers, await request.read(), peer)
        async with self.ledger.changed:
            self.ledger.entries.append(entry)
            self.ledger.changed.notify_all()
        return await self._answer(request)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path in {"/large", "/broken"}:
            return await _pieces(request, ends=request.path == "/large")
        if request.path == "/paced":
            return await self._paced(request)
        if request.path == "/slow":
            await self.release.wait()
        elif request.path == "/hang":
            await self.stopping.wait()
        elif request.path == "/drop":
            assert request.transport is not None
            request.transport.abort()
        status, text, headers = _SAYS.get(request.path, (404, "", {}))
        return web.Response(status=status, text=text, headers=headers)

    async def _paced(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "512"})
        await response.prepare(request)
        await response.write(bytes(range(256)))
        await self.release.wait()
        await response.write(bytes(range(256)))
        return response


_SAYS: dict[str, tuple[int, str, dict[str, str]]] = {
    "/ok": (200, "ok", {}),
    "/slow": (200, "ok", {}),
    "/close": (200, "ok", {"Connection": "close"}),
    "/moved": (307, "", {"Location": "/ok"}),
}


@asynccontextmanager
async def ledger_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[LedgerServer, Address]]:
    """Serve on loopback until the block ends; give the server and where it listens."""
    served = LedgerServer()
    runner = web.ServerRunner(web.Server(served.handle), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield served, Address(host=host, port=port)
    finally:
        served.stopping.set()
        served.release.set()
        await runner.cleanup()


async def _pieces(request: web.BaseRequest, *, ends: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "300000"})
    await response.prepare(request)
    for number in range(30 if ends else 20):
        await response.write(bytes([number]) * 10_000)
    if not ends:
        assert request.transport is not None
        request.transport.close()  # after what is written
    return response
