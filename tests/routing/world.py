"""Real relays and targets on loopback, as the routing tests use them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Protocol

import asyncssh

from routing.candidates import Route
from routing.topology import Address, Node, NodeKind, Topology
from routing.tunnel.build import build_tunnel
from routing.tunnel.policy import PoolPolicy, TunnelCredentials, TunnelPolicy
from routing.tunnel.pool import HopPool
from routing.tunnel.tunnel import Tunnel
from tests.support.sshd import Sshd


class World:
    """Some sshd relays, named r1, r2, …, all at one site, and the key they accept."""

    def __init__(self, sshds: list[Sshd], key: asyncssh.SSHKey) -> None:
        self.sshds = sshds
        self.credentials = TunnelCredentials(client_key=key)
        self.policy = TunnelPolicy(hop_timeout_s=20, close_timeout_s=5)
        self.pins = {f"r{place}": sshd.host_key for place, sshd in enumerate(sshds, 1)}
        self.user = sshds[0].user if sshds else ""

    def topology(self) -> Topology:
        """Return the relays as routing sees them, with the present pins."""
        return Topology(
            gateway=Node(name="gw", kind=NodeKind.GATEWAY, site="lo"),
            relays=tuple(
                Node(
                    name=name,
                    kind=NodeKind.RELAY,
                    site="lo",
                    address=Address(*sshd.address),
                    user=self.user,
                    host_key=self.pins[name],
                )
                for name, sshd in zip(self.pins, self.sshds, strict=True)
            ),
            links=(),
        )

    def route(self) -> Route:
        """Return the route through all relays, in order."""
        return Route(tuple(self.pins), "target")

    async def build(
        self,
        address: Address,
        policy: TunnelPolicy | None = None,
        on_hop: Callable[[str], None] | None = None,
        pool: HopPool | None = None,
    ) -> Tunnel:
        """Build a tunnel to ``address`` through all relays, over ``pool`` or else over connections that end with it."""
        policy = policy or self.policy
        if pool is None:
            pool = self.pool(policy, PoolPolicy(idle_s=0))
        return await build_tunnel(self.topology(), self.route(), target_at(address), pool, policy, on_hop=on_hop)

    def pool(self, policy: TunnelPolicy | None = None, limits: PoolPolicy | None = None) -> HopPool:
        """Return a pool without connections."""
        return HopPool(self.credentials, policy or self.policy, limits)


class MakeWorld(Protocol):
    """Start ``count`` relays whose sshd_config ends with ``config``."""

    def __call__(self, count: int, config: str = "") -> World:
        """Return the world; its relays end with the test."""
        ...


def target_at(address: Address) -> Node:
    """Return a target that listens at ``address``."""
    return Node(name="target", kind=NodeKind.TARGET, site="lo", address=address)


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[Address]:
    """Serve TCP echo on loopback; a client's half-close is answered by ``bye`` and a close."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write(b"bye")
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Address(*server.sockets[0].getsockname()[:2])
    finally:
        server.close()


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[Address]:
    """Accept on loopback and never say a word, not even to a client's end of stream."""
    over = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await over.wait()
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Address(*server.sockets[0].getsockname()[:2])
    finally:
        over.set()
        server.close()


@contextlib.contextmanager
def deaf_listener() -> Iterator[Address]:
    """Listen on loopback with no room for another connection: the kernel drops the SYN of whoever connects."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        second.settimeout(0)
        second.connect_ex(full.getsockname())
        yield Address(*full.getsockname())


@contextlib.asynccontextmanager
async def delaying_proxy(upstream: Address, one_way_s: float) -> AsyncIterator[Address]:
    """Accept at once, then carry bytes to and from ``upstream``, each way ``one_way_s`` late."""
    loop = asyncio.get_running_loop()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                loop.call_later(one_way_s, writer.write, data)
        loop.call_later(one_way_s, writer.close)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(upstream.host, upstream.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(carry(reader, far_writer))
                group.create_task(carry(far_reader, writer))
        finally:
            writer.close()
            far_writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Address(*server.sockets[0].getsockname()[:2])
    finally:
        server.close()


def read_all(connection: socket.socket) -> bytes:
    """Read to the end of the stream, as blocking code in a thread does."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def listening_here() -> set[str]:
    """Return the listening TCP sockets of this process, by inode."""
    ours = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            ours.add(str(descriptor.readlink()))
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in ours:
                listening.add(fields[9])
    return listening
