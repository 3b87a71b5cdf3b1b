"""TCP probes: each method times one round trip where it is meant to be used, and counts silence as loss."""

import asyncio

import pytest

from routing.probe.plan import ProbePolicy
from routing.probe.tcp import TcpMethod, probe_tcp
from routing.topology import Address
from tests.routing.world import MakeWorld, delaying_proxy, echo_server, silent_server
from tests.support.sshd import free_port

_POLICY = ProbePolicy(samples=3, interval_ms=1, timeout_ms=5000)


@pytest.mark.parametrize("method", [TcpMethod.CONNECT, TcpMethod.FIRST_BYTE])
def test_a_live_port_answers_every_sample(method: TcpMethod) -> None:
    """Every sample to a listener comes back, in more than no time."""

    async def run() -> tuple[float | None, ...]:
        async with echo_server() as address:
            return await probe_tcp(address, method, _POLICY)

    samples = asyncio.run(run())
    assert len(samples) == 3
    assert all(ms is not None and ms > 0 for ms in samples)


@pytest.mark.parametrize("method", list(TcpMethod))
def test_nobody_listening_is_loss(method: TcpMethod) -> None:
    """A refused connect is a lost sample by every method, not an error."""
    samples = asyncio.run(probe_tcp(Address("127.0.0.1", free_port()), method, _POLICY))
    assert samples == (None, None, None)


@pytest.mark.parametrize("method", [TcpMethod.BANNER, TcpMethod.FIRST_BYTE])
def test_a_silent_listener_is_loss(method: TcpMethod) -> None:
    """Who accepts and never answers has lost the sample after the timeout."""

    async def run() -> tuple[float | None, ...]:
        async with silent_server() as address:
            return await probe_tcp(address, method, ProbePolicy(samples=1, interval_ms=1, timeout_ms=100))

    assert asyncio.run(run()) == (None,)


def test_another_protocol_is_no_ssh_banner() -> None:
    """A listener that does not speak SSH cannot pass for a relay."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async def run() -> tuple[float | None, ...]:
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            address = Address(*server.sockets[0].getsockname()[:2])
            return await probe_tcp(address, TcpMethod.BANNER, _POLICY)

    assert asyncio.run(run()) == (None, None, None)


@pytest.mark.parametrize("method", [TcpMethod.BANNER, TcpMethod.FIRST_BYTE])
def test_a_delaying_proxy_does_not_hide_the_delay(world: MakeWorld, method: TcpMethod) -> None:
    """Behind a proxy that accepts at once and delays 60 ms each way, a question and answer takes 120 ms or more."""
    here = world(1)

    async def run() -> tuple[float | None, ...]:
        async with echo_server() as echo:
            upstream = Address(*here.sshds[0].address) if method is TcpMethod.BANNER else echo
            async with delaying_proxy(upstream, 0.06) as address:
                return await probe_tcp(address, method, _POLICY)

    samples = asyncio.run(run())
    # Timers may fire a clock tick early.
    assert all(ms is not None and ms >= 119 for ms in samples)
