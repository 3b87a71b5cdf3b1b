"""The composition root: settings and adapters become a running gateway. The only importer of ``drivers``."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.cloud_assets import CloudAssets
from catalog.clouds import CloudAccount, CloudDriver, MachineAction
from catalog.messages.handshake import public_text
from catalog.messages.signing_key import load_or_create_key
from catalog.model.ids import PlatformId
from catalog.model.platform import Platform
from catalog.orders.steps import UNWATCHED
from catalog.platforms import AccountCheck
from catalog.ports import ApprovedEndpoint, Checkpoint, Clock, Dialer, PlatformLink
from catalog.prices.ports import PublishedPriceLists
from catalog.search.index import SearchIndex
from catalog.secrets import Sealer
from catalog.store.database import Database
from drivers import registry
from drivers.clouds.policy import CallPolicy
from drivers.keys.file import FileKeys
from drivers.platforms.http import HttpPlatformLink
from drivers.provisioner.journal import ProvisionPolicy
from drivers.provisioner.records import SqliteRecords
from drivers.provisioner.run import Provisioner
from drivers.webhooks.http import HttpWebhookSender
from gateway import policies
from gateway.api.idempotency import expire
from gateway.api.proxies import Proxies
from gateway.api.server import build_app, serve_app
from gateway.api.services import ApiServices
from gateway.background.grant_work import grant_work
from gateway.background.logs import log_work
from gateway.background.noting import Noted
from gateway.background.order_work import OrderWork
from gateway.background.runner import BackgroundTask, Runner, Service, Work
from gateway.background.searching import search_work
from gateway.background.settle_grants import SettleGrants
from gateway.background.spending import machine_work
from gateway.background.tidying import tidy_work
from gateway.bootstrap import (
    SEALING_KEYS_FILE,
    SIGNING_KEY_FILE,
    bootstrap,
    owner_id,
    prepare_state_dir,
)
from gateway.clock import SystemClock
from gateway.connections.carrier import TunnelCarrier
from gateway.connections.clouds import RoutedClouds
from gateway.connections.enforcement import Enforcement
from gateway.connections.establish import Establisher, TunnelMaking
from gateway.connections.explanation import reranked
from gateway.connections.handshake import Handshake
from gateway.connections.keeper import Keeper, KeepPolicy
from gateway.connections.network_watch import NetworkWatch
from gateway.connections.passages import OpenPassages
from gateway.connections.passing import OpenNative, Passing
from gateway.connections.publishing import Publisher
from gateway.connections.reaching import ReachWatch
from gateway.connections.sessions import Sessions
from gateway.connections.steps import StepLog
from gateway.connections.streams import Streams
from gateway.connections.tunnels import LiveConnection, LiveConnections
from gateway.measurement import measurement
from gateway.network import DeclaredNetwork
from gateway.queues import message_queue
from gateway.relays.service import RelayService
from gateway.relays.ssh_keys import SshKeys
from gateway.settings import Settings
from gateway.telemetry import Metrics
from routing.estimate.costs import Weights
from routing.probe.probers import RawSockets
from routing.tunnel.pool import HopPool

log = logging.getLogger(__name__)

PROVISIONER_FILE = "provisioner.sqlite3"
# The driver ends a call at its own deadline, with a better reason; the provisioner's is only the belt to its braces.
OWN_CALL_GRACE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """Every choice that is not a setting; tests pass their own."""

    clock: Clock = field(default_factory=SystemClock)
    checkpoint: Checkpoint = UNWATCHED
    build_driver: Callable[[CloudAccount, Dialer, CallPolicy], CloudDriver] = registry.build
    providers: tuple[str, ...] = field(default_factory=registry.providers)
    check_account: AccountCheck = registry.check
    open_native: OpenNative = registry.native_passage
    published_prices: PublishedPriceLists = registry.published_prices
    raw_sockets: RawSockets | None = None  # opened before the process gave up the right to; None: opened when needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running gateway: where it listens, and its background work."""

    url: str
    runner: Runner
    public_key: str  # base64 Ed25519: what connectors put into their policy as gateway_key
    ssh_public_key: str  # OpenSSH line: what relays put into authorized_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The gateway's own keys, all in files of mode 0600 in the state directory."""

    signing: Ed25519PrivateKey
    ssh: SshKeys
    sealing: FileKeys

    @classmethod
    def load(cls, state_dir: Path) -> "Keys":
        """Load the keys, creating what is missing. Raises InvalidValue when one can be read by others."""
        return cls(
            ssh=SshKeys(state_dir),
            signing=load_or_create_key(state_dir / SIGNING_KEY_FILE),
            sealing=FileKeys.load_or_create(state_dir / SEALING_KEYS_FILE),
        )


