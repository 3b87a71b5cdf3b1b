"""Connections to relays are shared, bounded, closed when unused, and never used for another relay than declared."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator

import asyncssh
import pytest

from routing.candidates import Route
from routing.errors import ConnectionsFull, HopRefused, HopTimedOut, HostKeyMismatch, TopologyInvalid, TunnelLost
from routing.topology import Address, Topology
from routing.tunnel.build import build_tunnel
from routing.tunnel.policy import PoolPolicy, TunnelPolicy
from routing.tunnel.pool import HopPool
from routing.tunnel.tunnel import Tunnel
from tests.routing.world import MakeWorld, World, delaying_proxy, echo_server, read_all, silent_server, target_at
from tests.support.waiting import wait_until

_BOTH = ("r1", "r2")


def _log_ins(here: World) -> list[int]:
    return [sshd.log.count("Accepted publickey") for sshd in here.sshds]


async def _tunnel(here: World, pool: HopPool, address: Address, *via: str) -> Tunnel:
    return await build_tunnel(here.topology(), Route(via, "target"), target_at(address), pool, here.policy)


async def _echoes(tunnel: Tunnel, body: bytes = b"hello") -> bool:
    connection = await tunnel.open_socket(tunnel.target_address, 20)
    with connection:
        reading = asyncio.to_thread(read_all, connection)
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(reading)
            await asyncio.to_thread(connection.sendall, body)
            connection.shutdown(1)
        return answer.result() == body + b"bye"


@contextlib.asynccontextmanager
async def _slowly(here: World, name: str, one_way_s: float) -> AsyncIterator[Topology]:
    """Give the topology with a relay that answers that late."""
    sshd = here.sshds[list(here.pins).index(name)]
    port = sshd.port
    async with delaying_proxy(Address(*sshd.address), one_way_s) as near:
        sshd.port = near.port
        slow = here.topology()
        sshd.port = port
        yield slow


def test_one_connection_serves_everybody(world: MakeWorld) -> None:
    """Ten leases at once, then three tunnels over two relays, cost one log-in at each; the last one out closes."""
    here = world(2)

    async def run() -> None:
        async with echo_server() as address, here.pool() as pool:
            async with asyncio.TaskGroup() as group:
                leases = [group.create_task(pool.lease(_BOTH, here.topology())) for _ in range(10)]
            assert len({lease.result().connection for lease in leases}) == 1
            tunnels = [await _tunnel(here, pool, address, *_BOTH) for _ in range(3)]
            for lease in leases:
                await lease.result().release()
            assert all([await _echoes(tunnel) for tunnel in tunnels])
            assert len(pool) == 2
            for tunnel in tunnels:
                await tunnel.close()

    asyncio.run(run())
    assert _log_ins(here) == [1, 1]
    for sshd in here.sshds:
        sshd.wait_connections(0)


def test_closing_a_tunnel_leaves_the_others(world: MakeWorld) -> None:
    """A closed tunnel's sockets end, another's over the same relays go on, and so does one over a part of the way."""
    here = world(2)

    async def run() -> None:
        async with echo_server() as address, here.pool() as pool:
            first, second = [await _tunnel(here, pool, address, *_BOTH) for _ in range(2)]
            shorter = await _tunnel(here, pool, address, "r1")
            cut = await first.open_socket(address, 20)
            await first.close()
            assert await asyncio.to_thread(read_all, cut) == b""
            cut.close()
            assert await _echoes(second)
            await second.close()
            assert await _echoes(shorter)
            await shorter.close()

    asyncio.run(run())


def test_a_lost_relay_takes_only_what_runs_over_it(world: MakeWorld) -> None:
    """When the second relay ends, the tunnel over it is lost and named so; the one over the first still works."""
    here = world(2)

    async def run() -> None:
        async with echo_server() as address, here.pool() as pool:
            over, beside = await _tunnel(here, pool, address, *_BOTH), await _tunnel(here, pool, address, "r1")
            await asyncio.to_thread(here.sshds[1].stop)
            async with asyncio.timeout(20):
                assert (await over.wait_lost()).startswith("r2: ")
            assert await _echoes(beside)
            assert len(pool) == 1
            await asyncio.to_thread(here.sshds[1].start)
            again = await _tunnel(here, pool, address, *_BOTH)
            assert await _echoes(again)
            for tunnel in (over, beside, again):
                await tunnel.close()

    asyncio.run(run())
    assert _log_ins(here) == [1, 1]  # the second relay's log began anew


def test_a_failure_is_shared(world: MakeWorld) -> None:
    """Five who ask at once for a relay that refuses our key cost it one attempt, and all hear of it."""
    here = world(1)
    (here.sshds[0].directory / "authorized_keys").write_text("")

    async def ask(pool: HopPool) -> str:
        with pytest.raises(HopRefused) as refused:
            await pool.lease(("r1",), here.topology())
        return refused.value.hop

    async def run() -> None:
        async with here.pool() as pool:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(ask(pool)) for _ in range(5)]
            assert [each.result() for each in asked] == ["r1"] * 5
            assert len(pool) == 0

    asyncio.run(run())
    assert here.sshds[0].log.count("Connection from") == 1


def test_the_nearest_failing_relay_is_named(world: MakeWorld) -> None:
    """A chain whose first relay refuses our key is refused by the first, whatever that does to the second."""
    here = world(2)
    (here.sshds[0].directory / "authorized_keys").write_text("")

    async def run() -> None:
        async with here.pool() as pool:
            with pytest.raises(HopRefused) as refused:
                await pool.lease(_BOTH, here.topology())
            assert refused.value.hop == "r1"

    asyncio.run(run())


@pytest.mark.parametrize("how", ["cancelled", "impatient"])
def test_who_gives_up_does_not_take_others_along(world: MakeWorld, how: str) -> None:
    """The first to ask gives up while its connection is being made; the second, who waited for it, gets one."""
    here = world(1)

    async def hurried(pool: HopPool, slow: Topology) -> None:
        with pytest.raises(HopTimedOut) as late:
            await pool.lease(("r1",), slow, patience_s=0.2)
        assert late.value.hop == "r1"

    async def run() -> None:
        async with _slowly(here, "r1", 0.05) as slow, here.pool() as pool, asyncio.TaskGroup() as group:
            first = group.create_task(hurried(pool, slow) if how == "impatient" else pool.lease(("r1",), slow))
            second = group.create_task(pool.lease(("r1",), slow))
            await asyncio.to_thread(wait_until, lambda: "Connection from" in here.sshds[0].log, "the first dials")
            if how == "cancelled":
                first.cancel()
            lease = await second
            assert not lease.connection.is_closed()
            await lease.release()

    asyncio.run(run())
    here.sshds[0].wait_connections(0)


def test_how_log_ins_end_is_told(world: MakeWorld) -> None:
    """Of two nested relays the first stands and the second shows another key: one is told to stand, one its error."""
    here = world(2)
    here.pins["r2"] = here.pins["r1"]
    told: list[tuple[str, str]] = []

    async def run() -> None:
        async with here.pool() as pool:
            pool.told = lambda relay, code: told.append((relay, code))
            for _ in range(2):
                with pytest.raises(HostKeyMismatch):
                    await pool.lease(("r1", "r2"), here.topology())

    asyncio.run(run())
    assert sorted(told) == [("r1", ""), ("r2", "host-key-mismatch"), ("r2", "host-key-mismatch")]


def test_a_changed_pin_is_another_relay(world: MakeWorld) -> None:
    """With another pin no new lease has the old connection; who has it keeps it, and it ends with the last of them."""
    here = world(2)

    async def run() -> None:
        async with here.pool() as pool:
            await (await pool.lease(("r2",), here.topology())).release()
            kept = await pool.lease(("r1",), here.topology())
            for name in _BOTH:
                here.pins[name] = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
            with pytest.raises(HostKeyMismatch):
                await pool.lease(("r1",), here.topology())
            await asyncio.to_thread(here.sshds[1].wait_connections, 0)
            assert not kept.connection.is_closed()
            await kept.release()
            await asyncio.to_thread(here.sshds[0].wait_connections, 0)
            assert len(pool) == 0

    asyncio.run(run())


def test_a_host_key_is_changed_without_an_outage(world: MakeWorld) -> None:
    """With both keys pinned the tunnel that stands carries on, and new ones are built before and after the change."""
    here = world(1)

    async def run() -> None:
        async with echo_server() as address, here.pool(limits=PoolPolicy(idle_s=0)) as pool:
            before = await _tunnel(here, pool, address, "r1")
            old, new = here.pins["r1"], here.sshds[0].change_host_key()
            with pytest.raises(HostKeyMismatch):
                await (here_again := here.pool()).lease(("r1",), here.topology())
            await here_again.close()
            here.pins["r1"] = f"{old}\n{new}"
            after = await _tunnel(here, pool, address, "r1")
            assert await _echoes(before)
            here.pins["r1"] = new
            last = await _tunnel(here, pool, address, "r1")
            assert all([await _echoes(tunnel) for tunnel in (before, after, last)])
            for tunnel in (before, after, last):
                await tunnel.close()

    asyncio.run(run())


def test_what_nobody_uses_is_closed(world: MakeWorld) -> None:
    """After ``idle_s`` without a user the relays serve nobody, though the pool lives on and connects again."""
    here = world(2)

    async def run() -> None:
        async with here.pool(limits=PoolPolicy(idle_s=0.2)) as pool:
            for _ in range(2):
                await (await pool.lease(_BOTH, here.topology())).release()
                for sshd in here.sshds:
                    await asyncio.to_thread(sshd.wait_connections, 0)
                assert len(pool) == 0

    asyncio.run(run())
    assert _log_ins(here) == [2, 2]


def test_the_longest_unused_give_way(world: MakeWorld) -> None:
    """Beyond ``idle_limit`` unused connections the oldest is closed, never one that another is nested in."""
    here = world(2)

    async def run() -> None:
        async with here.pool(limits=PoolPolicy(idle_limit=2)) as pool:
            await (await pool.lease(("r2",), here.topology())).release()
            await (await pool.lease(_BOTH, here.topology())).release()
            assert len(pool) == 2
            again = await pool.lease(_BOTH, here.topology())
            assert not again.connection.is_closed()
            await again.release()

    asyncio.run(run())
    assert _log_ins(here) == [1, 2]


def test_all_connections_are_limited(world: MakeWorld) -> None:
    """One more than ``connection_limit`` is refused while all are used, and takes an unused one's place after that."""
    here = world(2)

    async def run() -> None:
        async with here.pool(limits=PoolPolicy(connection_limit=1)) as pool:
            first = await pool.lease(("r1",), here.topology())
            with pytest.raises(ConnectionsFull, match="1 connections"):
                await pool.lease(_BOTH, here.topology())
            await first.release()
            await first.release()  # giving back twice is allowed
            await (await pool.lease(("r2",), here.topology())).release()
            assert len(pool) == 1

    asyncio.run(run())


