"""Links that start at a relay are timed over its SSH connection, with the way to the relay taken off."""

import asyncio

import asyncssh
import pytest

from routing.errors import HopRefused
from routing.probe.plan import ProbePolicy
from routing.probe.relay_ping import RelayPing
from routing.probe.tcp import TcpMethod
from routing.probe.via_relay import probe_beyond, probe_via_relay
from routing.topology import Address
from tests.routing.world import MakeWorld, World, delaying_proxy, echo_server
from tests.support.lab import Lab, require_lab
from tests.support.sshd import free_port

_POLICY = ProbePolicy(samples=3, interval_ms=1, timeout_ms=5000)


async def _probe(here: World, address: Address, method: TcpMethod) -> tuple[float | None, ...]:
    async with here.pool() as pool:
        return await probe_via_relay((await pool.lease(("r1",), here.topology())).connection, address, method, _POLICY)


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


def test_a_relay_that_may_not_ping_is_measured_by_channels(world: MakeWorld) -> None:
    """A locked-down relay is probed as before, and the method says so; so is a relay asked about a name."""
    here = world(1)

    async def run() -> list[tuple[str, tuple[float | None, ...]]]:
        pings = RelayPing()
        async with echo_server() as echo, here.pool() as pool:
            connection = (await pool.lease(("r1",), here.topology())).connection
            return [
                await probe_beyond(connection, Address(host, echo.port), TcpMethod.CONNECT, _POLICY, pings)
                for host in (echo.host, "localhost")
            ]

    for method, samples in asyncio.run(run()):
        assert method == "connect"
        assert len(samples) == 3
        assert None not in samples


def test_ping_is_preferred_and_an_open_port_outweighs_its_silence() -> None:
    """Where the relay may ping, the method is ping; where the next hop answers no ICMP, its port is timed instead.

    The cloud is 50 ms from the relay: ping says so to the tenth, and a refused connect there is loss.
    """
    require_lab()
    with Lab(seed=3) as lab:
        lab.build({("gateway", "relay"): 5, ("relay", "cloud"): 25})
        relay = lab.start_sshd("relay", may_exec=True)
        cloud = Address(lab.ip("cloud"), lab.start_sshd("cloud").port)

        async def run() -> list[tuple[str, tuple[float | None, ...]]]:
            async with asyncssh.connect(
                lab.ip("relay"),
                relay.port,
                username=relay.user,
                known_hosts=str(lab.known_hosts(relay)),
                client_keys=[str(lab.client_key_file)],
                config=None,
                agent_path=None,
            ) as connection:
                pinged = await probe_beyond(connection, cloud, TcpMethod.CONNECT, _POLICY, RelayPing())
                lab.run("cloud", ["sysctl", "-w", "net.ipv4.icmp_echo_ignore_all=1"])
                return [pinged, await probe_beyond(connection, cloud, TcpMethod.CONNECT, _POLICY, RelayPing())]

        with lab.enter("gateway"):
            (first, pinged), (second, timed) = asyncio.run(run())
    assert (first, second) == ("ping", "connect")
    assert all(ms is not None and ms >= 50 for ms in pinged)
    # The way to the relay was taken off, and with it some of its noise.
    assert all(ms is not None and ms > 25 for ms in timed)