@asynccontextmanager
async def gateway(settings: Settings, adapters: Adapters | None = None) -> AsyncIterator[Gateway]:
    """Run the gateway with everything in one process while the context lasts.

    The provisioner runs beside the rest, over the same queue as if it were elsewhere. Raises InvalidSettings,
    InvalidValue or WrongState, with what would be right, before anything listens.
    """
    adapters = adapters or Adapters()
    state_dir = settings.gateway.state_dir
    prepare_state_dir(state_dir)
    keys = Keys.load(state_dir)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(settings.database_url, clock=adapters.clock))
        await bootstrap(database, settings, adapters.clock)
        parts = await stack.enter_async_context(_connections(settings, adapters, keys, database))
        relays = _relays(settings, adapters, keys, database)
        work = await stack.enter_async_context(_work(settings, adapters, keys, database, parts))
        await parts.keeper.recover()
        await parts.passages.recover()
        noted = Noted.of(settings.background.disabled)
        work = [*work, relays.task(), *noted.work(database, adapters.clock)]
        runner = Runner(work, clock=adapters.clock, disabled=settings.background.disabled)
        services = _services(settings, adapters, keys, database, parts=parts, relays=relays, runner=runner, noted=noted)
        stack.push_async_callback(runner.finish)  # once nobody is served any more
        url = await stack.enter_async_context(serve_app(build_app(services), settings.api.listen))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = tasks.create_task(runner.run())
        log.info("gateway is up", extra={"url": url, "gateway": settings.gateway.name})
        try:
            yield Gateway(
                url=url,
                runner=runner,
                public_key=public_text(keys.signing.public_key()),
                ssh_public_key=keys.ssh.public().shown,
            )
        finally:
            running.cancel()