@pytest.mark.parametrize("silent", [False, True], ids=["killed", "falls silent"])
def test_a_dead_connection_is_not_kept(world: MakeWorld, *, silent: bool) -> None:
    """A relay that ends, or answers no keepalive, while nobody uses it leaves the pool; the next lease asks anew."""
    here = world(1)
    policy = TunnelPolicy(hop_timeout_s=20, keepalive_s=0.2, keepalive_count=2, close_timeout_s=0.5)

    async def run() -> None:
        async with here.pool(policy) as pool:
            await (await pool.lease(("r1",), here.topology())).release()
            await asyncio.to_thread(here.sshds[0].freeze if silent else here.sshds[0].stop)
            await asyncio.to_thread(wait_until, lambda: len(pool) == 0, "the pool is empty")
            await asyncio.to_thread(here.sshds[0].stop)
            await asyncio.to_thread(here.sshds[0].start)
            await (await pool.lease(("r1",), here.topology())).release()

    asyncio.run(run())


def test_keys_are_changed_under_way(world: MakeWorld, caplog: pytest.LogCaptureFixture) -> None:
    """With new keys every 256 KiB, 4 MiB through two relays arrive whole, and both connections got new keys."""
    here = world(2)
    here.policy = TunnelPolicy(hop_timeout_s=20, close_timeout_s=5, rekey_bytes=256 * 1024)

    async def run() -> None:
        async with echo_server() as address, here.pool() as pool:
            tunnel = await _tunnel(here, pool, address, *_BOTH)
            assert await _echoes(tunnel, bytes(range(256)) * 16384)
            await tunnel.close()

    with caplog.at_level(logging.DEBUG, "asyncssh"):
        asyncio.run(run())
    begun = Counter(line.partition("]")[0] for line in caplog.messages if "Beginning key exchange" in line)
    # How often depends on how much was under way each time; more than the first time on both is what counts.
    assert len(begun) == 2
    assert min(begun.values()) >= 3


