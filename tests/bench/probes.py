"""Production's probers against fping over one lossy link: ``python -m tests.bench.probes [--json]``. Needs root.

A lab of two hosts: a link of 40 ms round trip that loses 2 % one way, and a thousand addresses on one host behind it.
The lab counts what it drops. Probers and fping take turns, each in a process of its own; CPU is what getrusage says:
of the whole of fping, and of the prober from its first packet to its last answer (``start_up`` is what went before,
once a process).
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from routing.probe.icmp import EchoSocket
from routing.probe.raw import RawProber
from routing.probe.syn import SynSocket
from routing.topology import Address
from tests.support.figures import Bar, Figures
from tests.support.lab import Lab, lab_lacks

TARGETS = [f"10.88.{block}.{place}" for block in range(4) for place in range(1, 251)]
PREFIX = "10.88.0.0/22"
CLOSED_PORT = 9
RTT_MS = 40.0
LOSS_RATIO = 0.02
SAMPLES = 10
ROUNDS = 7
RATE_PPS = 6000.0
INTERVAL_MS = 100.0
TIMEOUT_MS = 900.0
PATIENCE_S = 60.0
T = TypeVar("T")
BARS: dict[str, Bar] = {
    "icmp_probes_per_core_second": (">=", 5000),
    "icmp_cpu_of_fping": ("<=", 0.5),
    "icmp_rtt_error_p99": ("<=", 0.6),
    "icmp_lost_beyond_lab": ("==", 0),
}
UNITS = {"icmp_probes_per_core_second": "probes/s", "icmp_cpu_of_fping": "ratio", "icmp_rtt_error_p99": "ms"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one process measured in its turn. ``errors_ms`` are distances from the lab's own round trip."""

    sent: int
    lost: int
    rate_pps: float
    cpu_s: float
    start_up_s: float
    errors_ms: tuple[float, ...]

    @property
    def cpu_us(self) -> float:
        """CPU time per probe, in microseconds."""
        return self.cpu_s / self.sent * 1e6


def main() -> None:
    """Measure and print; ``--prober`` is how this program calls itself in the lab."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prober", choices=["icmp", "syn"], help=argparse.SUPPRESS)
    figures, arguments = Figures.from_arguments(parser)
    if arguments.prober is not None:
        print(json.dumps(asdict(asyncio.run(sweep(arguments.prober)))))
        return
    lacking = lab_lacks(fping="fping")
    if lacking:
        for name, bar in BARS.items():
            figures.tell(name, None, UNITS.get(name, "packets"), bar, note=lacking)
        return
    with Lab(seed=1) as lab:
        prepare(lab)
        turns: dict[str, list[tuple[Turn, int]]] = {"icmp": [], "fping": [], "syn": []}
        for _ in range(ROUNDS):
            for who, done in turns.items():
                dropped_before = dropped(lab)
                turn = fping(lab) if who == "fping" else prober(lab, who)
                done.append((turn, dropped(lab) - dropped_before))
    for who, done in turns.items():
        report(figures, who, done, rival=[turn for turn, _ in turns["fping"]])


def prepare(lab: Lab) -> None:
    """Build the two hosts, and put every target on the far one's loopback interface."""
    lab.add_host("gateway")
    lab.add_host("farm")
    lab.add_link("gateway", "farm", delay_ms=RTT_MS / 2, loss_ratio=LOSS_RATIO, back={"loss_ratio": 0.0})
    for host, route in (
        ("farm", ["add", "local", PREFIX, "dev", "lo"]),
        ("gateway", ["add", PREFIX, "via", lab.ip("farm"), "src", lab.ip("gateway")]),
    ):
        done = lab.run(host, ["ip", "route", *route])
        assert done.returncode == 0, done.stderr


def dropped(lab: Lab) -> int:
    """Return how many packets the lab has lost so far, in both directions, for whatever reason."""
    ways = (lab.stats("gateway", "farm"), lab.stats("farm", "gateway"))
    return sum(way.lost + way.dropped for way in ways)


async def sweep(kind: str) -> Turn:
    """Probe every target from this process, as production does."""
    if kind == "icmp":
        with EchoSocket(rate_pps=RATE_PPS) as echo:
            return await swept(echo, TARGETS)
    with SynSocket(rate_pps=RATE_PPS) as syn:
        return await swept(syn, [Address(host, CLOSED_PORT) for host in TARGETS])


