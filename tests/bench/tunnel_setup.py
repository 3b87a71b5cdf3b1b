"""Time to the first byte through relays: ``python -m tests.bench.tunnel_setup [--rounds N] [--json]``. Needs root.

A lab of a gateway, three relays in a row and a target behind each, every relay a real sshd in a namespace of its own,
every link with the same delay. The target greets whoever connects, and timed is from the wish to reach it until its
first byte is there: over ``ssh -J`` and asyncssh as they come, over a standing ControlMaster, and by the product with
no connection to a relay (cold) and with those of another tunnel (warm). All take turns in one process in the gateway's
namespace; ratios are made round by round. asyncssh logs in with its own defaults, nested as its manual shows.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncssh

from gateway.demo.relays import RelaySshd
from routing.candidates import Route
from routing.topology import Address, Node, NodeKind, Topology
from routing.tunnel.build import build_tunnel
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy
from routing.tunnel.pool import HopPool
from tests.support.figures import Bar, Figures, median_interval
from tests.support.lab import PYTHON, Lab, lab_lacks

RELAYS = ("r1", "r2", "r3")
LINK_MS = (20.0, 100.0)  # round trip
PORT = 7000
ROUNDS = 9
PATIENCE_S = 60.0
POLICY = TunnelPolicy(hop_timeout_s=PATIENCE_S, keepalive_s=30, verify_target=False)
# By what is compared, at three relays and 100 ms a link.
BARS: dict[str, Bar] = {
    "warm_faster_than_ssh": (">=", 10.0),
    "warm_of_master": ("<=", 1.0),
    "cold_of_ssh": ("<=", 0.5),
}
_TARGET = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=64)
print("up", flush=True)
held = []
while True:
    held = [*held[-50:], server.accept()[0]]
    held[-1].sendall(b"hello\\n")
"""


