"""A tunnel whose relay or direct target is gone says so, and which it was."""

import asyncio

import pytest

from routing.errors import TunnelLost
from routing.topology import Address
from routing.tunnel.liveness import Health
from routing.tunnel.policy import TunnelPolicy
from tests.routing.world import MakeWorld, echo_server, read_all

_QUICK = TunnelPolicy(hop_timeout_s=20, keepalive_s=0.2, keepalive_count=2, close_timeout_s=0.5)


@pytest.mark.parametrize("silent", [False, True], ids=["killed", "falls silent"])
@pytest.mark.parametrize("hop", [1, 2])
def test_a_dead_relay_is_noticed_and_named(world: MakeWorld, hop: int, *, silent: bool) -> None:
    """A killed relay (reset) and one that falls silent (keepalive) both end the tunnel; its sockets end with it."""
    here = world(2)

    async def run() -> None:
        async with echo_server() as address:
            tunnel = await here.build(address, _QUICK)
            connection = await tunnel.open_socket(address, 20)
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                reader = group.create_task(asyncio.to_thread(read_all, connection))
                lost = group.create_task(tunnel.wait_lost())
                sshd = here.sshds[hop - 1]
                await asyncio.to_thread(sshd.freeze if silent else sshd.stop)
            assert lost.result().startswith(f"r{hop}: ")
            assert reader.result() == b""
            connection.close()
            assert tunnel.is_lost
            with pytest.raises(TunnelLost, match=f"r{hop}"):
                await tunnel.open_socket(address, 20)
            await tunnel.close()

    asyncio.run(run())


def test_an_idle_tunnel_stays(world: MakeWorld) -> None:
    """Keepalives that are answered end nothing: after ten times the silence that would, the tunnel still works."""
    here = world(1)
    policy = TunnelPolicy(hop_timeout_s=20, keepalive_s=0.1, keepalive_count=10)

    async def run() -> None:
        async with echo_server() as address:
            tunnel = await here.build(address, policy)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2):
                    await tunnel.wait_lost()
            (await tunnel.open_socket(address, 20)).close()
            await tunnel.close()

    asyncio.run(run())


def test_a_dead_direct_target_is_noticed(world: MakeWorld) -> None:
    """Without relays the target itself is watched; when it refuses often enough the tunnel and its sockets end."""
    here = world(0)

    async def run() -> None:
        async with echo_server() as address:
            tunnel = await here.build(address, _QUICK)
            connection = await tunnel.open_socket(address, 20)
        async with asyncio.timeout(60):
            reason = await tunnel.wait_lost()
        assert str(address) in reason
        assert await asyncio.to_thread(read_all, connection) == b""
        connection.close()
        await tunnel.close()

    asyncio.run(run())


def test_a_direct_target_that_misses_once_is_suspect(world: MakeWorld) -> None:
    """One failed connect casts doubt on a direct way, and one that is answered clears it again."""
    here = world(0)
    policy = TunnelPolicy(hop_timeout_s=20, keepalive_s=0.1, direct_misses=1_000_000)

    async def run() -> None:
        told: asyncio.Queue[Health] = asyncio.Queue()
        async with echo_server() as address:
            tunnel = await here.build(address, policy)
            tunnel.listen(told.put_nowait)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            watching = group.create_task(tunnel.wait_lost())
            assert await told.get() is Health.SUSPECT
            assert tunnel.health is Health.SUSPECT
            again = await asyncio.start_server(lambda _reader, writer: writer.close(), address.host, address.port)
            assert await told.get() is Health.HEALTHY
            again.close()
            watching.cancel()
        await tunnel.close()

    asyncio.run(run())


def test_tunnels_to_the_same_relay_share_a_heartbeat(world: MakeWorld) -> None:
    """Both hear of a silence, one that comes later starts with what is known, and what one closes the other keeps."""
    here = world(1)
    policy = TunnelPolicy(hop_timeout_s=20, keepalive_s=60, close_timeout_s=0.5, verify_target=False)

    async def run() -> None:
        told: asyncio.Queue[Health] = asyncio.Queue()
        async with here.pool(policy) as pool:
            first, second = [await here.build(Address("127.0.0.1", 1), policy, pool=pool) for _ in range(2)]
            first.listen(told.put_nowait)
            second.listen(told.put_nowait)
            await asyncio.to_thread(here.sshds[0].freeze)
            async with asyncio.timeout(60):
                assert [await told.get(), await told.get()] == [Health.SUSPECT, Health.SUSPECT]
            third = await here.build(Address("127.0.0.1", 1), policy, pool=pool)
            assert third.health is Health.SUSPECT
            await third.close()
            await second.close()
            assert (await told.get(), third.health) == (Health.DEAD, Health.DEAD)
            await asyncio.to_thread(here.sshds[0].thaw)
            async with asyncio.timeout(60):
                assert await told.get() is Health.HEALTHY
            assert first.health is Health.HEALTHY
            await first.close()

    asyncio.run(run())
