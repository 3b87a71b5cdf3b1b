"""How fast a connection survives its relay: ``python -m tests.bench.failover [--cuts N] [--json]``. Needs root.

A lab of a gateway, two relays and a cloud, every link 10 ms one way. Through the gateway's own carrier go 50 requests a
second, a third of them not repeatable; the relay in use is cut off without a word, stopped (SIGSTOP) or killed, by
turns. ``first_byte`` is from the cut to the head of the first answer to a request made after it. What may not be
repeated is judged by the server's own ledger.

The takeover is the gateway's (tunnels, heartbeats, hedging, replay) without its database. autossh (ServerAliveInterval
1, CountMax 3) forwards a port through the same relays, starting over by the other one whenever its ssh ends.
"""

import argparse
import asyncio
import contextlib
import itertools
import math
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncssh
from aiohttp import web

from catalog.errors import CloudError
from catalog.model.ids import ConnectionId, PlatformId
from catalog.ports import Address, ApprovedEndpoint, HttpCall
from gateway.connections.carrier import TunnelCarrier
from gateway.connections.hedging import Way
from gateway.connections.tunnels import LiveConnection, LiveConnections
from gateway.demo.relays import RelaySshd
from gateway.network import Snapshot
from routing.candidates import Route
from routing.errors import RoutingError
from routing.topology import Address as RoutedAddress
from routing.topology import Node, NodeKind, Topology
from routing.tunnel.build import build_tunnel
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy
from routing.tunnel.pool import HopPool
from tests.support.figures import Bar, Figures
from tests.support.lab import PYTHON, Lab, lab_lacks
from tests.support.sshd import family

