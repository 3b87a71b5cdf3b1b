"""Live tunnels: which one leads to a platform, what is dialled at its end, and how a driver's thread gets a socket."""

import asyncio
from dataclasses import replace

import pytest

from catalog.errors import CloudTimedOut, CloudUnavailable
from catalog.model.ids import ConnectionId, PlatformId
from catalog.ports import Address
from gateway.connections.hedging import Way
from gateway.connections.tunnels import LiveConnections, TunnelDialer
from routing.topology import Address as RoutedAddress
from routing.tunnel.policy import TunnelPolicy
from routing.tunnel.tunnel import Tunnel
from tests.support.connecting import Connecting
from tests.support.sshd import free_port

ANYWHERE = RoutedAddress("127.0.0.1", 1)


def test_its_own_connection_leads_first(world: Connecting) -> None:
    """A platform is reached over its own connection before another requester's; without any there is no way."""

    async def run() -> None:
        async with world.target():
            own = await world.connect()
            registry = LiveConnections()
            other = replace(own, connection=ConnectionId("connection_0"), requester=PlatformId("platform_other"))
            registry.put(other)
            assert registry.to_platform(world.platform) is other
            registry.put(own)
            assert registry.to_platform(world.platform) is own
            assert (registry.targets(), len(registry)) == ({world.platform}, 2)
            registry.drop(own.connection)
            registry.drop(own.connection)
            assert registry.to_platform(world.platform) is other
            with pytest.raises(CloudUnavailable):
                registry.to_platform(PlatformId("platform_unknown"))
            await world.establisher.live_closed(own)

    asyncio.run(run())


def test_what_stands_by_goes_with_the_connection(world: Connecting) -> None:
    """A move takes the standby along at once, and gives it back when undone; one that takes over stands by no more."""

    async def run() -> None:
        async with world.target():
            live = await world.connect()
            standby = Way(live.route, Tunnel(live.route, None, target_address=ANYWHERE, policy=TunnelPolicy()), "gw")
            live.standby = standby
            moved = replace(live, standby=None)
            world.live.put(moved)
            assert (live.standby, moved.standby) == (None, standby)
            world.live.put(live)
            assert (live.standby, moved.standby) == (standby, None)
            taken = replace(live, tunnel=standby.tunnel, standby=None)
            world.live.put(taken)
            assert (live.standby, taken.standby) == (None, None)
            await live.tunnel.close()
            await world.establisher.live_closed(taken)

    asyncio.run(run())


def test_what_is_dialled_depends_on_the_exit(world: Connecting) -> None:
    """An address with another form at the exit's site is dialled in that form; elsewhere as it is."""

    async def run() -> None:
        async with world.target():
            live = await world.connect()
            there = live.tunnel.target_address
            real, named = Address(host=there.host, port=there.port), Address(host="192.0.2.9", port=443)
            assert live.exit_site == "gw"
            (await replace(live, alternatives={named: {"gw": real}}).open_socket(named, 20)).close()
            elsewhere = replace(live, alternatives={real: {"bom": Address(host="127.0.0.1", port=free_port())}})
            (await elsewhere.open_socket(real, 20)).close()
            await world.establisher.live_closed(live)

    asyncio.run(run())


def test_a_thread_dials_through_the_tunnel(world: Connecting) -> None:
    """A driver's thread gets a blocking socket; refusal, silence and a missing tunnel are the cloud's errors."""

    async def run() -> None:
        async with world.target():
            live = await world.connect()
            dialer = TunnelDialer(world.live, world.platform, asyncio.get_running_loop())
            there = live.tunnel.target_address
            good = Address(host=there.host, port=there.port)
            sock = await asyncio.to_thread(dialer.dial, good, timeout_s=20)
            assert sock.getblocking()
            assert live.tunnel.channels_open == 1
            sock.close()
            with pytest.raises(CloudUnavailable):
                await asyncio.to_thread(dialer.dial, Address(host="127.0.0.1", port=free_port()), timeout_s=20)
            with pytest.raises(CloudTimedOut):
                await asyncio.to_thread(dialer.dial, good, timeout_s=0)
            await world.establisher.live_closed(live)
            with pytest.raises(CloudUnavailable):
                await asyncio.to_thread(dialer.dial, good, timeout_s=20)

    asyncio.run(run())
