"""Links that start at a relay are timed over its SSH connection, with the way to the relay taken off."""

import asyncio

import pytest

from routing.errors import HopRefused
from routing.probe.plan import ProbePolicy
from routing.probe.tcp import TcpMethod
from routing.probe.via_relay import probe_via_relay
from routing.topology import Address
from routing.tunnel.hops import Hops
from tests.routing.world import MakeWorld, World, delaying_proxy, echo_server
from tests.support.sshd import free_port

_POLICY = ProbePolicy(samples=3, interval_ms=1, timeout_ms=5000)


async def _probe(here: World, address: Address, method: TcpMethod) -> tuple[float | None, ...]:
    async with Hops(here.topology(), here.credentials, here.policy) as hops:
        return await probe_via_relay(await hops.reach(("r1",)), address, method, _POLICY)


@pytest.mark.parametrize("method", [TcpMethod.BANNER, TcpMethod.FIRST_BYTE])
def test_the_delay_beyond_the_relay_is_measured(world: MakeWorld, method: TcpMethod) -> None:
    """60 ms each way beyond the relay read as 120 ms, less at most the noise of a local round trip (taken off)."""
    here = world(2)

    async def run() -> tuple[float | None, ...]:
        async with echo_server() as echo:
            upstream = Address(*here.sshds[1].address) if method is TcpMethod.BANNER else echo
            async with delaying_proxy(upstream, 0.06) as address:
                return await _probe(here, address, method)

    samples = asyncio.run(run())
    assert all(ms is not None and ms > 60 for ms in samples)


@pytest.mark.parametrize("method", list(TcpMethod))
def test_the_way_to_the_relay_is_taken_off(world: MakeWorld, method: TcpMethod) -> None:
    """With 100 ms each way before the relay and nothing beyond it, the link beyond reads less than those 200 ms."""
    here = world(2)

    async def run() -> tuple[float | None, ...]:
        async with echo_server() as echo, delaying_proxy(Address(*here.sshds[0].address), 0.1) as near:
            upstream = Address(*here.sshds[1].address) if method is TcpMethod.BANNER else echo
            here.sshds[0].port = near.port
            return await _probe(here, upstream, method)

    samples = asyncio.run(run())
    assert sorted(ms for ms in samples if ms is not None)[1] < 200


def test_nobody_listening_beyond_is_loss(world: MakeWorld) -> None:
    """A connect that the relay cannot make is a lost sample."""
    here = world(1)
    samples = asyncio.run(_probe(here, Address("127.0.0.1", free_port()), TcpMethod.CONNECT))
    assert samples == (None, None, None)


def test_a_forbidden_link_is_no_loss(world: MakeWorld) -> None:
    """A relay whose configuration forbids the address says nothing about the link: HopRefused, not loss."""
    here = world(1, "PermitOpen 127.0.0.1:9")

    async def run() -> None:
        async with echo_server() as echo:
            with pytest.raises(HopRefused):
                await _probe(here, echo, TcpMethod.CONNECT)

    asyncio.run(run())
