"""Build a tunnel along a route: an establishment request to each hop, each hop dialled from the one before."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from routing.candidates import Route
from routing.topology import Node, Topology
from routing.tunnel.hops import close_connections, connect_hop
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy
from routing.tunnel.tunnel import Hop, Tunnel

log = logging.getLogger(__name__)


async def build_tunnel(  # noqa: PLR0917  one argument per thing a tunnel needs to know
    topology: Topology,
    route: Route,
    target: Node,
    credentials: TunnelCredentials,
    policy: TunnelPolicy,
    on_hop: Callable[[str], None] | None = None,
) -> Tunnel:
    """Return a tunnel along ``route`` whose end can reach ``target``.

    ``on_hop`` is called with each relay's name once it stands. Raises HostKeyMismatch, HopRefused or
    HopTimedOut, each of which names the hop (the target, when only its own address refused), and
    TopologyInvalid. Whatever was half built is closed then, also on cancellation.
    """
    ended = asyncio.Event()
    async with contextlib.AsyncExitStack() as undo:
        hops: list[Hop] = []
        source = topology.gateway
        for name in route.hops:
            relay = topology.node(name, target)
            connection, watch = await connect_hop(
                relay,
                topology.dial_address(source, relay),
                through=hops[-1].connection if hops else None,
                credentials=credentials,
                policy=policy,
                ended=ended,
            )
            undo.push_async_callback(close_connections, [connection], policy.close_timeout_s)
            hops.append(Hop(name, connection, watch))
            if on_hop is not None:
                on_hop(name)
            source = relay
        tunnel = Tunnel(route, hops, target_address=topology.dial_address(source, target), policy=policy, ended=ended)
        if policy.verify_target:
            (await tunnel.open_socket(tunnel.target_address, policy.hop_timeout_s)).close()
        undo.pop_all()
    log.info("tunnel built", extra={"route": route.id, "target": target.name, "relays": len(hops)})
    return tunnel
