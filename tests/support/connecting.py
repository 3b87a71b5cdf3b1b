"""The connection machinery, wired as ``gateway.compose`` does, over a real database and real tunnels on loopback.

What is not ours to prove here is in memory: the cloud behind the tunnel, the owner's connector, and probing, which says
what a test sets in ``rtt_ms``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncssh

from catalog import connections, network, platforms
from catalog.clouds import CloudAccount, Proof
from catalog.errors import CloudError
from catalog.listed import Listed
from catalog.messages.handshake import CAPABILITY_VERBS, Capability, ServiceInformation
from catalog.model.connection import AccountSession, Connection, ConnectionEvent, ConnectionState
from catalog.model.consent import GrantRule
from catalog.model.ids import ConnectionId, PlatformId
from catalog.model.platform import Platform, Purpose
from catalog.ports import Address, Dialer
from catalog.store import rows
from gateway.connections.choosing import ChoosingPolicy, RouteChooser
from gateway.connections.clouds import RoutedClouds
from gateway.connections.establish import Establisher, TunnelMaking
from gateway.connections.handshake import Handshake
from gateway.connections.keeper import Keeper, KeepPolicy
from gateway.connections.links import LinkBook
from gateway.connections.publishing import Publisher
from gateway.connections.sessions import Sessions
from gateway.connections.steps import StepLog
from gateway.connections.tunnels import LiveConnection, LiveConnections
from gateway.connector.policy import Policy, Rule, Verdict
from gateway.network import DeclaredNetwork, Snapshot
from routing.estimate.costs import Weights
from routing.probe.budget import BudgetPolicy, ProbeBudget
from routing.probe.plan import ProbePlan
from routing.probe.summary import LinkMeasurement
from routing.steadiness import SteadinessPolicy
from routing.tunnel.policy import PoolPolicy, TunnelCredentials, TunnelPolicy
from routing.tunnel.pool import HopPool
from tests.support.doubles import KillingCheckpoint, MemoryCloud
from tests.support.platform_links import InMemoryPlatformLink
from tests.support.sshd import Sshd, free_port
from tests.support.stores import HOST_KEY, Store, add_platform, opened_store
from tests.support.waiting import until

SERVICES = ("machine", "image", "size")
EAGER = KeepPolicy(review_period_s=60, poll_period_s=0.05, drain_s=0.2, pause_first_s=0.01, pause_longest_s=0.05)


@dataclass
class ScriptedCloud(MemoryCloud):
    """A cloud in memory that fails where a test says so, and remembers what was called.

    ``failures`` holds, by call, the errors that its next calls raise; ``refused`` the capabilities it does not prove.
    """

    calls: list[str] = field(default_factory=list)
    failures: dict[str, list[Exception]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    has_images: bool = True
    hooks: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)  # by call, each run once
    closed: bool = False

    async def log_in(self) -> ServiceInformation:
        """Return what it has."""
        await self._call("log_in")
        return ServiceInformation(provider="memory", region="here", services=SERVICES)

    async def prove(self, capability: str) -> Proof:
        """Return whether the capability is not among the refused."""
        await self._call("prove")
        return Proof(capability=capability, allowed=capability not in self.refused, request=f"Prove {capability}")

    async def rights(self) -> Sequence[Proof]:
        """Return a proof of each of SERVICES, by whether it is among the refused."""
        await self._call("rights")
        return [
            Proof(capability=name, allowed=name not in self.refused, request="service list", request_id="req-1")
            for name in SERVICES
        ]

    async def items(self, capability: str) -> Sequence[Listed]:
        """Return one size and, while it has any, one image."""
        if capability in {"size", "image"}:
            await self._call(f"{capability}s")
        return () if capability == "image" and not self.has_images else await super().items(capability)

    async def close(self) -> None:
        """Remember it."""
        self.closed = True

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.hooks:
            await self.hooks.pop(name)()
        if self.failures.get(name):
            raise self.failures[name].pop(0)


@dataclass
class Connecting:
    """Everything that makes and keeps connections. ``platform`` is enrolled, at ``bom``; the gateway is at ``gw``."""

    store: Store
    platform: PlatformId
    cloud: ScriptedCloud
    link: InMemoryPlatformLink
    checkpoint: KillingCheckpoint
    ssh_key: asyncssh.SSHKey
    rtt_ms: dict[tuple[str, str], float | None] = field(default_factory=dict)  # by link; 10 where nothing is said
    probed: list[tuple[str, str]] = field(default_factory=list)
    built: list[CloudAccount] = field(default_factory=list)
    policy: KeepPolicy = EAGER
    patience: float = 1.0  # one clearly better measurement is enough
    before_probing: Callable[[], Awaitable[None]] | None = None
    closing: ExitStack = field(default_factory=ExitStack)  # what ends with the world

    def __post_init__(self) -> None:
        """Wire the parts."""
        self.wire()

    def wire(self, *, checkpoint: KillingCheckpoint | None = None, policy: KeepPolicy | None = None) -> None:
        """Make the parts anew, as a restart does, after a change of the key, the checkpoint or the policy."""
        self.checkpoint, self.policy = checkpoint or self.checkpoint, policy or self.policy
        database, clock = self.store.database, self.store.clock
        self.live = LiveConnections()
        self.sessions = Sessions(database, clock)
        self.clouds = RoutedClouds(
            database=database,
            sealer=self.store.sealer,
            live=self.live,
            build_driver=self._build_driver,
            clock=clock,
        )
        self.handshake = Handshake(database=database, clock=clock, open_link=lambda *_: self.link, gateway_name="gw")
        self.publisher = Publisher(database=database, clock=clock, clouds=self.clouds)
        self.steps = StepLog(database, clock, self.checkpoint)
        self.chooser = RouteChooser(
            probe=self._probe,
            policy=ChoosingPolicy(steadiness=SteadinessPolicy(patience=self.patience)),
            budget=ProbeBudget(BudgetPolicy(packets_per_s=10_000, relay_packets_per_s=10_000)),
            links=LinkBook(),
            clock=clock,
        )
        tunnels = TunnelPolicy(hop_timeout_s=20, keepalive_s=0.05, keepalive_count=400)
        self.establisher = Establisher(
            database=database,
            clock=clock,
            steps=self.steps,
            chooser=self.chooser,
            tunnels=TunnelMaking(
                # Connections end with their tunnel: a test may run several event loops, one after the other.
                pool=HopPool(TunnelCredentials(client_key=self.ssh_key), tunnels, PoolPolicy(idle_s=0)),
                policy=tunnels,
            ),
            live=self.live,
            sessions=self.sessions,
            clouds=self.clouds,
            handshake=self.handshake,
            publisher=self.publisher,
            network=DeclaredNetwork("gw"),
            weights=Weights(),
        )
        self.keeper = Keeper(database, clock, self.establisher, self.policy)

    def _build_driver(self, account: CloudAccount, _dialer: Dialer) -> ScriptedCloud:
        self.built.append(account)
        return self.cloud

    async def _probe(self, plan: ProbePlan, _network: Snapshot) -> tuple[LinkMeasurement, ...]:
        if self.before_probing is not None:
            await self.before_probing()
        self.probed += [(link.source, link.target) for link in plan.links]
        return tuple(
            LinkMeasurement(
                source=link.source,
                target=link.target,
                method="connect",
                samples_ms=(self.rtt_ms.get((link.source, link.target), 10.0),) * link.samples,
                measured_at_s=self.store.now_s,
            )
            for link in plan.links
        )

    def add_relay(self, name: str, sshd: Sshd | None = None, *, port: int | None = None) -> None:
        """Declare a relay at a site of its own, linked to gateway and platform.

        Without ``sshd`` it is whatever listens on ``port`` of loopback, without that nothing.
        """
        host, port = sshd.address if sshd else ("127.0.0.1", port or free_port())
        user, key = (sshd.user, sshd.host_key) if sshd else ("nobody", HOST_KEY)

        def work(tx: Any) -> None:
            now_s = self.store.now_s
            network.add_site(tx, name=name, now_s=now_s)
            network.add_relay(tx, name=name, site=name, host=host, port=port, user=user, host_key=key, now_s=now_s)
            network.add_link(tx, source="gw", target=name, now_s=now_s)
            network.add_link(tx, source=name, target="bom", now_s=now_s)

        self.store.write(work)

    def place(self, site: str, latitude: float, longitude: float) -> None:
        """Say where a site is."""
        where = {"latitude": latitude, "longitude": longitude}
        self.store.write(lambda tx: network.update_site(tx, site, where, self.store.now_s))

    def accept_everything(self) -> None:
        """Add the standing rule that accepts what is granted."""
        self.store.write(lambda tx: rows.insert(tx, GrantRule(platform="*", capability="*"), self.store.now_s))

    def request(self, target: PlatformId | None = None, **policy: Any) -> ConnectionId:
        """Ask for a platform's connection to itself: the one that is enrolled, or ``target``."""
        own = target or self.platform
        return self.store.write(
            lambda tx: connections.request(tx, requester=own, target=own, policy=policy, now_s=self.store.now_s)
        ).id

    async def connect(self, target: PlatformId | None = None) -> LiveConnection:
        """Ask for such a connection, and establish it."""
        connection = await asyncio.to_thread(self.request, target)
        await self.begin(connection)
        return await self.establisher.run(connection)

    async def disconnect(self) -> None:
        """Take every connection down."""
        for platform in self.live.targets():
            await self.establisher.live_closed(self.live.to_platform(platform))

    async def begin(self, connection_id: ConnectionId) -> None:
        """Take a requested connection to ROUTING, as the keeper does before the saga."""
        await self.move(connection_id, ConnectionEvent.BEGIN)

    async def move(self, connection_id: ConnectionId, event: ConnectionEvent) -> None:
        """Move the row, as the API does."""
        now_s = self.store.now_s
        await self.store.database.write(lambda tx: connections.move(tx, connection_id, event, now_s))

    async def row(self, connection_id: ConnectionId) -> Connection:
        """Return the connection as the database has it."""
        return await self.store.database.read(lambda tx: rows.by_id(tx, Connection, connection_id))

    async def wait(self, connection_id: ConnectionId, *states: ConnectionState) -> Connection:
        """Wait until the connection is in one of ``states``, and return it."""
        found: list[Connection] = []

        async def reached() -> bool:
            found[:] = [await self.row(connection_id)]
            return found[0].state in states

        await until(reached)
        return found[0]

    async def open_sessions(self, connection_id: ConnectionId) -> list[AccountSession]:
        """Return the sessions that have not ended."""
        found = await self.store.database.read(lambda tx: connections.sessions(tx, connection_id))
        return [each for each in found if each.ended_at_s is None]

    async def outcomes(self, connection_id: ConnectionId) -> list[tuple[str, str]]:
        """Return every recorded step and outcome, oldest first."""
        found = await self.store.database.read(lambda tx: connections.steps(tx, connection_id))
        return [(each.step, each.outcome) for each in found]

    async def decision(self, connection_id: ConnectionId) -> Mapping[str, Any]:
        """Return the newest decision document."""
        found = await self.store.database.read(lambda tx: connections.latest_decision(tx, connection_id))
        assert found is not None
        return found.document

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Run the keeper until the block ends."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.keeper.run())
            try:
                yield
            finally:
                running.cancel()

    @asynccontextmanager
    async def target(self) -> AsyncIterator[None]:
        """Listen where the platform's API is, and say so to the catalog; what connects is never answered."""
        over = asyncio.Event()

        async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await over.wait()
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        now_s = self.store.now_s
        dial = Address(host=host, port=port)

        def approve(tx: Any) -> None:
            for platform in rows.where(tx, Platform):
                platforms.approve_endpoint(tx, platform.id, Purpose.API, dial=dial, now_s=now_s)

        await self.store.database.write(approve)
        try:
            yield
        finally:
            over.set()
            server.close()