def test_an_open_is_cut_off_with_its_tunnel(world: MakeWorld) -> None:
    """A tunnel that closes while a socket is being opened says that it is lost, and does not wait for the target."""
    here = world(1)

    here.policy = TunnelPolicy(hop_timeout_s=20, keepalive_s=600)  # the relay's death is not to be noticed

    async def run() -> None:
        async with silent_server() as silence, echo_server() as address, here.pool() as pool:
            tunnel = await _tunnel(here, pool, address, "r1")
            await asyncio.to_thread(here.sshds[0].freeze)  # no answer to the open will come
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                opening = group.create_task(_lost(tunnel, silence))
                await asyncio.sleep(0)
                await tunnel.close()
            assert opening.result() == "the tunnel was closed"
            await asyncio.to_thread(here.sshds[0].stop)

    asyncio.run(run())


async def _lost(tunnel: Tunnel, address: Address) -> str:
    with pytest.raises(TunnelLost) as lost:
        await tunnel.open_socket(address, 600)
    return str(lost.value)


def test_an_unknown_relay_is_named(world: MakeWorld) -> None:
    """A way over a relay that nobody declared is refused before anything is dialled."""
    here = world(1)

    async def run() -> None:
        async with here.pool() as pool:
            with pytest.raises(TopologyInvalid) as refused:
                await pool.lease(("r1", "elsewhere"), here.topology())
            assert refused.value.node == "elsewhere"

    asyncio.run(run())
    assert "Connection from" not in here.sshds[0].log
