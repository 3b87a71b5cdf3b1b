"""Heartbeats over real relays: silence is suspected at once, forgiven when it ends, and ends the right hop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from routing.tunnel.heartbeat import Heartbeat
from routing.tunnel.liveness import Health, LivenessPolicy
from routing.tunnel.policy import TunnelPolicy
from routing.tunnel.tunnel import Tunnel
from tests.routing.world import MakeWorld, World, echo_server

# Keepalives stay out of it.
_CALM = TunnelPolicy(hop_timeout_s=20, close_timeout_s=0.5, keepalive_s=60)
_QUICK = LivenessPolicy(interval_s=0.05, idle_interval_s=0.05, dead_least_s=3.0, dead_most_s=3.0)
_PATIENT = LivenessPolicy(interval_s=0.02, idle_interval_s=0.02, dead_least_s=60.0, dead_most_s=60.0)


class Heard:
    """What a heartbeat told, in order."""

    def __init__(self) -> None:
        self.told: list[Health] = []
        self._changed = asyncio.Event()

    def __call__(self, health: Health) -> None:
        """Note it."""
        self.told.append(health)
        self._changed.set()

    async def wait_for(self, health: Health) -> None:
        """Wait until ``health`` was told last."""
        async with asyncio.timeout(60):
            while self.told[-1:] != [health]:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def beating(here: World, policy: LivenessPolicy) -> AsyncIterator[tuple[Tunnel, Heartbeat, Heard]]:
    """Give a tunnel through all relays, a heartbeat over it, and what that tells."""
    async with echo_server() as address:
        tunnel = await here.build(address, _CALM)
        heartbeat, heard = Heartbeat(tunnel.connections, policy), Heard()
        heartbeat.join(heard)
        yield tunnel, heartbeat, heard
        heartbeat.leave(heard)
        await tunnel.close()


def test_what_is_silent_for_a_while_is_suspect_for_as_long(world: MakeWorld) -> None:
    """A relay stops and goes on: suspect, healthy again, and the connection has not been touched."""
    here = world(2)

    async def run() -> None:
        async with beating(here, _PATIENT) as (tunnel, heartbeat, heard):
            assert heartbeat.health is Health.HEALTHY
            await asyncio.to_thread(here.sshds[1].freeze)
            await heard.wait_for(Health.SUSPECT)
            await asyncio.to_thread(here.sshds[1].thaw)
            await heard.wait_for(Health.HEALTHY)
            assert not tunnel.is_lost

    asyncio.run(run())


@pytest.mark.parametrize("hop", [1, 2])
def test_the_nearest_silent_hop_is_the_one_that_ends(world: MakeWorld, hop: int) -> None:
    """Silence is dead in the end; the hop that stopped is named, and the one before it stays."""
    here = world(2)

    async def run() -> None:
        async with beating(here, _QUICK) as (tunnel, heartbeat, heard):
            await asyncio.to_thread(here.sshds[hop - 1].freeze)
            await heard.wait_for(Health.DEAD)
            assert heard.told[-2:] == [Health.SUSPECT, Health.DEAD]
            assert (await tunnel.wait_lost()).startswith(f"r{hop}: ")
            assert heartbeat.health is Health.DEAD
            assert tunnel.connections[0].is_closed() is (hop == 1)

    asyncio.run(run())


def test_the_end_of_a_connection_is_no_answer(world: MakeWorld) -> None:
    """A beat that is sent as the connection ends comes back at once; that is no sign of life."""
    here = world(1)
    ceaseless = LivenessPolicy(interval_s=0.0, idle_interval_s=0.0, dead_least_s=1.0, dead_most_s=1.0)

    async def run() -> None:
        async with beating(here, ceaseless) as (tunnel, _heartbeat, heard):
            await asyncio.to_thread(here.sshds[0].freeze)
            await tunnel.wait_lost()
            await heard.wait_for(Health.DEAD)
            assert heard.told[-2:] == [Health.SUSPECT, Health.DEAD]

    asyncio.run(run())


def test_a_connection_that_ends_is_dead_at_once(world: MakeWorld) -> None:
    """A reset needs no silence to be believed."""
    here = world(1)

    async def run() -> None:
        async with beating(here, _PATIENT) as (_tunnel, heartbeat, heard):
            await asyncio.to_thread(here.sshds[0].stop)
            await heard.wait_for(Health.DEAD)
            assert heartbeat.health is Health.DEAD

    asyncio.run(run())


def test_it_beats_only_while_somebody_listens(world: MakeWorld) -> None:
    """Two listen and both are told; after the last has left, silence is nobody's concern, until one joins again."""
    here = world(1)

    async def run() -> None:
        async with beating(here, _PATIENT) as (_tunnel, heartbeat, first):
            second = Heard()
            heartbeat.join(second)
            await asyncio.to_thread(here.sshds[0].freeze)
            await first.wait_for(Health.SUSPECT)
            assert second.told == [Health.SUSPECT]
            await asyncio.to_thread(here.sshds[0].thaw)
            await first.wait_for(Health.HEALTHY)
            heartbeat.leave(first)
            heartbeat.leave(second)
            await asyncio.to_thread(here.sshds[0].freeze)
            assert heartbeat.health is Health.HEALTHY
            heartbeat.join(second)
            await second.wait_for(Health.SUSPECT)
            heartbeat.leave(second)
            await asyncio.to_thread(here.sshds[0].thaw)

    asyncio.run(run())


def test_who_joins_as_the_last_one_leaves_is_served(world: MakeWorld) -> None:
    """A tunnel closes and another is built over the same connection in one turn of the loop: it beats on."""
    here = world(1)

    async def run() -> None:
        async with beating(here, _PATIENT) as (tunnel, _heartbeat, _heard):
            heartbeat, first, second = Heartbeat(tunnel.connections, _PATIENT), Heard(), Heard()
            heartbeat.join(first)
            await asyncio.sleep(0)
            heartbeat.leave(first)
            heartbeat.join(second)
            await asyncio.to_thread(here.sshds[0].freeze)
            await second.wait_for(Health.SUSPECT)
            await asyncio.to_thread(here.sshds[0].thaw)
            assert first.told == []
            heartbeat.leave(second)

    asyncio.run(run())


def test_a_busy_way_is_not_asked(world: MakeWorld) -> None:
    """While answers to something else keep coming, more often than beats would, no beat is sent at all.

    Each echo is one packet of ours; so nothing else went out when the count of packets is that of echoes.
    """
    here = world(1)
    policy = LivenessPolicy(interval_s=1.0)

    async def run() -> None:
        async with beating(here, policy) as (tunnel, _heartbeat, _heard):
            (connection,) = tunnel.connections
            end = await tunnel.open_socket(tunnel.target_address, 20)
            end.settimeout(0)
            loop = asyncio.get_running_loop()
            sent, until_s = connection._send_seq, loop.time() + 2.5
            echoes = 0
            async with asyncio.timeout(60):
                while loop.time() < until_s:
                    await loop.sock_sendall(end, b"?")
                    assert await loop.sock_recv(end, 1) == b"?"
                    echoes += 1
            assert connection._send_seq - sent == echoes
            end.close()

    asyncio.run(run())
