"""The tunnels that are up in this process, and how a driver's blocking thread dials through them."""

import asyncio
import concurrent.futures
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from catalog.errors import CloudTimedOut, CloudUnavailable
from catalog.model.ids import ConnectionId, PlatformId
from catalog.ports import Address
from gateway.connections.hedging import Way, hedged
from gateway.network import Snapshot, exit_relay, is_exit_relay
from routing.candidates import Route
from routing.errors import HopTimedOut, RoutingError
from routing.ranking import Aim
from routing.standby import Standby
from routing.steadiness import Hold
from routing.topology import Address as RoutedAddress
from routing.tunnel.liveness import Health
from routing.tunnel.tunnel import Tunnel

# The channel's own deadline ends the work in the loop; the thread that waits for it waits a little longer,
# so that the loop's error, which says why, wins.
THREAD_GRACE_S = 1.0


@dataclass(slots=True, kw_only=True)
class LiveConnection:
    """A connection whose tunnel is up, and perhaps a second one on another route that stands by."""

    connection: ConnectionId
    requester: PlatformId
    target: PlatformId
    route: Route
    tunnel: Tunnel
    exit_site: str  # the name of the site from which the target is dialled
    snapshot: Snapshot
    # What the next decision on its route is based on, and by what routes were ranked at the last one.
    hold: Hold = field(default_factory=Hold)
    aim: Aim = field(default_factory=Aim)
    # approved address -> site name, or exit_relay(name) -> what an exit of that site, or that very exit, dials instead
    alternatives: Mapping[Address, Mapping[str, Address]] = field(default_factory=dict)
    planned: Standby = field(default_factory=Standby)  # the route to stand by, or why there is none
    standby: Way | None = None  # built, and proven end to end

    def ways(self) -> tuple[Way, ...]:
        """Return the tunnels that stand, the one to use first: the one in use, unless only the other is healthy."""
        both = [Way(self.route, self.tunnel, self.exit_site), *([self.standby] if self.standby else [])]
        standing = [way for way in both if not way.tunnel.is_lost]
        return tuple(sorted(standing, key=lambda way: way.tunnel.health is not Health.HEALTHY))

    @property
    def is_turned(self) -> bool:
        """Whether the platform has dialled out: what else its exit could dial is not the platform's."""
        return any(is_exit_relay(word) for ways in self.alternatives.values() for word in ways)

    async def open_socket(self, address: Address, timeout_s: float) -> socket.socket:
        """Return a connected blocking socket to ``address`` as seen from the end of a tunnel that works.

        Raises CloudUnavailable or CloudTimedOut.
        """
        return await hedged(self.ways, lambda way: self.open_over(way, address, timeout_s), _close)

    async def open_over(self, way: Way, address: Address, timeout_s: float) -> socket.socket:
        """Return a connected blocking socket to ``address`` over this one of ``ways``. Raises as ``open_socket``."""
        ways = self.alternatives.get(address, {})
        turned = ways.get(exit_relay(way.route.hops[-1])) if way.route.hops else None
        dialled = turned or ways.get(way.exit_site, address)
        try:
            return await way.tunnel.open_socket(RoutedAddress(dialled.host, dialled.port), timeout_s)
        except HopTimedOut as error:
            raise CloudTimedOut("the platform did not answer through the tunnel in time", detail=str(error)) from error
        except RoutingError as error:
            raise CloudUnavailable("the platform cannot be reached through the tunnel", detail=str(error)) from error


def exit_site(route: Route, network: Snapshot) -> str:
    """Return the name of the site at which ``route`` ends."""
    topology = network.topology
    if not route.hops:
        return topology.gateway.site
    return next(relay.site for relay in topology.relays if relay.name == route.hops[-1])


async def _close(connected: socket.socket) -> None:
    connected.close()


class LiveConnections:
    """Every tunnel of this process, by connection; a platform is reached over its own connection first."""

    def __init__(self) -> None:
        """Start with none."""
        self._live: dict[ConnectionId, LiveConnection] = {}
        self._changed = asyncio.Event()

    def put(self, live: LiveConnection) -> None:
        """Make ``live`` the one new sockets use; what stands by for the one it replaces stands by for it.

        Whoever still has the old one in hand, to prove or to close its standby, finds none there.
        """
        before = self._live.get(live.connection)
        if before is not None and before is not live:
            standby, before.standby = before.standby, None
            if standby is not None and standby.tunnel is not live.tunnel:
                live.standby = standby
        self._live[live.connection] = live
        self._tell()

    def drop(self, connection: ConnectionId) -> None:
        """Forget a connection; harmless when it is not known."""
        self._live.pop(connection, None)
        self._tell()

    def get(self, connection: ConnectionId) -> LiveConnection | None:
        """Return the live connection, or None."""
        return self._live.get(connection)

    def ids(self) -> frozenset[ConnectionId]:
        """Return the connections that are up."""
        return frozenset(self._live)

    def targets(self) -> frozenset[PlatformId]:
        """Return the platforms that can be reached now."""
        return frozenset(live.target for live in self._live.values())

    def tunnels(self) -> frozenset[Tunnel]:
        """Return the tunnels that new sockets may use now."""
        return frozenset(way.tunnel for live in self._live.values() for way in live.ways())

    def to_platform(self, platform: PlatformId) -> LiveConnection:
        """Return a live connection to ``platform``, its own before another requester's, any that is lost last.

        Raises CloudUnavailable when there is none.
        """
        towards = [live for live in self._live.values() if live.target == platform]
        if not towards:
            raise CloudUnavailable("no connection to this platform is established")
        return min(towards, key=lambda live: (not live.ways(), live.requester != platform, live.connection))

    def ways_to(self, platform: PlatformId) -> tuple[Way, ...]:
        """Return the tunnels to ``platform`` that stand, the one to use first; none is no error."""
        try:
            return self.to_platform(platform).ways()
        except CloudUnavailable:
            return ()

    async def wait_changed(self) -> None:
        """Wait until a connection is next made, replaced or dropped."""
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._live)


class TunnelDialer:
    """catalog.ports.Dialer over whichever tunnel to a platform is up when a socket is wanted."""

    def __init__(self, live: LiveConnections, platform: PlatformId, loop: asyncio.AbstractEventLoop) -> None:
        """Take the registry, the platform and the loop in which tunnels live."""
        self._live = live
        self._platform = platform
        self._loop = loop

    def dial(self, address: Address, *, timeout_s: float) -> socket.socket:
        """Return a connected blocking socket; called from a driver's thread."""
        waiting = asyncio.run_coroutine_threadsafe(self._open(address, timeout_s), self._loop)
        try:
            return waiting.result(timeout_s + THREAD_GRACE_S)
        except concurrent.futures.CancelledError as error:
            raise CloudUnavailable("the gateway is going down") from error
        except concurrent.futures.TimeoutError as error:
            waiting.cancel()
            raise CloudTimedOut("the tunnel did not open a channel in time") from error

    async def _open(self, address: Address, timeout_s: float) -> socket.socket:
        return await self._live.to_platform(self._platform).open_socket(address, timeout_s)
