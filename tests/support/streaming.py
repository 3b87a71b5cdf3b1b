"""Streams over the real API, database and passages; the tunnel is in memory, and a test holds the platform's side."""

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from catalog import access, connections, consent
from catalog.access import Principal
from catalog.messages.handshake import Decision, GrantedCapability
from catalog.model.access import Role
from catalog.model.connection import Connection, ConnectionState
from catalog.model.consent import Grant
from catalog.model.ids import ConnectionId, PlatformId
from catalog.model.passage import Passage, PassageKind
from catalog.store import rows
from catalog.store.database import Tx
from gateway.api.server import build_app, serve_app
from gateway.connections.passages import OpenPassages
from gateway.connections.streams import Streams
from gateway.connections.tunnels import LiveConnection, LiveConnections
from gateway.network import Snapshot
from routing.candidates import Route
from routing.topology import Address, Node, NodeKind, Topology
from routing.tunnel.heartbeat import Listener
from routing.tunnel.liveness import Health
from routing.tunnel.tunnel import Tunnel
from tests.support.api_world import ApiWorld, api_world

NEVER_S = 3600.0  # a review that only a wake can bring
HOST, PORT = "db.internal", 5432
SCOPE = (f"{HOST}:{PORT}", "10.0.0.0/24:22")


@dataclass(slots=True, eq=False)
class MemoryTunnel:
    """Gives sockets whose far ends a test takes from ``far``; ``refusal`` is raised instead, if there is one."""

    dialled: list[str] = field(default_factory=list)
    far: "asyncio.Queue[socket.socket]" = field(default_factory=asyncio.Queue)
    refusal: Exception | None = None
    programs: list[asyncio.StreamWriter] = field(default_factory=list)
    is_lost: bool = False
    health: Health = Health.HEALTHY

    def listen(self, listener: Listener) -> None:
        """Take a listener; there is nothing to tell."""

    def unlisten(self, listener: Listener) -> None:
        """Forget a listener."""

    async def open_socket(self, address: Address, timeout_s: float) -> socket.socket:
        """Return one end."""
        assert timeout_s > 0
        self.dialled.append(str(address))
        if self.refusal is not None:
            raise self.refusal
        near, far = socket.socketpair()
        self.far.put_nowait(far)
        return near

    async def program(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Wait for the next stream and return its far end."""
        reader, writer = await asyncio.open_connection(sock=await self.far.get())
        self.programs.append(writer)
        return reader, writer

    async def close(self) -> None:
        """Close every far end, those that nobody took included."""
        while not self.far.empty():
            self.far.get_nowait().close()
        for writer in self.programs:
            writer.transport.abort()
        await asyncio.sleep(0)


@dataclass(slots=True, kw_only=True)
class StreamingWorld:
    """The API with streams: platform "platform" granted SCOPE; "other" has a connection of its own to it."""

    api: ApiWorld
    url: str
    streams: Streams
    passages: OpenPassages
    tunnel: MemoryTunnel
    platform: PlatformId
    connection: ConnectionId
    from_other: ConnectionId

    def principal(self, role: str) -> Principal:
        """Return who ``role`` is, by a key of its own rather than a token."""
        kind = Role.ADMIN if role == "admin" else Role.PLATFORM
        subject = "" if kind is Role.ADMIN else self.api.ids[role]
        return Principal(role=kind, subject_id=subject, token_id=access.TokenId(""), name=role)

    async def write(self, work: object) -> None:
        """Change the database as an endpoint does, and wake the passages as it does."""
        await self.api.write(work)
        self.passages.wake()

    async def grant(self, verbs: tuple[str, ...], destinations: tuple[str, ...] = SCOPE) -> None:
        """Let the owner grant exactly this from now on."""
        now_s = self.api.clock.now_s()
        granted = GrantedCapability(capability="forward", verbs=verbs, destinations=destinations)
        decision = Decision(request_id="r-forward", granted=(granted,))
        await self.write(
            lambda tx: consent.record_decision(tx, platform_id=self.platform, decision=decision, now_s=now_s)
        )

    async def rows_of_passages(self) -> list[Passage]:
        """Return every passage as it is recorded, oldest first."""
        return await self.api.services.database.read(lambda tx: list(rows.where(tx, Passage, kind=PassageKind.STREAM)))


@asynccontextmanager
async def streaming_world(directory: Path) -> AsyncIterator[StreamingWorld]:
    """Serve it while the context lasts."""
    async with api_world(directory) as api:
        tunnel, live = MemoryTunnel(), LiveConnections()
        database = api.services.database
        passages = OpenPassages(database, api.clock, review_s=NEVER_S)
        streams = Streams(database, api.clock, live, passages)
        platform = PlatformId(api.ids["platform"])
        own, others = await api.write(lambda tx: _prepare(tx, api, platform))
        for connection, requester in ((own, platform), (others, PlatformId(api.ids["other"]))):
            live.put(_live(connection, requester, platform, tunnel))
        services = dataclasses.replace(api.services, open_stream=streams.opened)
        async with serve_app(build_app(services), "127.0.0.1:0") as url, asyncio.TaskGroup() as tasks:
            review = tasks.create_task(passages.run())
            await asyncio.sleep(0)
            yield StreamingWorld(
                api=api,
                url=url,
                streams=streams,
                passages=passages,
                tunnel=tunnel,
                platform=platform,
                connection=own,
                from_other=others,
            )
            await tunnel.close()
            review.cancel()


def _prepare(tx: Tx, api: ApiWorld, platform: PlatformId) -> tuple[ConnectionId, ConnectionId]:
    now_s = api.clock.now_s()
    own = rows.by_id(tx, Connection, api.ids["connection"])
    others = connections.request(tx, requester=PlatformId(api.ids["other"]), target=platform, policy={}, now_s=now_s)
    for connection in (own, others):
        rows.update(tx, connection, {"state": ConnectionState.ESTABLISHED, "consented": True}, now_s)
    wanted = {"forward": ("open", "join")}
    asked = {"connection_id": own.id, "request_id": "r-forward"}
    consent.propose(tx, platform_id=platform, wanted=wanted, now_s=now_s, **asked)
    granted = GrantedCapability(capability="forward", verbs=wanted["forward"], destinations=SCOPE)
    decision = Decision(request_id="r-forward", granted=(granted,))
    consent.record_decision(tx, platform_id=platform, decision=decision, now_s=now_s)
    consent.accept(tx, rows.where(tx, Grant, platform_id=platform, capability="forward")[0].id, now_s)
    return own.id, others.id


def _live(connection: ConnectionId, requester: PlatformId, target: PlatformId, tunnel: MemoryTunnel) -> LiveConnection:
    gateway = Node(name="gateway", kind=NodeKind.GATEWAY, site="home")
    node = Node(name="platform/platform", kind=NodeKind.TARGET, site="fra", address=Address("10.1.2.3", 443))
    return LiveConnection(
        connection=connection,
        requester=requester,
        target=target,
        route=Route((), node.name),
        tunnel=cast("Tunnel", tunnel),  # sockets are all that a stream wants of it
        exit_site="home",
        snapshot=Snapshot(topology=Topology(gateway=gateway, relays=(), links=()), target=node),
    )
