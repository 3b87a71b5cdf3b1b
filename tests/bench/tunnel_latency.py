"""What a tunnel adds to a request, beside ``ssh -J``: ``python -m tests.bench.tunnel_latency [--json]``. Needs root.

One keep-alive GET of 200 bytes after the other, by a process of its own, to a target of its own: directly, through
``ssh -J`` with aes128-gcm, and through a tunnel, over the same private sshd's in namespaces of their own. ``added`` is
the median of a tunnel's requests less that of direct ones, without delay on the loopback of one host; ``far`` is the
median over links of 10 ms each way (one more link than relays), divided by ssh's. They take turns; a figure is the
median over rounds with the interval that holds it at 90 %.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from routing.topology import Address
from tests.routing.world import World
from tests.support.figures import Bar, Figures
from tests.support.lab import Lab, lab_lacks
from tests.support.ssh_jump import Relay, ssh_jump
from tests.support.sshd import Sshd
from tests.support.traffic import ask, target

ROUNDS = 11
RELAY_COUNTS = (1, 3)
NEAR_REQUESTS, FAR_REQUESTS = 500, 25
LINK_MS = 10.0

BARS: dict[str, Bar] = {
    "added_1": ("<=", 0.3),
    "added_3": ("<=", 0.8),
    "far_1": ("<=", 1.01),
    "far_3": ("<=", 1.01),
}

Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Place:
    """Relays on the way to a target, and what is needed to log in at them."""

    relays: Sequence[Relay]
    to: Address
    key_file: Path
    directory: Path

    async def ssh(self, count: int, requests: int) -> float:
        """Return the median of requests over the first ``count`` relays through ssh, in ms."""
        with ssh_jump(self.relays[:count], self.to, self.key_file, self.directory) as jump:
            return statistics.median(await ask(jump.address, requests))

    async def ours(self, count: int, requests: int) -> float:
        """Return the same through a tunnel of ours."""
        world = World(list(self.relays[:count]), asyncssh.read_private_key(str(self.key_file)))
        tunnel = await world.build(self.to)
        try:
            with await tunnel.open_socket(self.to, 20) as end:
                return statistics.median(await ask(end, requests))
        finally:
            await tunnel.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fewer make a quick and undecided run")
    figures, arguments = Figures.from_arguments(parser)
    lacking = lab_lacks(ssh="openssh-client")
    if lacking:
        for name, bar in BARS.items():
            figures.tell(name, None, "ms" if name.startswith("added") else "ratio", bar, note=lacking)
        return
    samples: Samples = {}
    with near() as place:
        for _ in range(arguments.rounds):
            measure_near(samples, place)
    for count in RELAY_COUNTS:
        with far(count) as place:
            for _ in range(arguments.rounds):
                measure_far(samples, place, count)
    for name, values in samples.items():
        unit = "ratio" if name in {"far_1", "far_3"} else "ms"
        figures.tell_median(name, values, unit, BARS.get(name))
    figures.tell("load_average", os.getloadavg()[1], "processes", note=f"over 5 minutes, {os.cpu_count()} cores")


def measure_near(samples: Samples, place: Place) -> None:
    """Add one round without delay."""
    direct = statistics.median(asyncio.run(ask(place.to, NEAR_REQUESTS)))
    samples.setdefault("direct", []).append(direct)
    for count in RELAY_COUNTS:
        ssh = asyncio.run(place.ssh(count, NEAR_REQUESTS))
        ours = asyncio.run(place.ours(count, NEAR_REQUESTS))
        samples.setdefault(f"added_{count}_ssh", []).append(ssh - direct)
        samples.setdefault(f"added_{count}", []).append(ours - direct)


def measure_far(samples: Samples, place: Place, count: int) -> None:
    """Add one round over links with delay."""
    ssh = asyncio.run(place.ssh(count, FAR_REQUESTS))
    ours = asyncio.run(place.ours(count, FAR_REQUESTS))
    samples.setdefault(f"far_{count}_ssh_ms", []).append(ssh)
    samples.setdefault(f"far_{count}_ours_ms", []).append(ours)
    samples.setdefault(f"far_{count}", []).append(ours / ssh)


@contextmanager
def near() -> Iterator[Place]:
    """Run three relays and a target on the loopback of one host, with the caller in that host."""
    with Lab(seed=1) as lab, tempfile.TemporaryDirectory() as scratch, ExitStack() as running:
        lab.add_host("gateway")
        running.enter_context(lab.enter("gateway"))
        line = lab.client_key_file.with_suffix(".pub").read_text().strip()
        sshds = [running.enter_context(Sshd(Path(scratch) / f"r{place}", line)) for place in range(max(RELAY_COUNTS))]
        relays = [Relay(sshd.address, sshd.user, sshd.host_key) for sshd in sshds]
        yield Place(relays, running.enter_context(target("127.0.0.1")), lab.client_key_file, Path(scratch))


@contextmanager
def far(count: int) -> Iterator[Place]:
    """Run relays in a row and a target after them, each 10 ms from the one before, with the caller at the beginning."""
    names = ["gateway", *(f"r{place}" for place in range(1, count + 1)), "cloud"]
    with Lab(seed=1) as lab, tempfile.TemporaryDirectory() as scratch, ExitStack() as running:
        lab.build(dict.fromkeys(itertools.pairwise(names), LINK_MS))
        sshds = [lab.start_sshd(name) for name in names[1:-1]]
        relays = [Relay((lab.ip(sshd.host), sshd.port), sshd.user, sshd.host_key) for sshd in sshds]
        with lab.enter("cloud"):
            to = running.enter_context(target(lab.ip("cloud")))
        running.enter_context(lab.enter("gateway"))
        yield Place(relays, to, lab.client_key_file, Path(scratch))


if __name__ == "__main__":
    main()
