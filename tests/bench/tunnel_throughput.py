"""What a tunnel carries and costs, beside ``ssh -J``: ``python -m tests.bench.tunnel_throughput [--json]``. Needs root.

Both go the same way over the same private sshd's in namespaces of their own: AES-128-GCM, one TCP connection to the
first relay, the others reached through it. Load generator and target are processes of their own. ``cpu`` is what the
client's side used for a Gbit (ssh: a process for each relay; ours: the process that holds the tunnel), measured
without delay; rates are measured over 50 ms of round trip, shared out over the links. The two take turns; each round
gives a ratio, and a figure is the median of those with the interval that holds it at 90 %.

A striped upload is one body in parts over as many sockets of one tunnel as ``Tunnel.upload_stripes`` says, against one
channel of ssh. Nothing at a plain relay joins the parts of a single TCP stream, so the caller must have parts to send.
"""

import argparse
import asyncio
import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncssh

from routing.topology import Address
from tests.routing.world import World
from tests.support.figures import Bar, Figures
from tests.support.lab import Lab, lab_lacks
from tests.support.ssh_jump import Relay, ssh_jump
from tests.support.sshd import Sshd
from tests.support.traffic import Direction, Passed, target, transfer

ROUNDS = 9
RTT_MS = 50.0
WARM_S, MEASURE_S = 1.0, 2.0

BARS: dict[str, Bar] = {
    "cpu_up_1": ("<=", 1.7),
    "cpu_down_1": ("<=", 2.3),
    "cpu_up_3": ("<=", 1.05),
    "cpu_down_3": ("<=", 1.05),
    "rate_down_1": (">=", 1.25),
    "rate_down_2": (">=", 2.0),
    "rate_striped_up_1": (">=", 2.2),
}

Turn = tuple[Passed, float]  # what passed, and the CPU seconds of it
Samples = dict[str, list[float]]


class Bench:
    """Both clients, each able to move bytes over given relays to a target."""

    def __init__(self, key_file: Path, directory: Path, *, warm_s: float, measure_s: float) -> None:
        self._key_file = key_file
        self._key = asyncssh.read_private_key(str(key_file))
        self._directory = directory
        self._warm_s = warm_s
        self._measure_s = measure_s

    async def ssh(self, relays: Sequence[Relay], to: Address, direction: Direction) -> Turn:
        """Move bytes over one channel of ``ssh -J``."""
        with ssh_jump(relays, to, self._key_file, self._directory) as jump:
            before_s = jump.cpu_s()
            passed = await transfer(direction, [jump.address], warm_s=self._warm_s, measure_s=self._measure_s)
            return passed, jump.cpu_s() - before_s

    async def ours(self, relays: Sequence[Relay], to: Address, direction: Direction, *, striped: bool = False) -> Turn:
        """Move bytes over one socket of a tunnel of ours, or as many as it advises for an upload."""
        tunnel = await World(list(relays), self._key).build(to)
        try:
            with ExitStack() as held:
                count = tunnel.upload_stripes if striped else 1
                ends = [held.enter_context(await tunnel.open_socket(to, 20)) for _ in range(count)]
                before_s = time.process_time()
                passed = await transfer(direction, ends, warm_s=self._warm_s, measure_s=self._measure_s)
                return passed, time.process_time() - before_s
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
            figures.tell(name, None, "ratio", bar, note=lacking)
        return
    samples: Samples = {}
    measure_cpu(samples, arguments.rounds)
    for relays in (1, 2):
        measure_rates(samples, arguments.rounds, relays)
    for name, values in samples.items():
        unit = "s/Gbit" if name.endswith("_s") else "Mbit/s" if name.endswith("_mbps") else "ratio"
        figures.tell_median(name, values, unit, BARS.get(name))
    figures.tell("load_average", os.getloadavg()[1], "processes", note=f"over 5 minutes, {os.cpu_count()} cores")


def measure_cpu(samples: Samples, rounds: int) -> None:
    """Add CPU per Gbit over 1, 2 and 3 relays on the loopback of one host, and its ratio to ssh's."""
    with Lab(seed=1) as lab, tempfile.TemporaryDirectory() as scratch, ExitStack() as running:
        lab.add_host("gateway")
        bench = Bench(lab.client_key_file, Path(scratch), warm_s=0.0, measure_s=MEASURE_S)
        running.enter_context(lab.enter("gateway"))
        line = lab.client_key_file.with_suffix(".pub").read_text().strip()
        sshds = [running.enter_context(Sshd(Path(scratch) / f"r{place}", line)) for place in range(3)]
        relays = [Relay(sshd.address, sshd.user, sshd.host_key) for sshd in sshds]
        to = running.enter_context(target("127.0.0.1"))
        for _ in range(rounds):
            for count in (1, 2, 3):
                for direction in ("up", "down"):
                    costs = {
                        who: cpu_s / passed.gbit
                        for who, (passed, cpu_s) in (
                            ("ssh", asyncio.run(bench.ssh(relays[:count], to, direction))),
                            ("ours", asyncio.run(bench.ours(relays[:count], to, direction))),
                        )
                    }
                    add(samples, f"cpu_{direction}_{count}", costs, "s")


def measure_rates(samples: Samples, rounds: int, relays: int) -> None:
    """Add rates over ``relays`` and 50 ms, down and up, plain and striped, and their ratios to one channel of ssh."""
    with far_relays(relays) as (lab, bench, through, to), lab.enter("gateway"):
        for _ in range(rounds):
            down = asyncio.run(bench.ssh(through, to, "down")), asyncio.run(bench.ours(through, to, "down"))
            up = asyncio.run(bench.ssh(through, to, "up")), asyncio.run(bench.ours(through, to, "up"))
            striped = asyncio.run(bench.ours(through, to, "up", striped=True))
            for name, ssh, ours in (("down", *down), ("up", *up), ("striped_up", up[0], striped)):
                rates = {"ssh": ssh[0].rate_mbps, "ours": ours[0].rate_mbps}
                add(samples, f"rate_{name}_{relays}", rates, "mbps")


@contextmanager
def far_relays(count: int) -> Iterator[tuple[Lab, Bench, list[Relay], Address]]:
    """Run relays in a row, 50 ms of round trip from the gateway to the last, and a target beside that."""
    names = ["gateway", *(f"r{place}" for place in range(1, count + 1))]
    with Lab(seed=1) as lab, tempfile.TemporaryDirectory() as scratch:
        lab.build(dict.fromkeys(itertools.pairwise(names), RTT_MS / 2 / count))
        sshds = [lab.start_sshd(name) for name in names[1:]]
        relays = [Relay((lab.ip(sshd.host), sshd.port), sshd.user, sshd.host_key) for sshd in sshds]
        bench = Bench(lab.client_key_file, Path(scratch), warm_s=WARM_S, measure_s=MEASURE_S)
        with ExitStack() as running:
            with lab.enter(names[-1]):
                to = running.enter_context(target(lab.ip(names[-1])))
            yield lab, bench, relays, to


def add(samples: Samples, name: str, values: dict[str, float], unit: str) -> None:
    """Add one round's value of each client, and how ours compares."""
    for who, value in values.items():
        samples.setdefault(f"{name}_{who}_{unit}", []).append(value)
    samples.setdefault(name, []).append(values["ours"] / values["ssh"])


if __name__ == "__main__":
    main()