async def swept(prober: RawProber[T], targets: Sequence[T]) -> Turn:
    """Return what one sweep over ``targets`` measured."""
    before_s, started_s = cpu_s(resource.RUSAGE_SELF), time.perf_counter()
    taken = await prober.sweep(targets, samples=SAMPLES, interval_ms=INTERVAL_MS, timeout_ms=TIMEOUT_MS)
    took_s = time.perf_counter() - started_s
    counts = prober.statistics()
    assert counts.overrun == counts.unsent == 0, counts
    assert counts.returned + sum(ms is None for samples in taken for ms in samples) == counts.sent
    return Turn(
        sent=counts.sent,
        lost=counts.sent - counts.returned,
        rate_pps=counts.sent / (took_s - TIMEOUT_MS / 1000),
        cpu_s=cpu_s(resource.RUSAGE_SELF) - before_s,
        start_up_s=before_s,
        errors_ms=tuple(abs(ms - RTT_MS) for samples in taken for ms in samples if ms is not None),
    )


def prober(lab: Lab, kind: str) -> Turn:
    """Let production's prober have its turn, in a process of its own on the lab's gateway."""
    with lab.enter("gateway"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.probes", "--prober", kind],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
    said = json.loads(done.stdout)
    return Turn(**said | {"errors_ms": tuple(said["errors_ms"])})


def fping(lab: Lab) -> Turn:
    """Let fping have its turn, as fast as it goes, with the same number of probes."""
    before_s, started_s = cpu_s(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = ["fping", "-q", "-C", str(SAMPLES), "-p", f"{INTERVAL_MS:.0f}", "-i", "0.1", "-t", f"{TIMEOUT_MS:.0f}"]
    with lab.enter("gateway"):
        # It ends with 1 when a target never answered, and reports on standard error either way.
        done = subprocess.run([*command, *TARGETS], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    took_s = time.perf_counter() - started_s
    words = [word for line in done.stderr.splitlines() if " : " in line for word in line.partition(" : ")[2].split()]
    assert len(words) == len(TARGETS) * SAMPLES, done.stderr[:500]
    return Turn(
        sent=len(words),
        lost=words.count("-"),
        rate_pps=len(words) / (took_s - TIMEOUT_MS / 1000),
        cpu_s=cpu_s(resource.RUSAGE_CHILDREN) - before_s,
        start_up_s=0.0,
        errors_ms=tuple(abs(float(word) - RTT_MS) for word in words if word != "-"),
    )


def report(figures: Figures, who: str, done: Sequence[tuple[Turn, int]], *, rival: Sequence[Turn]) -> None:
    """Print what the turns of ``who`` come to: medians over rounds, and losses over all of them."""
    turns = [turn for turn, _ in done]
    cpu_us = statistics.median(turn.cpu_us for turn in turns)

    def tell(what: str, value: float, unit: str, note: str = "") -> None:
        figures.tell(f"{who}_{what}", value, unit, BARS.get(f"{who}_{what}"), note=note)

    # One thread: what it held by the clock it did on one core, its waiting included.
    tell("probes_per_core_second", statistics.median(turn.rate_pps for turn in turns), "probes/s")
    tell(
        "cpu_per_probe", cpu_us, "us", note=f"{min(t.cpu_us for t in turns):.1f} to {max(t.cpu_us for t in turns):.1f}"
    )
    if who != "fping":
        # Round by round: what slows this machine down for a while slows both.
        ratios = [turn.cpu_us / other.cpu_us for turn, other in zip(turns, rival, strict=True)]
        tell("cpu_of_fping", statistics.median(ratios), "ratio", note=f"{min(ratios):.2f} to {max(ratios):.2f}")
        tell("start_up_cpu", statistics.median(turn.start_up_s for turn in turns), "s", note="once a process")
    tell("rtt_error_p50", statistics.median(percentile(turn.errors_ms, 0.50) for turn in turns), "ms")
    tell("rtt_error_p99", statistics.median(percentile(turn.errors_ms, 0.99) for turn in turns), "ms")
    tell("lost", sum(turn.lost for turn in turns), "packets", note=f"of {sum(turn.sent for turn in turns)}")
    # Summed without signs: one too many in one round must not make good for one too few in another.
    tell("lost_beyond_lab", sum(abs(turn.lost - counted) for turn, counted in done), "packets")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of ``values`` do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def cpu_s(who: int) -> float:
    """Return the CPU time, user and system, that getrusage counts for ``who``."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