RELAYS = ("r1", "r2")
ONE_WAY_MS = 10.0
PORT = 8080
PERIOD_S = 0.02
PLATFORM = PlatformId("platform_bench")
KINDS = ("cut", "stop", "kill")
PATIENCE_S = 40.0
AUTOSSH_PORT = 9022
BARS: dict[str, Bar] = {
    "silent_first_byte_p50_ms": ("<=", 500),
    "silent_first_byte_p99_ms": ("<=", 1000),
    "killed_first_byte_p50_ms": ("<=", 120),
    "repeatable_failed": ("==", 0),
    "unrepeatable_sent_twice": ("==", 0),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=100, help="how often the relay in use is lost")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    figures, arguments = Figures.from_arguments(parser)
    if arguments.serve:
        serve()
        return
    lacking = lab_lacks()
    if lacking:
        for name, bar in BARS.items():
            figures.tell(name, None, "", bar, note=lacking)
        return
    with Lab(seed=1) as lab, bench_world(lab) as bench:
        with lab.enter("gateway"):
            outcome = asyncio.run(run(bench, arguments.cuts))
            rival = [] if shutil.which("autossh") is None else autossh_s(bench, max(3, arguments.cuts // 10))
        outcome.arrivals = bench.arrivals()
    report(figures, outcome, rival)


@dataclass
class Bench:
    """The lab's relays, and the server's process."""

    lab: Lab
    relays: dict[str, RelaySshd]
    server: "subprocess.Popen[bytes]"

    def arrivals(self) -> Counter[str]:
        """End the server and return how often each request arrived there."""
        self.server.send_signal(signal.SIGTERM)
        told, _ = self.server.communicate(timeout=PATIENCE_S)
        return Counter(told.decode().split())

    def doomed(self, name: str, kind: str) -> list[int]:
        """Return the processes that must be signalled to take a relay away; a killed one keeps its listener."""
        listener = self.relays[name].process.pid
        everything = [] if kind == "cut" else family(listener)
        if kind != "kill":
            return everything
        return [
            pid
            for pid in everything
            if b"listener" not in Path(f"/proc/{pid}/cmdline").read_bytes() and pid != listener
        ]

    def lose(self, name: str, kind: str, processes: Sequence[int]) -> None:
        """Take a relay away."""
        if kind == "cut":
            self.lab.cut("gateway", name)
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if kind == "stop" else signal.SIGKILL)

    def give_back(self, name: str, stopped: Sequence[int]) -> None:
        """Undo ``lose``."""
        self.lab.heal("gateway", name)
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def topology(self) -> tuple[Topology, Node]:
        """Return the relays and the target as routing sees them."""
        relays = tuple(
            Node(
                name=name,
                kind=NodeKind.RELAY,
                site=name,
                address=RoutedAddress(self.lab.ip(name), relay.port),
                user=relay.user,
                host_key=relay.host_key,
            )
            for name, relay in self.relays.items()
        )
        target = Node(
            name="cloud", kind=NodeKind.TARGET, site="cloud", address=RoutedAddress(self.lab.ip("cloud"), PORT)
        )
        gateway = Node(name="gateway", kind=NodeKind.GATEWAY, site="gateway")
        return Topology(gateway=gateway, relays=relays, links=()), target


@dataclass
class Outcome:
    """What the cuts did. ``asked`` holds for each request whether it may be repeated; ``failed`` what had no answer."""

    first_byte_s: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    dead_s: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    asked: dict[str, bool] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    arrivals: Counter[str] = field(default_factory=Counter)


@contextlib.contextmanager
def bench_world(lab: Lab) -> Iterator[Bench]:
    """Give the lab with two relays on the way to a server."""
    for host in ("gateway", *RELAYS, "cloud"):
        lab.add_host(host)
    for relay in RELAYS:
        lab.add_link("gateway", relay, delay_ms=ONE_WAY_MS)
        lab.add_link(relay, "cloud", delay_ms=ONE_WAY_MS)
    relays = {name: lab.start_sshd(name) for name in RELAYS}
    command = [PYTHON, "-m", "tests.bench.failover", "--serve"]
    yield Bench(lab, relays, lab.popen("cloud", command, stdout=subprocess.PIPE))


class Load:
    """Asks 50 times a second, for as long as it runs, and keeps who was answered when."""

    def __init__(self, carrier: TunnelCarrier, endpoint: ApprovedEndpoint, outcome: Outcome) -> None:
        self._carrier = carrier
        self._endpoint = endpoint
        self.outcome = outcome
        self.lost_at_s = float("inf")
        self.answered = asyncio.Event()  # a request made after the loss was

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                group.create_task(self._ask(f"/{number}", repeatable=number % 3 != 0))
                await asyncio.sleep(PERIOD_S)

    async def _ask(self, path: str, *, repeatable: bool) -> None:
        self.outcome.asked[path] = repeatable
        began_s = time.monotonic()
        call = HttpCall(
            method="GET" if repeatable else "POST",
            url=self._endpoint.url + path,
            timeout_s=PATIENCE_S,
            repeatable=repeatable,
        )
        try:
            async with self._carrier.send(PLATFORM, self._endpoint, call) as answer:
                if began_s >= self.lost_at_s:
                    self.answered.set()
                assert b"".join([piece async for piece in answer.body]) == b"ok"
        except CloudError as error:
            self.outcome.failed[path] = error.code


async def run(bench: Bench, cuts: int) -> Outcome:
    """Lose the relay in use ``cuts`` times under load."""
    topology, target = bench.topology()
    policy = TunnelPolicy(keepalive_s=1.0, keepalive_count=7)
    key = asyncssh.read_private_key(bench.lab.client_key_file)
    live, outcome = LiveConnections(), Outcome()
    dial = Address(host=bench.lab.ip("cloud"), port=PORT)
    endpoint = ApprovedEndpoint(url=f"http://{dial}", dial=dial)
    async with HopPool(TunnelCredentials(client_key=key), policy) as pool, TunnelCarrier(live) as carrier:

        async def way(relay: str) -> Way:
            while True:
                route = Route((relay,), "cloud")
                with contextlib.suppress(RoutingError):
                    return Way(route, await build_tunnel(topology, route, target, pool, policy), relay)

        first, second = [await way(relay) for relay in RELAYS]
        connection = LiveConnection(
            connection=ConnectionId("connection_bench"),
            requester=PLATFORM,
            target=PLATFORM,
            route=first.route,
            tunnel=first.tunnel,
            exit_site=first.exit_site,
            snapshot=Snapshot(topology=topology, target=target),
            standby=second,
        )
        live.put(connection)
        load = Load(carrier, endpoint, outcome)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(load.run())
            for turn in range(cuts):
                # Settled, and not in step with the beats.
                await asyncio.sleep(1.0 + 0.037 * (turn % 7))
                connection = await lose_once(bench, load, live, connection, KINDS[turn % 3])
                connection.standby = await way(RELAYS[turn % 2])
            await asyncio.sleep(1.0)
            asking.cancel()
        await connection.tunnel.close()
        assert connection.standby is not None
        await connection.standby.tunnel.close()
    return outcome


async def lose_once(
    bench: Bench, load: Load, live: LiveConnections, connection: LiveConnection, kind: str
) -> LiveConnection:
    """Lose the relay in use, wait until its tunnel is dead, let the standby take over, and give the relay back."""
    assert connection.standby is not None
    relay, standby = connection.route.hops[0], connection.standby
    load.answered.clear()
    processes = bench.doomed(relay, kind)
    load.lost_at_s = time.monotonic()
    bench.lose(relay, kind, processes)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        lost = group.create_task(connection.tunnel.wait_lost())
        await load.answered.wait()
        load_s = time.monotonic() - load.lost_at_s
        await lost
        dead_s = time.monotonic() - load.lost_at_s
    load.outcome.first_byte_s[kind].append(load_s)
    load.outcome.dead_s[kind].append(dead_s)
    taken = replace(connection, route=standby.route, tunnel=standby.tunnel, exit_site=standby.exit_site, standby=None)
    live.put(taken)
    await connection.tunnel.close()
    bench.give_back(relay, processes if kind == "stop" else ())
    load.lost_at_s = float("inf")
    return taken


def autossh_s(bench: Bench, cuts: int) -> list[float]:
    """Return how long, after each silent cut, a request over autossh's port went without an answer."""
    with tempfile.TemporaryDirectory() as scratch:
        turn = Path(scratch) / "turn"
        turn.write_text("0")
        ssh = Path(scratch) / "ssh"
        # autossh starts the same ssh again; this one takes the other relay each time.
        hosts = " ".join(bench.lab.ip(name) for name in RELAYS)
        ssh.write_text(
            f"#!/bin/bash\nhosts=({hosts})\nn=$(cat {turn})\necho $((1 - n)) >{turn}\n"
            f'exec /usr/bin/ssh "${{@:1:$#-1}}" "${{hosts[$n]}}"\n'
        )
        ssh.chmod(0o755)
        options = {
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": bench.lab.known_hosts(*bench.relays.values()),
            "ServerAliveInterval": 1,
            "ServerAliveCountMax": 3,
            "ExitOnForwardFailure": "yes",
            "ConnectTimeout": 5,
        }
        command = ["autossh", "-M", "0", "-N", "-F", "none", "-i", str(bench.lab.client_key_file)]
        command += ["-L", f"127.0.0.1:{AUTOSSH_PORT}:{bench.lab.ip('cloud')}:{PORT}", "-l", bench.relays["r1"].user]
        command += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        command.append("relay")  # autossh wants a name; the script above puts its own in its place
        environment = os.environ | {"AUTOSSH_PATH": str(ssh), "AUTOSSH_GATETIME": "0", "AUTOSSH_POLL": "5"}
        running = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:
            return [_autossh_cut_s(bench, RELAYS[place % 2]) for place in range(cuts)]
        finally:
            running.terminate()
            running.wait()


def _autossh_cut_s(bench: Bench, relay: str) -> float:
    _wait_answer()
    cut_s = time.monotonic()
    bench.lose(relay, "cut", ())
    # What was under way is lost; the first answer over the other relay ends the outage.
    _wait_answer()
    took_s = time.monotonic() - cut_s
    bench.give_back(relay, ())
    return took_s


def _wait_answer() -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        try:
            with socket.create_connection(("127.0.0.1", AUTOSSH_PORT), timeout=0.2) as connected:
                connected.sendall(b"GET /autossh HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                if connected.recv(4096).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError("autossh never came back")


def serve() -> None:
    """Answer everything, and print what arrived when told to end."""
    arrived: list[str] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        arrived.append(request.path)
        return web.Response(text="ok")

    async def run() -> None:
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", PORT).start()
        await over.wait()
        await runner.cleanup()

    asyncio.run(run())
    print("\n".join(arrived), flush=True)


def report(figures: Figures, outcome: Outcome, rival_s: Sequence[float]) -> None:
    """Print every figure."""
    silent_ms = sorted(1000 * each for kind in ("cut", "stop") for each in outcome.first_byte_s[kind])
    killed_ms = [1000 * each for each in outcome.first_byte_s["kill"]]
    figures.tell_median("silent_first_byte_p50_ms", silent_ms, "ms", BARS["silent_first_byte_p50_ms"])
    p99_ms = silent_ms[max(0, math.ceil(0.99 * len(silent_ms)) - 1)]
    figures.tell(
        "silent_first_byte_p99_ms", p99_ms, "ms", BARS["silent_first_byte_p99_ms"], note=f"{len(silent_ms)} cuts"
    )
    figures.tell_median("killed_first_byte_p50_ms", killed_ms, "ms", BARS["killed_first_byte_p50_ms"])
    repeatable = [path for path in outcome.failed if outcome.asked[path]]
    once = [path for path, may in outcome.asked.items() if not may]
    twice = [path for path in once if outcome.arrivals[path] > 1]
    unknown = [path for path in once if outcome.failed.get(path) == "cloud-timed-out"]
    definite = [path for path in once if path in outcome.failed and path not in unknown]
    arrived = [path for path in definite if outcome.arrivals[path]]
    asked = f"of {len(outcome.asked) - len(once)} asked"
    figures.tell("repeatable_failed", len(repeatable), "requests", BARS["repeatable_failed"], note=asked)
    asked = f"of {len(once)} asked"
    figures.tell("unrepeatable_sent_twice", len(twice), "requests", BARS["unrepeatable_sent_twice"], note=asked)
    figures.tell("unrepeatable_unknown", len(unknown), "requests", note="ended explicitly unknown")
    figures.tell("unrepeatable_not_done", len(definite), "requests", note="ended as surely not done")
    figures.tell("unrepeatable_not_done_but_arrived", len(arrived), "requests", ("==", 0))
    for kind in KINDS:
        figures.tell(f"{kind}_dead_s", statistics.median(outcome.dead_s[kind]), "s", note="until torn down")
    figures.tell(
        "autossh_cut_first_byte_s",
        statistics.median(rival_s) if rival_s else None,
        "s",
        note=f"{len(rival_s)} cuts" if rival_s else "needs autossh (apt-get install autossh)",
    )


if __name__ == "__main__":
    main()
