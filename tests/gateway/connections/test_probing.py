"""Probes over relays use connections that stay warm, until the declared network changes."""

import asyncio
from pathlib import Path

import asyncssh

from gateway.connections.probing import WarmProber
from gateway.network import DeclaredNetwork, Snapshot
from routing.probe.plan import PlannedLink, ProbePlan, ProbePolicy
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy
from tests.support.connecting import Connecting
from tests.support.sshd import Sshd

PLAN = ProbePlan(links=(PlannedLink(source="relay", target="platform/mumbai", via=("relay",)),))


def test_a_relay_is_logged_in_at_once_for_many_rounds(world: Connecting, tmp_path: Path) -> None:
    """Three rounds cost one log-in, a changed network another, and at the end the relay serves nobody."""
    key = asyncssh.generate_private_key("ssh-ed25519")

    async def network() -> Snapshot:
        return await world.store.database.read(lambda tx: DeclaredNetwork("gw").towards(tx, world.platform))

    async def run() -> None:
        prober = WarmProber(
            credentials=TunnelCredentials(client_key=key),
            tunnels=TunnelPolicy(hop_timeout_s=20),
            probes=ProbePolicy(samples=1, interval_ms=1, timeout_ms=20_000, icmp="off"),
            clock=world.store.clock,
        )
        async with world.target(), prober:
            for _ in range(3):
                (measured,) = await prober(PLAN, await network())
                assert (measured.method, measured.note, measured.lost) == ("relay-connect", "", 0)
            assert sshd.log.count("Accepted publickey") == 1
            await asyncio.to_thread(world.add_relay, "another")
            await prober(PLAN, await network())
            assert sshd.log.count("Accepted publickey") == 2
            await asyncio.to_thread(sshd.wait_connections, 1)
        await asyncio.to_thread(sshd.wait_connections, 0)

    with Sshd(tmp_path / "relay", key.export_public_key().decode().strip()) as sshd:
        world.add_relay("relay", sshd)
        asyncio.run(run())