@contextmanager
def connecting(directory: Path, *, direct: bool = True) -> Iterator[Connecting]:
    """Give the machinery over a fresh database in which ``mumbai`` is enrolled; ``direct``: gw and bom are linked."""
    with opened_store(directory) as store:
        platform = add_platform(store).id

        def declare(tx: Any) -> None:
            network.add_site(tx, name="gw", now_s=store.now_s)
            if direct:
                network.add_link(tx, source="gw", target="bom", now_s=store.now_s)

        store.write(declare)
        made = Connecting(
            store=store,
            platform=platform,
            cloud=ScriptedCloud(store.clock),
            link=InMemoryPlatformLink(granting(), store.clock),
            checkpoint=KillingCheckpoint(),
            ssh_key=asyncssh.generate_private_key("ssh-ed25519"),
        )
        with made.closing:
            yield made


def granting(verdict: Verdict = Verdict.GRANT, *names: str, **changes: Any) -> Policy:
    """Return a policy with this verdict on ``names``, on all of SERVICES when none is given."""
    service = ServiceInformation(provider="memory", region="here", services=SERVICES)
    return Policy(
        service=service,
        rules={
            name: Rule(verdict=verdict, verbs=CAPABILITY_VERBS[Capability(name)], **changes)
            for name in names or SERVICES
        },
    )


def failing(error: CloudError, times: int = 1) -> list[Exception]:
    """Return ``times`` of ``error`` for ScriptedCloud.failures."""
    return [type(error)(str(error)) for _ in range(times)]


def eager(**changes: Any) -> KeepPolicy:
    """Return EAGER with ``changes``."""
    return replace(EAGER, **changes)


async def ready(world: Connecting, connection: ConnectionId, *hops: str) -> LiveConnection:
    """Wait until the standby over ``hops`` is ready; return the connection."""

    async def stands() -> bool:
        live = world.live.get(connection)
        return live is not None and live.standby is not None and live.standby.route.hops == hops

    await until(stands)
    live = world.live.get(connection)
    assert live is not None
    return live
