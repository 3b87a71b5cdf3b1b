"""HTTP over a platform's tunnel: arrives as it was given, comes back as it came, is sent once unless repeatable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from catalog.errors import CertificateRefused, CloudMisbehaved, CloudTimedOut, CloudUnavailable, DialRefused
from catalog.ports import Address, ApprovedEndpoint, HttpCall
from gateway.connections.carrier import CarrierPolicy, TunnelCarrier
from gateway.connections.tunnels import LiveConnection
from tests.support import hostile
from tests.support.authority import Authority
from tests.support.connecting import Connecting
from tests.support.http_ledger import LedgerServer, ledger_server
from tests.support.sshd import free_port


@dataclass
class Carried:
    """A carrier over a live connection, and an endpoint behind it."""

    world: Connecting
    live: LiveConnection
    carrier: TunnelCarrier
    endpoint: ApprovedEndpoint

    def call(self, target: str, method: str = "GET", *, repeatable: bool = False, timeout_s: float = 20.0) -> HttpCall:
        """Return a call to ``target`` of the endpoint."""
        return HttpCall(method=method, url=self.endpoint.url + target, repeatable=repeatable, timeout_s=timeout_s)

    async def send(self, call: HttpCall, endpoint: ApprovedEndpoint | None = None) -> tuple[int, bytes]:
        """Send and return status and body."""
        async with self.carrier.send(self.world.platform, endpoint or self.endpoint, call) as answer:
            return answer.status, b"".join([piece async for piece in answer.body])


@asynccontextmanager
async def carried(
    world: Connecting,
    dial: Address,
    *,
    ca_pem: str | None = None,
    host: str = "cloud.test",
    policy: CarrierPolicy | None = None,
) -> AsyncIterator[Carried]:
    """Give a carrier to what listens at ``dial``, over the platform's own direct tunnel."""
    async with world.target(), TunnelCarrier(world.live, policy) as carrier:
        live = await world.connect()
        scheme = "http" if ca_pem is None else "https"
        endpoint = ApprovedEndpoint(url=f"{scheme}://{host}:{dial.port}", dial=dial, ca_pem=ca_pem)
        yield Carried(world, live, carrier, endpoint)
        await world.establisher.live_closed(live)


@asynccontextmanager
async def to_ledger(world: Connecting, **options: object) -> AsyncIterator[tuple[Carried, LedgerServer]]:
    """Give a carrier to a server that writes down what arrives."""
    async with ledger_server() as (server, dial), carried(world, dial, **options) as there:  # type: ignore[arg-type]
        yield there, server


def test_a_call_arrives_as_it_was_given(world: Connecting) -> None:
    """Method, target and headers arrive as given and in order; only a missing Host and Content-Length come to it."""

    async def run() -> None:
        async with to_ledger(world) as (there, server):
            headers = (("X-Signed", "a b"), ("x-twice", "1"), ("x-twice", "2"), ("Content-Type", "text/odd"))
            url = f"{there.endpoint.url}/ok?a=%2F&b=%20c+d"
            call = HttpCall(method="PUT", url=url, headers=headers, body=b"body")
            assert await there.send(call) == (200, b"ok")
            (entry,) = server.ledger.entries
            assert (entry.method, entry.target, entry.body) == ("PUT", "/ok?a=%2F&b=%20c+d", b"body")
            added = {("Host", f"cloud.test:{there.endpoint.dial.port}"), ("Content-Length", "4")}
            assert set(entry.headers) == {*headers, *added}
            assert [each for each in entry.headers if each in headers] == list(headers)

    asyncio.run(run())


def test_any_status_is_an_answer(world: Connecting) -> None:
    """A refusal and a redirect come back as they are; a redirect is not followed."""

    async def run() -> None:
        async with to_ledger(world) as (there, server):
            assert (await there.send(there.call("/missing")))[0] == 404
            async with there.carrier.send(world.platform, there.endpoint, there.call("/moved")) as answer:
                assert (answer.status, dict(answer.headers)["Location"]) == (307, "/ok")
            assert server.ledger.arrivals() == {"/missing": 1, "/moved": 1}

    asyncio.run(run())


def test_a_body_is_streamed(world: Connecting) -> None:
    """A long body comes whole and in order; one that is not read to its end costs its connection only."""

    async def run() -> None:
        async with to_ledger(world) as (there, _server):
            status, body = await there.send(there.call("/large", repeatable=True))
            assert (status, body) == (200, b"".join(bytes([number]) * 10_000 for number in range(30)))
            async with there.carrier.send(world.platform, there.endpoint, there.call("/large")) as answer:
                assert await anext(answer.body)
            assert await there.send(there.call("/ok")) == (200, b"ok")

    asyncio.run(run())


