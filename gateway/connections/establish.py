"""Establish one connection: route, probe, rank, tunnel, sessions, log-in, handshake, offers (S1 steps 2-14).

A saga: every step is recorded as it passes, and what was half built is undone when a later step fails. A process that
is killed in the middle leaves nothing but rows (tunnels die with it); the next one begins again.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

from catalog.connections import latest_decision, move, record_decision
from catalog.errors import CloudError
from catalog.messages.handshake import ServiceInformation
from catalog.model.connection import Connection, ConnectionEvent, StepRecord
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import ConnectionId
from catalog.model.platform import Endpoint
from catalog.network import weights as weights_in_force
from catalog.ports import Address, Clock
from catalog.store.connections import ROUTED_STATES
from catalog.store.database import Database, Tx
from catalog.store.rows import by_id, first, update, where
from gateway.connections.choosing import RouteChooser
from gateway.connections.clouds import RoutedClouds
from gateway.connections.explanation import Choice, aimed, carried, explained, taking, weighted
from gateway.connections.handshake import Handshake, has_connector
from gateway.connections.publishing import Publisher
from gateway.connections.sessions import Sessions
from gateway.connections.steps import CONNECT_STEPS, StepLog
from gateway.connections.tunnels import LiveConnection, LiveConnections, exit_site
from gateway.network import DeclaredNetwork, Snapshot, exit_relay, parse_address, turned_addresses
from routing.candidates import Route
from routing.errors import HopError, RoutingError
from routing.estimate.costs import Weights
from routing.ranking import Aim
from routing.standby import Standby
from routing.steadiness import Hold, Reason
from routing.tunnel.build import build_tunnel
from routing.tunnel.policy import TunnelPolicy
from routing.tunnel.pool import HopPool
from routing.tunnel.tunnel import Tunnel

log = logging.getLogger(__name__)

# How old the stored ranking may grow while the route stays.
RANKING_KEPT_S = 300.0


def _uncounted(_reason: str) -> None:
    """Count nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelMaking:
    """What building a tunnel needs: the connections to relays, and the limits."""

    pool: HopPool
    policy: TunnelPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Establisher:
    """Carries out the saga for one connection at a time; holds no state of its own."""

    database: Database
    clock: Clock
    steps: StepLog
    chooser: RouteChooser
    tunnels: TunnelMaking
    live: LiveConnections
    sessions: Sessions
    clouds: RoutedClouds
    handshake: Handshake
    publisher: Publisher
    network: DeclaredNetwork
    weights: Weights
    moved: Callable[[str], None] = _uncounted  # hears why a connection was moved to another route

    async def run(self, connection_id: ConnectionId) -> LiveConnection:
        """Bring the connection, now in state ROUTING, to ESTABLISHED and return it.

        Raises a CatalogError, GatewayError or RoutingError, after undoing what was half built.
        """
        async with AsyncExitStack() as undo:
            network, choice = await self.routed(connection_id)
            before = choice.hold.in_use
            # Each undo is known before its deed can be cut off: all of them are harmless where nothing was done.
            route, tunnel = await self._tunnel(connection_id, network, choice, undo)
            undo.callback(self.live.drop, connection_id)
            live = await self._register(connection_id, network, route, tunnel, choice)
            async with self.steps.step(connection_id, "connect.sessions"):
                undo.push_async_callback(self.sessions.end, connection_id)
                await self.sessions.open(connection_id, route, network)
                await self._move(connection_id, ConnectionEvent.TUNNELLED)
            if (found := await self._log_in(live)) is not None:
                await self._agree(live, found)
            async with self.steps.step(connection_id, "connect.establish"):
                await self._move(connection_id, ConnectionEvent.ESTABLISH)
            undo.pop_all()
        if before not in {None, route}:
            self.moved(choice.verdict.reason.value if choice.verdict.route == route else Reason.ESCAPED_DEAD.value)
        log.info("connection established", extra={"connection": connection_id, "route": route.id})
        return live

    async def routed(self, connection_id: ConnectionId) -> tuple[Snapshot, Choice]:
        """Return the network and the choice of a route by fresh measurements. Raises NoRoute."""
        async with self.steps.step(connection_id, "connect.snapshot"):
            network, wishes, aim = await self.wanted(connection_id)
            hold = await self.database.read(lambda tx: _carried(tx, connection_id))
        async with self.steps.step(connection_id, "connect.enumerate"):
            self.chooser.enumerate(network, wishes, aim)
        async with self.steps.step(connection_id, "connect.probe"):
            routes = await self.chooser.explore(network, wishes, aim, in_use=hold.in_use)
        async with self.steps.step(connection_id, "connect.rank"):
            choice = self.chooser.choose(network, routes, aim, wishes=wishes, hold=hold)
            await self.record(connection_id, choice, choice.preferred)
            await self._move(connection_id, ConnectionEvent.ROUTED, route=choice.preferred.id)
        return network, choice

    async def review(self, live: LiveConnection) -> tuple[Snapshot, Choice]:
        """Return the network and the choice with regard to the route in use; steps of a review are not recorded."""
        network, wishes, aim = await self.wanted(live.connection)
        # An endpoint may have been approved anew, with other addresses, since the tunnel was built.
        _, live.alternatives = await self.database.read(lambda tx: _alternatives(tx, live.connection))
        routes = await self.chooser.explore(network, wishes, aim, in_use=live.route)
        # After the probes, not instead of them: what the tunnel shows costs nothing, but TCP hides loss.
        await self.chooser.listen(live.tunnel, live.route, network)
        # Costs by other weights are not to be held against those of before: only what is in use is carried on.
        same = aim == live.aim
        hold = live.hold if same else Hold(in_use=live.route, strain=live.hold.strain)
        choice = self.chooser.choose(network, routes, aim, wishes=wishes, hold=hold, at_once=not same)
        live.hold, live.aim = choice.verdict.hold, aim
        if choice.preferred == live.route:
            live.planned, live.snapshot = choice.standby, network
        if choice.preferred == live.route and await self._is_news(live.connection, choice):
            await self.record(live.connection, choice, live.route)
        return network, choice

    async def _is_news(self, connection_id: ConnectionId, choice: Choice) -> bool:
        """Tell whether the stored why is out of date: other weights, or older than RANKING_KEPT_S.

        Not every review is stored: the same ranking every few seconds would bury the decisions that changed something.
        """
        last = await self.database.read(lambda tx: latest_decision(tx, connection_id))
        if last is None or last.document["weights"] != asdict(choice.aim.weights):
            return True
        return self.clock.now_s() - last.created_at_s >= RANKING_KEPT_S

    async def rebuild(self, live: LiveConnection, network: Snapshot, choice: Choice) -> LiveConnection:
        """Build a tunnel on the choice's preferred route and make it the connection's; the old one is left open.

        Raises RoutingError, and the connection keeps its tunnel, when the new route cannot be built.
        """
        async with AsyncExitStack() as undo:
            route, tunnel = await self._build(network, (choice.preferred,), [])
            undo.push_async_callback(tunnel.close)
            undo.callback(self.live.put, live)
            await self.record(live.connection, choice, route)
            moved = await self._register(live.connection, network, route, tunnel, choice)
            await self.sessions.move(live.connection, route, network)
            undo.pop_all()
        self.moved(choice.verdict.reason.value)
        return moved

    async def live_closed(self, live: LiveConnection) -> None:
        """Take the connection off the air: no new sockets, sessions ended, tunnels closed. May be repeated."""
        self.live.drop(live.connection)
        standby, live.standby = live.standby, None
        if standby is not None:
            await standby.tunnel.close()
        await live.tunnel.close()
        await self.sessions.end(live.connection)

    async def _tunnel(
        self, connection_id: ConnectionId, network: Snapshot, choice: Choice, undo: AsyncExitStack
    ) -> tuple[Route, Tunnel]:
        async with self.steps.step(connection_id, "connect.tunnel"):
            refused: list[Mapping[str, str]] = []
            try:
                route, tunnel = await self._build(network, choice.in_order(), refused)
            except RoutingError:
                await self.record(connection_id, choice, choice.preferred, refused)
                raise
            undo.push_async_callback(tunnel.close)
            if refused:
                await self.record(connection_id, choice, route, refused)
        return route, tunnel

    async def _build(
        self, network: Snapshot, routes: Sequence[Route], refused: list[Mapping[str, str]]
    ) -> tuple[Route, Tunnel]:
        """Return a tunnel on the first of ``routes`` that can be built, noting in ``refused`` those that cannot."""
        bad_hops: dict[str, HopError] = {}
        last: RoutingError | None = None
        for route in routes:
            known = next((bad_hops[hop] for hop in route.hops if hop in bad_hops), None)
            try:
                if known is not None:
                    raise known
                tunnel = await build_tunnel(
                    network.topology, route, network.target, self.tunnels.pool, self.tunnels.policy
                )
            except RoutingError as error:
                last = last or error
                refused.append({"route": route.id, "code": error.code, "reason": str(error)})
                if isinstance(error, HopError) and error.hop in route.hops and error.hop not in bad_hops:
                    # A hop that refused once is not asked again through another way in the same attempt, nor chosen
                    # again before somebody saw it answer.
                    bad_hops[error.hop] = error
                    self.chooser.unreachable(route, error)
                log.warning("route refused", extra={"route": route.id, "code": error.code})
            else:
                return route, tunnel
        if last is None:
            raise AssertionError("a choice always has a route")
        raise last

    async def _register(
        self, connection_id: ConnectionId, network: Snapshot, route: Route, tunnel: Tunnel, choice: Choice
    ) -> LiveConnection:
        connection, alternatives = await self.database.read(lambda tx: _alternatives(tx, connection_id))
        live = LiveConnection(
            connection=connection_id,
            requester=connection.requester_id,
            target=connection.target_id,
            route=route,
            tunnel=tunnel,
            exit_site=exit_site(route, network),
            snapshot=network,
            hold=held(choice, route),
            aim=choice.aim,
            alternatives=alternatives,
            planned=standby_of(choice, route),
        )
        self.live.put(live)
        await self.note_route(connection_id, route)
        return live

    async def _log_in(self, live: LiveConnection) -> ServiceInformation | None:
        """Return the cloud's services; None where it does not answer now and grants stand already.

        Then it is with the cloud as if it had fallen silent a moment later: the background asks it again.
        """
        async with self.steps.step(live.connection, "connect.log-in"):
            driver = await self.clouds.ungranted(live.target)
            try:
                found = await driver.log_in()
            except CloudError as error:
                if not (error.retryable and await self._stands(live)):
                    raise
                await self.steps.note(live.connection, "connect.log-in", "postponed", detail=error.code)
                return None
            await self.sessions.count(live.connection)
            return found

    async def _agree(self, live: LiveConnection, found: ServiceInformation) -> None:
        """Run the handshake and publish what both sides granted; a platform without a connector offers nothing."""
        async with self.steps.step(live.connection, "connect.handshake"):
            if not await self.database.read(lambda tx: has_connector(tx, live.target)):
                await self.steps.note(live.connection, "connect.handshake", "skipped", detail="no approved connector")
                return
            await self._shake_hands(live, found)
        async with self.steps.step(live.connection, "connect.publish"):
            try:
                await self.publisher.run(live.target)
            except CloudError as error:
                if not error.retryable:
                    raise
                # The tunnel stands and the grants are recorded: the background task publishes as soon as it can.
                await self.steps.note(live.connection, "connect.publish", "postponed", detail=error.code)

    async def _shake_hands(self, live: LiveConnection, found: ServiceInformation) -> None:
        """Ask the owner. Where grants stand already, a connector that is away does not keep them from being used."""
        try:
            await self.handshake.run(live, found)
        except CloudError as error:
            if not (error.retryable and await self._stands(live)):
                raise
            await self.steps.note(live.connection, "connect.handshake", "postponed", detail=error.code)

    async def _stands(self, live: LiveConnection) -> bool:
        """Tell whether any grant of the platform stands already."""
        accepted = {"platform_id": live.target, "state": GrantState.ACCEPTED}
        return await self.database.read(lambda tx: first(tx, Grant, **accepted) is not None)

    async def record(
        self,
        connection_id: ConnectionId,
        choice: Choice,
        chosen: Route,
        refused: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Store why ``chosen`` is the connection's route, and what could not be built before it."""
        document = explained(choice, chosen=chosen, refused=refused)
        now_s = self.clock.now_s()
        await self.database.write(lambda tx: record_decision(tx, connection_id, document, now_s))

    async def _move(self, connection_id: ConnectionId, event: ConnectionEvent, *, route: str = "") -> None:
        now_s = self.clock.now_s()
        await self.database.write(lambda tx: move(tx, connection_id, event, now_s, route=route))

    async def wanted(self, connection_id: ConnectionId) -> tuple[Snapshot, Mapping[str, Any], Aim]:
        """Return the network as declared now, what the connection's requester wishes, and by what routes are ranked."""
        return await self.database.read(lambda tx: self._load(tx, connection_id))

    async def note_route(self, connection_id: ConnectionId, route: Route) -> None:
        """Write the route in use into the connection's row."""
        now_s = self.clock.now_s()
        await self.database.write(lambda tx: _note_route(tx, connection_id, route.id, now_s))

    def _load(self, tx: Tx, connection_id: ConnectionId) -> tuple[Snapshot, Mapping[str, Any], Aim]:
        connection = by_id(tx, Connection, connection_id)
        stored = (weights_in_force(tx), weights_in_force(tx, connection.requester_id))
        wanted = [each.values for each in stored if each is not None]
        weights = weighted(self.weights, *wanted, connection.policy.get("weights") or {})
        network = self.network.towards(tx, connection.target_id)
        return network, connection.policy, aimed(weights, connection.policy)


def held(choice: Choice, route: Route) -> Hold:
    """Return what is carried on with ``route``: what was refused may leave another than the verdict's."""
    if route == choice.verdict.route:
        return choice.verdict.hold
    before = choice.hold.in_use
    return taking(route, choice.verdict, choice.steadiness, before=before.id if before else "")


def standby_of(choice: Choice, route: Route) -> Standby:
    """Return the standby of ``route``, which is known only for the one that was preferred."""
    return choice.standby if route == choice.preferred else Standby(because="the next review looks for one")


def _carried(tx: Tx, connection_id: ConnectionId) -> Hold:
    """Return what a connection that once stood carries on; nothing for one that never did."""
    stood = first(tx, StepRecord, subject_id=connection_id, step=CONNECT_STEPS[-1], outcome="done") is not None
    last = latest_decision(tx, connection_id) if stood else None
    return carried(last.document) if last is not None else Hold()


def _alternatives(tx: Tx, connection_id: ConnectionId) -> tuple[Connection, dict[Address, dict[str, Address]]]:
    connection = by_id(tx, Connection, connection_id)
    alternatives = {
        Address(host=endpoint.dial_host, port=endpoint.dial_port): {
            site: parse_address(text) for site, text in endpoint.dials_from.items()
        }
        for endpoint in where(tx, Endpoint, platform_id=connection.target_id)
    }
    for relay, instead in (turned_addresses(tx, connection.target_id) or {}).items():
        for address, port in instead.items():
            alternatives.setdefault(address, {})[exit_relay(relay)] = port
    return connection, alternatives


def _note_route(tx: Tx, connection_id: ConnectionId, route: str, now_s: float) -> None:
    connection = by_id(tx, Connection, connection_id)
    if connection.route != route and connection.state in ROUTED_STATES:
        update(tx, connection, {"route": route}, now_s)
