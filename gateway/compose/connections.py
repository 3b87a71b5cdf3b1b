"""What makes and keeps connections, wired from the tunnels up."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from catalog.model.platform import Platform
from catalog.ports import ApprovedEndpoint, Clock, PlatformLink
from catalog.secrets import Sealer
from catalog.store.database import Database
from drivers.platforms.http import HttpPlatformLink
from gateway.compose import policies
from gateway.compose.adapters import Adapters
from gateway.compose.keys import Keys
from gateway.compose.measurement import measurement
from gateway.connections.carrier import TunnelCarrier
from gateway.connections.clouds import RoutedClouds
from gateway.connections.establish import Establisher, TunnelMaking
from gateway.connections.handshake import Handshake
from gateway.connections.keeper import Keeper, KeepPolicy
from gateway.connections.network_watch import NetworkWatch
from gateway.connections.passages import OpenPassages
from gateway.connections.publishing import Publisher
from gateway.connections.reaching import ReachWatch
from gateway.connections.sessions import Sessions
from gateway.connections.steps import StepLog
from gateway.connections.tunnels import LiveConnection, LiveConnections
from gateway.network import DeclaredNetwork
from gateway.settings import Settings
from gateway.telemetry import Metrics
from routing.estimate.costs import Weights
from routing.tunnel.pool import HopPool


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """What makes and keeps connections, wired; also what reaches clouds and streams over them."""

    live: LiveConnections
    carrier: TunnelCarrier
    clouds: RoutedClouds
    handshake: Handshake
    publisher: Publisher
    keeper: Keeper
    watch: NetworkWatch
    reach: ReachWatch
    metrics: Metrics
    passages: OpenPassages


@asynccontextmanager
async def connections(
    settings: Settings, adapters: Adapters, keys: Keys, database: Database
) -> AsyncIterator[Connections]:
    """Make them, none established yet; whatever they hold open is closed with the context."""
    clock = adapters.clock
    calls = policies.call_policy(settings)
    live = LiveConnections()
    sessions = Sessions(database, clock)
    clouds = RoutedClouds(
        database=database,
        sealer=Sealer(keys.sealing),
        live=live,
        build_driver=lambda account, dialer: adapters.build_driver(account, dialer, calls),
        clock=clock,
    )
    handshake = Handshake(
        database=database,
        clock=clock,
        open_link=_link_opener(settings, keys, clock),
        gateway_name=settings.gateway.name,
    )
    publisher = Publisher(database=database, clock=clock, clouds=clouds)
    credentials = keys.ssh.credentials
    async with (
        HopPool(credentials, policies.tunnel_policy(settings), policies.pool_policy(settings)) as pool,
        TunnelCarrier(live) as carrier,
        measurement(settings, pool, clock, adapters.raw_sockets) as measured,
    ):
        establisher = Establisher(
            moved=measured.watch.changed,
            database=database,
            clock=clock,
            steps=StepLog(database, clock, adapters.checkpoint),
            chooser=measured.chooser,
            tunnels=TunnelMaking(pool=pool, policy=policies.tunnel_policy(settings)),
            live=live,
            sessions=sessions,
            clouds=clouds,
            handshake=handshake,
            publisher=publisher,
            network=DeclaredNetwork(settings.gateway.site),
            weights=Weights(**settings.routing.weights.model_dump()),
        )
        keep = KeepPolicy(review_period_s=settings.routing.review_period_s)
        try:
            yield Connections(
                live=live,
                carrier=carrier,
                clouds=clouds,
                handshake=handshake,
                publisher=publisher,
                keeper=Keeper(database, clock, establisher, keep),
                watch=measured.watch,
                reach=ReachWatch(database, clock, live, measured.chooser),
                metrics=measured.metrics,
                passages=OpenPassages(database, clock),
            )
        finally:
            await clouds.close()


def _link_opener(
    settings: Settings, keys: Keys, clock: Clock
) -> Callable[[ApprovedEndpoint, Platform, LiveConnection], PlatformLink]:
    def open_link(endpoint: ApprovedEndpoint, platform: Platform, live: LiveConnection) -> PlatformLink:
        return HttpPlatformLink(
            endpoint,
            platform_name=platform.name,
            platform_key=platform.public_key,
            gateway_key=keys.signing,
            gateway_name=settings.gateway.name,
            open_socket=live.open_socket,
            clock=clock,
            timeout_s=settings.handshake.timeout_s,
        )

    return open_link