def test_repeatable_calls_share_a_connection(world: Connecting) -> None:
    """One after the other use one connection; a call that may not be repeated gets a fresh one."""

    async def run() -> None:
        async with to_ledger(world) as (there, server):
            for number in range(3):
                await there.send(there.call(f"/ok?{number}", repeatable=True))
            await there.send(there.call("/ok?once"))
            peers = [entry.peer for entry in server.ledger.entries]
            assert len(set(peers[:3])) == 1
            assert peers[3] not in peers[:3]
            await there.send(there.call("/close", repeatable=True))
            await there.send(there.call("/ok?after", repeatable=True))

    asyncio.run(run())


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_what_may_not_be_repeated_is_sent_once(world: Connecting, method: str) -> None:
    """The connection breaks after the request arrived: the outcome is unknown, and the ledger shows one arrival."""

    async def run() -> None:
        async with to_ledger(world) as (there, server):
            with pytest.raises(CloudTimedOut):
                await there.send(there.call("/drop", method))
            with pytest.raises(CloudTimedOut):
                await there.send(there.call("/hang", method, timeout_s=0.2))
            assert server.ledger.arrivals() == {"/drop": 1, "/hang": 1}

    asyncio.run(run())


def test_a_broken_body_is_said_to_be(world: Connecting) -> None:
    """A body that ends before its length ends in an error, not in a shorter body."""

    async def run() -> None:
        async with to_ledger(world) as (there, _server):
            with pytest.raises(CloudTimedOut):
                await there.send(there.call("/broken"))

    asyncio.run(run())


def test_what_cannot_be_reached_was_not_done(world: Connecting) -> None:
    """Nothing listens, or no tunnel stands: CloudUnavailable, which means that nothing was done."""

    async def run() -> None:
        async with carried(world, Address(host="127.0.0.1", port=free_port())) as there:
            with pytest.raises(CloudUnavailable):
                await there.send(there.call("/ok"))
            world.live.drop(there.live.connection)
            with pytest.raises(CloudUnavailable):
                await there.send(there.call("/ok"))

    asyncio.run(run())


def test_the_far_end_proves_its_name(world: Connecting, tmp_path: Path) -> None:
    """TLS trusts the endpoint's own authority, for the host of its URL, whatever address is dialled."""
    authority = Authority(tmp_path)
    context = authority.issue("cloud.test").context()

    async def run() -> None:
        async with ledger_server(context) as (server, dial), carried(world, dial, ca_pem=authority.pem) as there:
            assert await there.send(there.call("/ok")) == (200, b"ok")
            url = f"https://other.test:{dial.port}"
            other = ApprovedEndpoint(url=url, dial=dial, ca_pem=authority.pem)
            with pytest.raises(CertificateRefused):
                await there.send(HttpCall(method="GET", url=f"{url}/ok"), other)
            assert len(server.ledger.entries) == 1

    asyncio.run(run())


def test_an_authority_that_is_no_certificate_proves_nothing(world: Connecting) -> None:
    """It is told as what it is, and nothing is dialled."""

    async def run() -> None:
        async with ledger_server() as (_server, dial), carried(world, dial, ca_pem="no certificate") as there:
            opened = there.live.tunnel.channels_opened
            with pytest.raises(CertificateRefused):
                await there.send(there.call("/ok"))
            assert there.live.tunnel.channels_opened == opened

    asyncio.run(run())


def test_only_the_endpoint_is_called(world: Connecting) -> None:
    """A URL of another host, port or scheme than the endpoint's is refused before anything is dialled."""

    async def run() -> None:
        async with to_ledger(world) as (there, server):
            opened = there.live.tunnel.channels_opened
            for url in ("http://elsewhere.test/ok", "https://cloud.test/ok", "http://cloud.test:1/ok", "file:///ok"):
                with pytest.raises(DialRefused):
                    await there.send(HttpCall(method="GET", url=url))
            assert server.ledger.entries == []
            assert there.live.tunnel.channels_opened == opened

    asyncio.run(run())


def test_garbage_is_misbehaviour(world: Connecting) -> None:
    """What answers in another protocol is said to misbehave."""

    async def run() -> None:
        async with hostile.hostile(hostile.raw(b"SSH-2.0-OpenSSH_9.2\r\n")) as at, carried(world, at) as there:
            with pytest.raises(CloudMisbehaved):
                await there.send(there.call("/ok"))

    asyncio.run(run())
