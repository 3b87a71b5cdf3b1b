"""A relay fails under a call: what may be repeated is, unnoticed; what may not arrives once, by the server's word."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import aiohttp
import pytest

from catalog.errors import CloudTimedOut
from catalog.model.connection import ConnectionState
from catalog.ports import ApprovedEndpoint, HttpCall
from gateway.connections.carrier import TunnelCarrier
from gateway.connections.exchange import Exchange, Lines
from gateway.connections.hedging import Way
from gateway.connections.lines import Line
from routing.tunnel.liveness import Health
from tests.support.connecting import Connecting, ready
from tests.support.feelings import Feeling, ways
from tests.support.http_ledger import LedgerServer, ledger_server
from tests.support.sshd import Sshd

BODY = b"12345678"
FAIL: list[Callable[[Sshd], None]] = [Sshd.freeze, Sshd.stop]


@dataclass
class There:
    """A carrier over r1 with r2 standing by, and a server that writes down what arrives."""

    world: Connecting
    carrier: TunnelCarrier
    endpoint: ApprovedEndpoint
    server: LedgerServer

    async def send(self, target: str, *, repeatable: bool, timeout_s: float = 30.0) -> bytes:
        """Send a call and return its body."""
        call = HttpCall(method="POST", url=self.endpoint.url + target, repeatable=repeatable, timeout_s=timeout_s)
        async with self.carrier.send(self.world.platform, self.endpoint, call) as answer:
            assert answer.status == 200
            return b"".join([piece async for piece in answer.body])


@asynccontextmanager
async def there(world: Connecting) -> AsyncIterator[There]:
    """Give a connection over r1 with r2 standing by."""
    async with ledger_server() as (server, dial), world.target(), TunnelCarrier(world.live) as carrier, world.keeping():
        connection = await asyncio.to_thread(world.request)
        await world.wait(connection, ConnectionState.ESTABLISHED)
        await ready(world, connection, "r2")
        yield There(world, carrier, ApprovedEndpoint(url=f"http://{dial}", dial=dial), server)


@pytest.mark.parametrize("fail", FAIL, ids=["falls silent", "killed"])
def test_what_may_be_repeated_is_answered_over_the_standby(
    world: Connecting, relays: dict[str, Sshd], fail: Callable[[Sshd], None]
) -> None:
    """The relay fails while the server thinks: it arrives again over the standby, and its caller sees one answer."""

    async def run() -> None:
        async with there(world) as here, asyncio.TaskGroup() as group:
            asked = group.create_task(here.send("/slow", repeatable=True))
            await here.server.ledger.wait_for(1)
            await asyncio.to_thread(fail, relays["r1"])
            await here.server.ledger.wait_for(2)
            here.server.release.set()
            assert await asked == b"ok"
            assert here.server.ledger.arrivals() == {"/slow": 2}

    asyncio.run(run())


@pytest.mark.parametrize("fail", FAIL, ids=["falls silent", "killed"])
def test_what_may_not_be_repeated_is_sent_once_and_its_end_is_unknown(
    world: Connecting, relays: dict[str, Sshd], fail: Callable[[Sshd], None]
) -> None:
    """The relay fails after the call arrived: it ends as unknown and never arrives again; the next goes through."""

    async def run() -> None:
        async with there(world) as here, asyncio.TaskGroup() as group:
            asked = group.create_task(ended(here.send("/slow", repeatable=False, timeout_s=1.0)))
            await here.server.ledger.wait_for(1)
            await asyncio.to_thread(fail, relays["r1"])
            assert isinstance(await asked, CloudTimedOut)
            assert await here.send("/ok", repeatable=False) == b"ok"
            assert here.server.ledger.arrivals() == {"/slow": 1, "/ok": 1}

    asyncio.run(run())


def test_an_answer_that_breaks_off_goes_on(world: Connecting, relays: dict[str, Sshd]) -> None:
    """The relay dies in the middle of a body: its reader gets every byte once, the rest over the standby."""

    async def run() -> None:
        async with there(world) as here:
            call = HttpCall(method="GET", url=here.endpoint.url + "/paced", repeatable=True)
            got = bytearray()
            async with here.carrier.send(world.platform, here.endpoint, call) as answer:
                async for piece in answer.body:
                    if not got:
                        await asyncio.to_thread(relays["r1"].stop)
                        here.server.release.set()
                    got += piece
            assert bytes(got) == bytes(range(256)) * 2
            assert here.server.ledger.arrivals()["/paced"] == 2

    asyncio.run(run())


class Doubtful:
    """A line over a tunnel that is doubted in the middle of every answer; see ``Halves``."""

    def __init__(self, feeling: Feeling) -> None:
        self.feeling = feeling
        self.is_cut = False

    async def ask(self, _call: HttpCall) -> "Halves":
        """Answer."""
        return Halves(self)

    def abort(self) -> None:
        """Be cut off."""
        self.is_cut = True

    async def close(self) -> None:
        """Be closed."""


class Halves:
    """An answer: half of ``BODY``, doubt about its tunnel, and the other half unless it was cut off for that."""

    status = 200

    def __init__(self, line: Doubtful) -> None:
        self.line = line
        self.left = [b"", BODY[4:], BODY[:4]]

    @property
    def content(self) -> "Halves":
        """What the body is read from."""
        return self

    async def readany(self) -> bytes:
        """Return the next half."""
        piece = self.left.pop()
        if piece == BODY[4:]:
            self.line.feeling.becomes(Health.SUSPECT)
            if self.line.is_cut:
                self.line.feeling.becomes(Health.HEALTHY)
                raise aiohttp.ClientPayloadError
        return piece

    def close(self) -> None:
        """Be closed."""


@pytest.mark.parametrize(
    ("other", "asked"),
    [
        pytest.param(Health.HEALTHY, 3, id="the other is healthy"),
        pytest.param(Health.SUSPECT, 1, id="the other is in doubt too"),
    ],
)
def test_doubt_alone_never_ends_an_answer(other: Health, asked: int) -> None:
    """Every tunnel is doubted under every copy of the body: two are cut off for a better one, the third goes on."""
    lines: list[Doubtful] = []
    there = ways(Feeling(), Feeling())
    cast("Feeling", there[1].tunnel).becomes(other)

    async def fresh(way: Way) -> Line:
        lines.append(Doubtful(cast("Feeling", way.tunnel)))
        return cast("Line", lines[-1])

    async def no_ways() -> None:
        raise AssertionError("there are ways")

    async def run() -> bytes:
        call = HttpCall(method="GET", url="http://cloud.test/", repeatable=True)
        exchange = Exchange(call, lambda: there, Lines(fresh=fresh, used=lambda _way: None, wait_ways=no_ways))
        await exchange.head()
        return b"".join([piece async for piece in exchange.pieces()])

    assert asyncio.run(run()) == BODY
    assert len(lines) == asked


async def ended(sending: Awaitable[bytes]) -> bytes | CloudTimedOut:
    """Return what a call ended in, its error included."""
    try:
        return await sending
    except CloudTimedOut as error:
        return error
