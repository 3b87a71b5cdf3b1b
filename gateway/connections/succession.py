"""The second tunnel of a connection: built before it is needed, proven from end to end, and in use the moment it is.

Sockets find it by themselves as soon as the first tunnel is in doubt (``LiveConnection.ways``); what is done here is to
have one, and to say so in rows and decisions when it has taken over.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, replace

from catalog.model.ids import ConnectionId
from gateway.background.runner import contained
from gateway.connections.establish import Establisher, held, standby_of
from gateway.connections.hedging import Way
from gateway.connections.steps import KNOWN_ERRORS
from gateway.connections.tunnels import LiveConnection, exit_site
from routing.errors import HopError, HopTimedOut
from routing.steadiness import Reason
from routing.tunnel.build import build_tunnel

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """Keeps standbys, and makes them the tunnel in use. ``prove_s``: how often one that waits is proven again."""

    establisher: Establisher
    prove_s: float = 15.0

    async def keep(self, connection_id: ConnectionId, woken: asyncio.Event) -> None:
        """Have the planned standby of a live connection stand, until cancelled; look again when ``woken`` is set."""
        while True:
            woken.clear()
            live = self.establisher.live.get(connection_id)
            if live is not None:
                try:
                    await contained(lambda live=live: self.stand_by(live, woken), KNOWN_ERRORS)  # type: ignore[misc]
                except KNOWN_ERRORS as error:
                    log.warning("no standby", extra={"connection": connection_id, "code": error.code})
            with suppress(TimeoutError):
                async with asyncio.timeout(self.prove_s):
                    await woken.wait()

    async def stand_by(self, live: LiveConnection, woken: asyncio.Event) -> None:
        """Build the standby that is planned for ``live``, or prove the one there is; close one that is not planned.

        ``woken`` is set when it is lost. Raises RoutingError when it cannot be built, or fails its proof.
        """
        planned = live.planned.route
        if live.standby is not None and (live.standby.tunnel.is_lost or live.standby.route != planned):
            await _dismiss(live)
        if planned is None or planned == live.route:
            return
        if live.standby is None:
            await self._build(live, woken)
        else:
            await self._prove(live, live.standby)

    async def take_over(self, live: LiveConnection) -> LiveConnection:
        """Make the standby of ``live``, whose tunnel is lost, its tunnel; return the connection as it is now.

        Sockets use it before anything is written down. What cannot be written is logged: the tunnel stands anyway.
        """
        assert live.standby is not None
        reason = await live.tunnel.wait_lost()
        taken = replace(
            live, route=live.standby.route, tunnel=live.standby.tunnel, exit_site=live.standby.exit_site, standby=None
        )
        self.establisher.live.put(taken)
        self.establisher.moved(Reason.ESCAPED_DEAD.value)
        facts = {"connection": live.connection, "before": live.route.id, "now": taken.route.id, "reason": reason}
        log.info("standby took over", extra=facts)
        await live.tunnel.close()
        try:
            await contained(lambda: self._record(live, taken, reason), KNOWN_ERRORS)
        except KNOWN_ERRORS as error:
            log.warning("take-over not recorded", extra={"connection": live.connection, "code": error.code})
        return taken

    async def _build(self, live: LiveConnection, woken: asyncio.Event) -> None:
        route, network, making = live.planned.route, live.snapshot, self.establisher.tunnels
        assert route is not None
        try:
            tunnel = await build_tunnel(network.topology, route, network.target, making.pool, making.policy)
        except HopError as error:
            if error.hop in (*route.hops, route.target):
                self.establisher.chooser.unreachable(route, error)
            raise
        if self.establisher.live.get(live.connection) is not live or live.planned.route != route:
            await tunnel.close()  # overtaken by a review
            return
        tunnel.listen(lambda _health: woken.set() if tunnel.is_lost else None)
        live.standby = Way(route, tunnel, exit_site(route, network))
        log.info("standby is ready", extra={"connection": live.connection, "route": route.id})

    async def _prove(self, live: LiveConnection, standby: Way) -> None:
        """Open what the tunnel leads to; a standby that cannot do that is none."""
        tunnel, policy = standby.tunnel, self.establisher.tunnels.policy
        try:
            (await tunnel.open_socket(tunnel.target_address, policy.hop_timeout_s)).close()
        except HopError:
            if live.standby is standby:
                await _dismiss(live)
            raise

    async def _record(self, before: LiveConnection, taken: LiveConnection, reason: str) -> None:
        """Write down what took over and why, as a decision like any other."""
        establisher = self.establisher
        network, wishes, aim = await establisher.wanted(taken.connection)
        if establisher.chooser.is_declared(network, before.route):
            establisher.chooser.unreachable(before.route, HopTimedOut(reason, hop=before.tunnel.lost_hop))
        enumerated = establisher.chooser.enumerate(network, wishes, aim)
        routes = tuple(dict.fromkeys((*enumerated, taken.route)))
        choice = establisher.chooser.choose(network, routes, aim, wishes=wishes, hold=before.hold)
        taken.hold, taken.planned = held(choice, taken.route), standby_of(choice, taken.route)
        lost = {"route": before.route.id, "code": "tunnel-lost", "reason": reason}
        await establisher.record(taken.connection, choice, taken.route, [lost])
        await establisher.note_route(taken.connection, taken.route)
        await establisher.sessions.move(taken.connection, taken.route, network)


async def _dismiss(live: LiveConnection) -> None:
    standby, live.standby = live.standby, None
    if standby is not None:
        await standby.tunnel.close()
