"""Whether loss and jitter alone ever end a tunnel: ``python -m tests.bench.false_alarms [--rounds N] [--json]``. Root.

One hour of tunnel time in the lab: 60 tunnels side by side for a minute, each with a connection of its own through one
relay, every link losing 2 % each way with 20 ms of jitter. At the end the link is cut without a word; the last tunnel
must be dead within 10 s. ``--rounds`` are the minutes; fewer tunnel hours are said so.
"""

import argparse
import asyncio
import time
from contextlib import AsyncExitStack

import asyncssh

from gateway.demo.relays import RelaySshd
from routing.candidates import Route
from routing.errors import RoutingError
from routing.topology import Address, Node, NodeKind, Topology
from routing.tunnel.build import build_tunnel
from routing.tunnel.liveness import Health
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy
from routing.tunnel.pool import HopPool
from routing.tunnel.tunnel import Tunnel
from tests.support.figures import Bar, Figures
from tests.support.lab import Lab, lab_lacks

TUNNELS = 60
STRETCH_S = 60.0
DELAY_MS, JITTER_MS, LOSS_RATIO = 25.0, 20.0, 0.02
PATIENCE_S = 60.0
BARS: dict[str, Bar] = {"tear_downs": ("==", 0), "dead_within_s": ("<=", 10.0)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="minutes that the tunnels stand")
    parser.add_argument("--tunnels", type=int, default=TUNNELS, help="how many stand side by side")
    figures, arguments = Figures.from_arguments(parser)
    lacking = lab_lacks()
    if lacking:
        for name, bar in BARS.items():
            figures.tell(name, None, "", bar, note=lacking)
        return
    with Lab(seed=1) as lab:
        for host in ("gateway", "relay", "cloud"):
            lab.add_host(host)
        lab.add_link("relay", "cloud", delay_ms=1)
        lab.add_link("gateway", "relay", delay_ms=DELAY_MS)
        relay = lab.start_sshd("relay")
        with lab.enter("gateway"):
            lost, suspected, dead_s = asyncio.run(run(lab, relay, arguments.tunnels, arguments.rounds * STRETCH_S))
    hours = arguments.tunnels * arguments.rounds * STRETCH_S / 3600
    note = f"{hours:g} tunnel hours: {arguments.tunnels} side by side"
    figures.tell("tear_downs", lost, "tunnels", BARS["tear_downs"], note=note, decided=hours >= 1 or lost > 0)
    figures.tell("suspected", suspected, "times", note="new work went elsewhere for a moment")
    figures.tell("dead_within_s", dead_s, "s", BARS["dead_within_s"], note="the last tunnel after a silent cut")


async def run(lab: Lab, relay: RelaySshd, count: int, stretch_s: float) -> tuple[int, int, float]:
    """Return how many tunnels were lost, how often one was suspect, and how long after the cut the last was dead."""
    suspected: list[Health] = []
    async with AsyncExitStack() as closing:
        tunnels = []
        for _ in range(count):
            tunnel = await built(lab, relay, closing)
            tunnel.listen(lambda health: suspected.append(health) if health is Health.SUSPECT else None)
            tunnels.append(tunnel)
        lab.set_link("gateway", "relay", loss_ratio=LOSS_RATIO, jitter_ms=JITTER_MS)
        await asyncio.sleep(stretch_s)
        lost, times = sum(tunnel.is_lost for tunnel in tunnels), len(suspected)
        lab.cut("gateway", "relay")
        cut_s = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            for tunnel in tunnels:
                await tunnel.wait_lost()
        return lost, times, time.monotonic() - cut_s


async def built(lab: Lab, relay: RelaySshd, closing: AsyncExitStack) -> Tunnel:
    """Return a tunnel over a connection of its own."""
    policy = TunnelPolicy(keepalive_s=1.0, keepalive_count=7, close_timeout_s=0.1, verify_target=False)
    key = asyncssh.read_private_key(lab.client_key_file)
    pool = await closing.enter_async_context(HopPool(TunnelCredentials(client_key=key), policy))
    node = Node(
        name="relay",
        kind=NodeKind.RELAY,
        site="relay",
        address=Address(lab.ip("relay"), relay.port),
        user=relay.user,
        host_key=relay.host_key,
    )
    gateway = Node(name="gateway", kind=NodeKind.GATEWAY, site="gateway")
    target = Node(name="cloud", kind=NodeKind.TARGET, site="cloud", address=Address(lab.ip("cloud"), 443))
    topology = Topology(gateway=gateway, relays=(node,), links=())
    while True:
        try:
            tunnel = await build_tunnel(topology, Route(("relay",), "cloud"), target, pool, policy)
        except RoutingError:
            continue  # the machine is busy, and sshd gave up; what is measured comes later
        closing.push_async_callback(tunnel.close)
        return tunnel


if __name__ == "__main__":
    main()