def main() -> None:
    """Measure and print; ``--client`` is how this program calls itself in the lab."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    figures, arguments = Figures.from_arguments(parser)
    if arguments.client is not None:
        print(json.dumps(asyncio.run(Client(json.loads(arguments.client)).measure(arguments.rounds))))
        return
    lacking = lab_lacks(ssh="openssh-client")
    if lacking:
        for name, bar in BARS.items():
            figures.tell(name, None, "ratio", bar, note=lacking)
        return
    for link_ms in LINK_MS:
        report(figures, link_ms, sampled(link_ms, arguments.rounds))


def sampled(link_ms: float, rounds: int) -> dict[str, list[float]]:
    """Return seconds to the first byte, per round, by ``<who> <relays>``."""
    with Lab(seed=1) as lab:
        chain = ("gateway", *RELAYS)
        links = [*zip(chain, RELAYS, strict=False), *((relay, f"t-{relay}") for relay in RELAYS)]
        lab.build(dict.fromkeys(links, link_ms / 2))
        for relay in RELAYS:
            address = lab.ip(f"t-{relay}")
            target = lab.popen(f"t-{relay}", [PYTHON, "-c", _TARGET, address, str(PORT)], stdout=subprocess.PIPE)
            assert target.stdout is not None
            assert target.stdout.readline() == b"up\n"
        sshds = [lab.start_sshd(relay) for relay in RELAYS]
        told = {
            "key": str(lab.client_key_file),
            "relays": [described(lab, sshd) for sshd in sshds],
            "targets": [lab.ip(f"t-{relay}") for relay in RELAYS],
        }
        command = [sys.executable, "-m", "tests.bench.tunnel_setup"]
        with lab.enter("gateway"):
            done = subprocess.run(
                [*command, "--client", json.dumps(told), "--rounds", str(rounds)],
                stdout=subprocess.PIPE,
                timeout=PATIENCE_S * (rounds + 2),
                check=True,
            )
    samples: dict[str, list[float]] = json.loads(done.stdout)
    return samples


def described(lab: Lab, sshd: RelaySshd) -> dict[str, object]:
    """Return what a client must know of a relay."""
    return {
        "name": sshd.host,
        "host": lab.ip(sshd.host),
        "port": sshd.port,
        "user": sshd.user,
        "host_key": sshd.host_key,
    }


def report(figures: Figures, link_ms: float, samples: dict[str, list[float]]) -> None:
    """Print medians of all, and the ratios that have a bar."""
    for count in range(1, len(RELAYS) + 1):
        of = {who.split()[0]: taken for who, taken in samples.items() if who.endswith(f" {count}")}
        where = f"{count}_relays_{link_ms:.0f}_ms"
        for who, taken in of.items():
            low, high = median_interval(taken)
            middle = statistics.median(taken)
            note = f"{low * 1000:.0f} to {high * 1000:.0f}, {middle * 1000 / link_ms:.1f} link round trips"
            figures.tell(f"{who}_{where}", middle * 1000, "ms", note=note)
        ratios = {
            "warm_faster_than_ssh": ("ssh", "warm"),
            "warm_of_master": ("warm", "master"),
            "cold_of_ssh": ("cold", "ssh"),
            "asyncssh_of_ssh": ("asyncssh", "ssh"),
        }
        barred = count == len(RELAYS) and link_ms == max(LINK_MS)
        for name, (above, below) in ratios.items():
            taken = [one / other for one, other in zip(of[above], of[below], strict=True)]
            figures.tell_median(f"{name}_{where}", taken, "ratio", BARS.get(name) if barred else None)


class Client:
    """Everything that is timed, in the gateway's namespace."""

    def __init__(self, told: dict[str, object]) -> None:
        self._key_file = str(told["key"])
        self._relays: list[dict[str, object]] = told["relays"]  # type: ignore[assignment]  # as ``sampled`` wrote it
        self._targets: list[str] = told["targets"]  # type: ignore[assignment]  # the same
        self._key = asyncssh.read_private_key(self._key_file)
        self._topology = Topology(
            gateway=Node(name="gw", kind=NodeKind.GATEWAY, site="lab"),
            relays=tuple(
                Node(
                    name=str(each["name"]),
                    kind=NodeKind.RELAY,
                    site="lab",
                    address=Address(str(each["host"]), int(str(each["port"]))),
                    user=str(each["user"]),
                    host_key=str(each["host_key"]),
                )
                for each in self._relays
            ),
            links=(),
        )

    async def measure(self, rounds: int) -> dict[str, list[float]]:
        """Return seconds to the first byte, per round, by ``<who> <relays>``."""
        samples: dict[str, list[float]] = {}
        with tempfile.TemporaryDirectory() as directory:
            config = self._ssh_config(Path(directory))
            async with AsyncExitStack() as stack:
                pool = await stack.enter_async_context(self._pool())
                deeds: dict[str, Callable[[], Awaitable[float]]] = {}
                for count in range(1, len(RELAYS) + 1):
                    control = Path(directory) / f"control-{count}"
                    await stack.enter_async_context(self._master(config, control, count))
                    await self._by_tunnel(pool, count)
                    deeds |= {
                        f"ssh {count}": lambda count=count: self._by_ssh(config, count),
                        f"asyncssh {count}": lambda count=count: self._by_asyncssh(count),
                        f"master {count}": lambda count=count, at=control: self._by_ssh(config, count, at),
                        f"cold {count}": lambda count=count: self._cold(count),
                        f"warm {count}": lambda count=count: self._by_tunnel(pool, count),
                    }
                for _ in range(rounds):
                    for who, deed in deeds.items():
                        samples.setdefault(who, []).append(await deed())
        return samples

    def _ssh_config(self, directory: Path) -> Path:
        known = directory / "known_hosts"
        known.write_text("".join(f"{each['host']} {each['host_key']}\n" for each in self._relays))
        text = ""
        for before, each in zip([None, *self._relays], self._relays, strict=False):
            jump = "" if before is None else f"  ProxyJump {before['name']}\n"
            text += f"Host {each['name']}\n  HostName {each['host']}\n  User {each['user']}\n{jump}"
        text += (
            f"Host *\n  IdentityFile {self._key_file}\n  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
            "  StrictHostKeyChecking yes\n  BatchMode yes\n  GlobalKnownHostsFile /dev/null\n  LogLevel ERROR\n"
        )
        config = directory / "ssh_config"
        config.write_text(text)
        return config

    def _pool(self) -> HopPool:
        return HopPool(TunnelCredentials(client_key=self._key), POLICY)

    @asynccontextmanager
    async def _master(self, config: Path, control: Path, count: int) -> AsyncIterator[None]:
        name = str(self._relays[count - 1]["name"])
        master = await asyncio.create_subprocess_exec("ssh", "-F", config, "-M", "-S", control, "-N", name)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not control.exists():  # noqa: ASYNC110, ASYNC240  # another process makes it
                    await asyncio.sleep(0.05)
            yield
        finally:
            master.terminate()
            await master.wait()

    async def _by_ssh(self, config: Path, count: int, control: Path | None = None) -> float:
        shared = ["-S", control] if control else []
        target = f"{self._targets[count - 1]}:{PORT}"
        command = ["ssh", "-F", config, *shared, "-W", target, str(self._relays[count - 1]["name"])]
        started_s = time.perf_counter()
        ssh = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert ssh.stdout is not None
        first = await ssh.stdout.read(1)
        took_s = time.perf_counter() - started_s
        ssh.terminate()
        await ssh.communicate()
        assert first == b"h"
        return took_s

    async def _by_asyncssh(self, count: int) -> float:
        started_s = time.perf_counter()
        async with AsyncExitStack() as stack:
            connection: asyncssh.SSHClientConnection | None = None
            for each in self._relays[:count]:
                connection = await stack.enter_async_context(
                    asyncssh.connect(
                        str(each["host"]),
                        int(str(each["port"])),
                        username=str(each["user"]),
                        tunnel=connection,
                        client_keys=[self._key],
                        known_hosts=([asyncssh.import_public_key(str(each["host_key"]))], [], []),
                    )
                )
            assert connection is not None
            reader, _ = await connection.open_connection(self._targets[count - 1], PORT)
            assert await reader.read(1) == b"h"
            return time.perf_counter() - started_s

    async def _cold(self, count: int) -> float:
        async with self._pool() as pool:
            return await self._by_tunnel(pool, count)

    async def _by_tunnel(self, pool: HopPool, count: int) -> float:
        address = Address(self._targets[count - 1], PORT)
        target = Node(name="target", kind=NodeKind.TARGET, site="lab", address=address)
        loop = asyncio.get_running_loop()
        started_s = time.perf_counter()
        tunnel = await build_tunnel(self._topology, Route(RELAYS[:count], "target"), target, pool, POLICY)
        with await tunnel.open_socket(address, PATIENCE_S) as connection:
            connection.settimeout(0)
            first = await loop.sock_recv(connection, 1)
            took_s = time.perf_counter() - started_s
        await tunnel.close()
        assert first == b"h"
        return took_s


if __name__ == "__main__":
    main()