def _relays(settings: Settings, adapters: Adapters, keys: Keys, database: Database) -> RelayService:
    return RelayService(
        database=database,
        clock=adapters.clock,
        gateway_site=settings.gateway.site,
        keys=keys.ssh,
        policy=policies.tunnel_policy(settings),
        check_period_s=settings.relays.check_period_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Connections:
    """What makes and keeps connections, wired; and what is searched in."""

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
    search: SearchIndex = field(default_factory=SearchIndex)


@asynccontextmanager
async def _connections(
    settings: Settings, adapters: Adapters, keys: Keys, database: Database
) -> AsyncIterator[_Connections]:
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
            yield _Connections(
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


@asynccontextmanager
async def _work(
    settings: Settings, adapters: Adapters, keys: Keys, database: Database, parts: _Connections
) -> AsyncIterator[list[Work]]:
    clock, checkpoint = adapters.clock, adapters.checkpoint
    state_dir = settings.gateway.state_dir
    async with (
        message_queue(settings.queue, state_dir, database, clock) as queue,
        SqliteRecords.open(state_dir / PROVISIONER_FILE) as records,
    ):
        provisioner = Provisioner(
            queue=queue,
            clouds=parts.clouds,
            records=records,
            clock=clock,
            checkpoint=checkpoint,
            owner=owner_id(state_dir, clock),
            policy=ProvisionPolicy(
                lease_s=2 * settings.clouds.call_timeout_s + OWN_CALL_GRACE_S,
                call_timeout_s=settings.clouds.call_timeout_s + OWN_CALL_GRACE_S,
                poll_s=settings.orders.poll_period_s,
            ),
        )
        orders = OrderWork(
            database=database,
            queue=queue,
            clock=clock,
            checkpoint=checkpoint,
            policy=policies.order_policy(settings),
        )
        grants = SettleGrants(
            database=database,
            clock=clock,
            live=parts.live,
            clouds=parts.clouds,
            handshake=parts.handshake,
            publisher=parts.publisher,
            read_again_s=settings.discovery.period_s,
        )
        enforcement = Enforcement(database, clock, parts.clouds.calls, parts.live, parts.keeper.let_go)
        yield [
            Service(name="connections", run=parts.keeper.run, wake=parts.keeper.wake),
            Service(name="passages", run=parts.passages.run, wake=parts.passages.wake),
            Service(name="enforcement", run=enforcement.run, wake=enforcement.wake),
            Service(name="provision", run=provisioner.run),
            *orders.tasks(),
            *grant_work(grants, policies.grant_work_policy(settings)),
            *machine_work(database, clock, parts.clouds),
            BackgroundTask(name="reach", run_once=parts.reach.run_once, period_s=15.0, timeout_s=30.0),
            tidy_work(database, clock, queue, records, expire),
            search_work(database, clock, parts.search),
            *log_work(
                database,
                clock,
                sealer=Sealer(keys.sealing),
                sign=keys.signing.sign,
                sender=HttpWebhookSender(settings.webhooks.inside_networks, timeout_s=settings.webhooks.timeout_s),
                policy=policies.log_policy(settings),
            ),
        ]


def _services(
    settings: Settings,
    adapters: Adapters,
    keys: Keys,
    database: Database,
    *,
    parts: _Connections,
    relays: RelayService,
    runner: Runner,
    noted: Noted,
) -> ApiServices:
    async def act(platform: PlatformId, cloud_id: str, action: MachineAction) -> None:
        driver = await parts.clouds.driver(platform)
        await driver.act(cloud_id, action)

    async def assets_of(platform: PlatformId) -> CloudAssets:
        return (await parts.clouds.driver(platform)).assets

    return ApiServices(
        database=database,
        clock=adapters.clock,
        sealer=Sealer(keys.sealing),
        known_providers=adapters.providers,
        providers=registry.known_providers(),
        wake=runner.wake,
        background_status=runner.status,
        machine_action=act,
        assets_of=assets_of,
        check_account=adapters.check_account,
        gateway_site=settings.gateway.site,
        default_weights=settings.routing.weights.model_dump(),
        retry_policy=policies.retry_policy(settings),
        checkpoint=adapters.checkpoint,
        gateway_info={"name": settings.gateway.name, "gateway_key": public_text(keys.signing.public_key())},
        doors=policies.doors(settings, Sealer(keys.sealing)),
        proxies=Proxies.named(settings.api.trusted_proxies),
        limits=policies.api_limits(settings),
        relays=relays,
        sign=keys.signing.sign,
        webhooks=policies.webhook_policy(settings),
        metrics=parts.metrics,
        last_used=noted.uses,
        refusals=noted.refusals,
        search=parts.search,
        network_status=parts.watch.document,
        network_links=parts.watch.links,
        what_if=reranked,
        published_prices=adapters.published_prices,
        open_stream=Streams(database, adapters.clock, parts.live, parts.passages).opened,
        passing=Passing(
            database=database,
            clock=adapters.clock,
            sealer=Sealer(keys.sealing),
            carrier=parts.carrier,
            passages=parts.passages,
            open_native=adapters.open_native,
            policy=policies.passing_policy(settings),
            rates=parts.clouds.rates,
        ),
    )


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
