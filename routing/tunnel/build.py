"""Build a tunnel along a route: over connections that stand already, and hop by hop where none does."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from routing.candidates import Route
from routing.errors import HopTimedOut
from routing.topology import Node, Topology
from routing.tunnel.first import FirstChannel
from routing.tunnel.policy import TunnelPolicy
from routing.tunnel.pool import HopPool
from routing.tunnel.tunnel import Tunnel

log = logging.getLogger(__name__)


async def build_tunnel(  # noqa: PLR0917  one argument per thing a tunnel needs to know
    topology: Topology,
    route: Route,
    target: Node,
    pool: HopPool,
    policy: TunnelPolicy,
    on_hop: Callable[[str], None] | None = None,
) -> Tunnel:
    """Return a tunnel along ``route`` whose end can reach ``target``; its relays' connections are leased from ``pool``.

    ``on_hop`` is called with each relay's name once all stand. Raises HostKeyMismatch, HopRefused or
    HopTimedOut, each of which names the hop (the target, when only its own address refused), ConnectionsFull and
    TopologyInvalid. Whatever was half built is given back then, also on cancellation.
    """
    end = topology.node(route.hops[-1], target) if route.hops else topology.gateway
    target_address = topology.dial_address(end, target)
    async with contextlib.AsyncExitStack() as undo:
        first = FirstChannel(target_address, policy)
        undo.callback(first.drop)
        lease = await pool.lease(route.hops, topology, beyond=first.begin) if route.hops else None
        tunnel = Tunnel(route, lease, target_address=target_address, policy=policy, first=first)
        undo.push_async_callback(tunnel.close)
        if on_hop is not None:
            for name in route.hops:
                on_hop(name)
        if policy.verify_target:
            await _verify(tunnel, first, policy)
        undo.pop_all()
    log.info("tunnel built", extra={"route": route.id, "target": target.name, "relays": len(route.hops)})
    return tunnel


async def _verify(tunnel: Tunnel, first: FirstChannel, policy: TunnelPolicy) -> None:
    """Return when the end of ``tunnel`` has connected to the target. Raises HopRefused, HopTimedOut, TunnelLost."""
    try:
        async with asyncio.timeout(policy.hop_timeout_s):
            if await first.is_open():
                return
    except TimeoutError as error:
        first.drop()
        raise HopTimedOut(f"{tunnel.target_address} did not answer in time", hop=tunnel.route.target) from error
    (await tunnel.open_socket(tunnel.target_address, policy.hop_timeout_s)).close()
