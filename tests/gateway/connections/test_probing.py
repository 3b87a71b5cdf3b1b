"""Probes over relays use connections that stay warm, until a relay on the way is declared anew."""

import asyncio
import socket
from pathlib import Path

import asyncssh
from scapy.layers.inet import ICMP

from catalog.network import update_relay
from gateway.connections.probing import WarmProber
from gateway.network import DeclaredNetwork, Snapshot
from routing.probe.plan import PlannedLink, ProbePlan, ProbePolicy
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy
from routing.tunnel.pool import HopPool
from tests.support.connecting import Connecting
from tests.support.sshd import Sshd

PLAN = ProbePlan(links=(PlannedLink(source="relay", target="platform/mumbai", via=("relay",)),))


def test_a_relay_is_logged_in_at_once_for_many_rounds(world: Connecting, tmp_path: Path) -> None:
    """Three rounds cost one log-in, another relay none, a new address another; at the end the relay serves nobody."""
    key = asyncssh.generate_private_key("ssh-ed25519")

    async def network() -> Snapshot:
        return await world.store.database.read(lambda tx: DeclaredNetwork("gw").towards(tx, world.platform))

    async def run() -> None:
        pool = HopPool(TunnelCredentials(client_key=key), TunnelPolicy(hop_timeout_s=20))
        prober = WarmProber(
            pool=pool,
            patience_s=20,
            probes=ProbePolicy(samples=1, interval_ms=1, timeout_ms=20_000, icmp="off"),
            clock=world.store.clock,
        )
        async with world.target(), pool, prober:
            for _ in range(3):
                (measured,) = await prober(PLAN, await network())
                assert (measured.method, measured.note, measured.lost) == ("relay-connect", "", 0)
            assert sshd.log.count("Accepted publickey") == 1
            await asyncio.to_thread(world.add_relay, "another")
            await prober(PLAN, await network())
            assert sshd.log.count("Accepted publickey") == 1
            await asyncio.to_thread(world.store.write, lambda tx: update_relay(tx, "relay", {"host": "localhost"}, 0))
            await prober(PLAN, await network())
            assert sshd.log.count("Accepted publickey") == 2
            await asyncio.to_thread(sshd.wait_connections, 1)
        await asyncio.to_thread(sshd.wait_connections, 0)

    with Sshd(tmp_path / "relay", key.export_public_key().decode().strip()) as sshd:
        world.add_relay("relay", sshd)
        asyncio.run(run())


def test_answers_to_nobody_s_question_are_told(world: Connecting) -> None:
    """An echo reply under an identifier that is not ours is counted and changes nothing of what is measured."""
    plan = ProbePlan(links=(PlannedLink(source="gateway", target="relay", via=()),))
    world.add_relay("relay", port=1)
    told: list[int] = []

    async def run() -> None:
        network = await world.store.database.read(lambda tx: DeclaredNetwork("gw").towards(tx, world.platform))
        prober = WarmProber(
            pool=HopPool(TunnelCredentials(client_key=asyncssh.generate_private_key("ssh-ed25519"))),
            patience_s=20,
            probes=ProbePolicy(samples=1, timeout_ms=5_000, icmp="require"),
            clock=world.store.clock,
            told_foreign=told.append,
        )
        async with prober:
            await prober(plan, network)
            before = sum(told)
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as forger:
                forger.sendto(bytes(ICMP(type="echo-reply", id=0x4242) / bytes(56)), ("127.0.0.1", 0))
            (measured,) = await prober(plan, network)
            assert (measured.method, measured.lost, sum(told) - before) == ("icmp", 0, 1)

    asyncio.run(run())
