"""Reach a relay as the gateway does, over the relays before it, on connections of its own that end with the block.

Nothing is shared with tunnels: whoever looks after a relay must neither use up nor cut what others rely on.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncssh
import networkx as nx

from routing.errors import HopRefused, HopTimedOut
from routing.topology import Node, NodeKind, Topology
from routing.tunnel.hops import close_connections, connect_hop
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy

# A key file with as many addresses as sshd takes is some 200 KiB.
_ANSWER_LIMIT_BYTES = 1024 * 1024


def ways_to_relays(network: Topology) -> dict[str, tuple[str, ...]]:
    """Return, for each relay that links lead to, the relays on the shortest way to it, itself last."""
    nowhere = Node(name="reach/", kind=NodeKind.TARGET, site=network.gateway.site)
    ways: dict[str, list[str]] = nx.single_source_shortest_path(network.graph(nowhere), network.gateway.name)
    return {name: tuple(way[1:]) for name, way in ways.items() if name not in {network.gateway.name, nowhere.name}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How relays are reached: with which credentials, under which limits."""

    credentials: TunnelCredentials
    policy: TunnelPolicy

    @asynccontextmanager
    async def to(
        self, network: Topology, way: Sequence[str], last: Node, credentials: TunnelCredentials | None = None
    ) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """Connect to ``last`` over the relays of ``way`` before it; ``credentials`` (None: ours) are for it alone.

        Raises HopError and TopologyInvalid as ``connect_hop`` does.
        """
        relays = {relay.name: relay for relay in network.relays}
        nodes = [*(relays[name] for name in way[:-1]), last]
        async with AsyncExitStack() as stack:
            through: asyncssh.SSHClientConnection | None = None
            source = network.gateway
            for node in nodes:
                shown = credentials if node is last and credentials is not None else self.credentials
                hop = await connect_hop(
                    node,
                    network.dial_address(source, node),
                    through=through,
                    credentials=shown,
                    policy=self.policy,
                )
                through, source = hop.connection, node
                stack.push_async_callback(close_connections, [through], self.policy.close_timeout_s)
            assert through is not None
            yield through


async def ask(connection: asyncssh.SSHClientConnection, words: str, *, hop: str, timeout_s: float) -> str:
    """Say ``words`` to the one program that ``connection`` may run and return what it answers.

    Raises HopRefused, with the program's own first line, when it refuses or says too much, HopTimedOut.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _asked(connection, words, hop)
    except TimeoutError as error:
        raise HopTimedOut("its caretaker did not answer in time", hop=hop) from error
    except (asyncssh.Error, OSError) as error:
        raise HopRefused("its caretaker runs no program for us", hop=hop) from error


async def _asked(connection: asyncssh.SSHClientConnection, words: str, hop: str) -> str:
    async with connection.create_process("", encoding="utf-8", errors="replace") as process:
        process.stdin.write(words)
        process.stdin.write_eof()
        said: list[str] = []
        while part := await process.stdout.read(_ANSWER_LIMIT_BYTES):
            said.append(part)
            if sum(map(len, said)) > _ANSWER_LIMIT_BYTES:
                raise HopRefused("its caretaker says more than a key file can hold", hop=hop)
        complaint = (await process.stderr.read(_COMPLAINT_LIMIT)).splitlines()
        await process.wait_closed()
        if process.exit_status != 0:
            words = next((line for line in complaint if line.startswith("refused: ")), "it ended without an answer")
            raise HopRefused(f"its caretaker: {_plain(words)}", hop=hop)
    return "".join(said)


_COMPLAINT_LIMIT = 4096


def _plain(words: str) -> str:
    """Return the far side's words as one short printable line."""
    return "".join(letter for letter in words[:120] if letter.isprintable())
