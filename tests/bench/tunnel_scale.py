"""Memory of relay connections and channels: ``python -m tests.bench.tunnel_scale [--rounds N] [--json]``.

Three real sshd on loopback. In every round three fresh processes take turns: one opens connections, one chains of
three, one 500 tunnels to as many platforms over 20 chains with ten sockets each, all of which must hear their target.
Memory is what the process has of its own (unique set size), by the number of things it was asked for after a warm-up;
the kernel's socket buffers are not in it, nor are buffers of channels that carry much.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import asyncssh

from routing.candidates import Route
from routing.topology import Address, Node, NodeKind, Topology
from routing.tunnel.build import build_tunnel
from routing.tunnel.policy import PoolPolicy, TunnelCredentials, TunnelPolicy
from routing.tunnel.pool import HopPool
from tests.support.figures import Bar, Figures
from tests.support.lab import PYTHON
from tests.support.sshd import Sshd

KINDS = ("connection", "chain", "channel")
BARS: dict[str, Bar] = {"connection": ("<=", 30.0), "chain": ("<=", 80.0), "channel": ("<=", 6.0)}
CONNECTIONS, CHAINS = 150, 50
PLATFORMS, WAYS, SOCKETS = 500, 20, 10
WARM_UP = 5
ROUNDS = 9
AT_ONCE = 8
OPEN_FILES = 16_384
PATIENCE_S = 300.0
_TARGET = """
import asyncio, sys
async def greet(reader, writer):
    writer.write(b"h")
    await reader.read()
    writer.close()
async def run():
    server = await asyncio.start_server(greet, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(run())
"""


def main() -> None:
    """Measure and print; ``--client`` is how this program calls itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    figures, arguments = Figures.from_arguments(parser)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))
    if arguments.client is not None:
        print(json.dumps(asyncio.run(Client(json.loads(arguments.client)).measured())))
        return
    taken: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(arguments.rounds):
        # Relays made anew: what theirs grow to is not to be measured with ours.
        for kind, of_kind in taken.items():
            of_kind.append(turn(kind))
    for kind, of_kind in taken.items():
        figures.tell_median(f"memory_per_{kind}", [each["KiB"] for each in of_kind], "KiB", BARS[kind])
    crowd = taken["channel"]
    figures.tell("channels_at_once", min(each["channels"] for each in crowd), "channels", (">=", PLATFORMS * SOCKETS))
    figures.tell("platforms_at_once", min(each["platforms"] for each in crowd), "platforms", (">=", PLATFORMS))
    figures.tell("connections_for_them", max(each["connections"] for each in crowd), "connections")


def turn(kind: str) -> dict[str, float]:
    """Return what one fresh process of ``kind`` measured, over relays of its own."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        key = asyncssh.generate_private_key("ssh-ed25519")
        key_file = Path(directory) / "key"
        key_file.touch(mode=0o600)
        key.write_private_key(key_file)
        line = key.export_public_key().decode().strip()
        sshds = [stack.enter_context(Sshd(Path(directory) / f"r{place}", line)) for place in range(3)]
        target = stack.enter_context(subprocess.Popen([PYTHON, "-c", _TARGET], stdout=subprocess.PIPE))
        stack.callback(target.kill)
        assert target.stdout is not None
        told = {
            "kind": kind,
            "key": str(key_file),
            "target": int(target.stdout.readline()),
            "relays": [[*sshd.address, sshd.user, sshd.host_key] for sshd in sshds],
        }
        command = [sys.executable, "-m", "tests.bench.tunnel_scale", "--client", json.dumps(told)]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE_S, check=True)
        measured: dict[str, float] = json.loads(done.stdout)
        return measured


class Client:
    """The process that is measured."""

    def __init__(self, told: dict[str, object]) -> None:
        self._kind = str(told["kind"])
        self._target = Address("127.0.0.1", int(str(told["target"])))
        self._credentials = TunnelCredentials(client_key=asyncssh.read_private_key(str(told["key"])))
        relays: list[list[str]] = told["relays"]  # type: ignore[assignment]  # as ``turn`` wrote it
        # One relay under many names: to the pool they are as many relays.
        self._topology = Topology(
            gateway=Node(name="gw", kind=NodeKind.GATEWAY, site="lo"),
            relays=tuple(
                Node(
                    name=f"r{place}-{copy}",
                    kind=NodeKind.RELAY,
                    site="lo",
                    address=Address(host, int(port)),
                    user=user,
                    host_key=host_key,
                )
                for place, (host, port, user, host_key) in enumerate(relays)
                for copy in range(CONNECTIONS + WARM_UP)
            ),
            links=(),
        )

    async def measured(self) -> dict[str, float]:
        """Return KiB for one thing of the kind, and what stood at the end."""
        policy = TunnelPolicy(hop_timeout_s=60, keepalive_s=60, verify_target=False)
        async with HopPool(self._credentials, policy, PoolPolicy(connection_limit=10_000)) as pool:
            if self._kind == "channel":
                return await self._channels(pool, policy)
            count, hops = (CONNECTIONS, 1) if self._kind == "connection" else (CHAINS, 3)

            async def connect(copy: int) -> None:
                await pool.lease(_way(copy, hops), self._topology)

            await _all(connect, range(WARM_UP))
            before_kib = _own_kib()
            await _all(connect, range(WARM_UP, WARM_UP + count))
            return {"KiB": (_own_kib() - before_kib) / count, "connections": len(pool)}

    async def _channels(self, pool: HopPool, policy: TunnelPolicy) -> dict[str, float]:
        tunnels = []

        async def build(number: int) -> None:
            target = Node(name=f"platform-{number}", kind=NodeKind.TARGET, site="lo", address=self._target)
            route = Route(_way(number % WAYS, 3), target.name)
            tunnels.append(await build_tunnel(self._topology, route, target, pool, policy))

        await _all(build, range(PLATFORMS))
        loop, held = asyncio.get_running_loop(), []

        async def open_one(number: int) -> None:
            connection = await tunnels[number % PLATFORMS].open_socket(self._target, 60)
            held.append(connection)
            connection.settimeout(0)
            assert await loop.sock_recv(connection, 1) == b"h"

        await _all(open_one, range(PLATFORMS))
        before_kib, before = _own_kib(), len(held)
        await _all(open_one, range(PLATFORMS, PLATFORMS * SOCKETS))
        found = {
            "KiB": (_own_kib() - before_kib) / (len(held) - before),
            "channels": float(sum(tunnel.channels_open for tunnel in tunnels)),
            "platforms": float(sum(not tunnel.is_lost for tunnel in tunnels)),
            "connections": float(len(pool)),
        }
        for connection in held:
            connection.close()
        for tunnel in tunnels:
            await tunnel.close()
        return found


def _way(copy: int, hops: int) -> tuple[str, ...]:
    return tuple(f"r{place}-{copy}" for place in range(hops))


async def _all(deed: Callable[[int], Awaitable[None]], numbers: range) -> None:
    """Do it for all, some at a time: the relays fork for every log-in."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with turns:
            await deed(number)

    async with asyncio.TaskGroup() as group:
        for number in numbers:
            group.create_task(one(number))


def _own_kib() -> float:
    """Return the memory that only this process has, in KiB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("Private_"))


if __name__ == "__main__":
    main()
