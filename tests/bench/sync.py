"""What a full synchronisation costs everybody else: ``python -m tests.bench.sync [--rows N] [--rounds N] [--json]``.

One platform with ten thousand sizes and ten thousand images, in a process of its own, is read and published by
production's driver and publisher into a real database. Meanwhile the event loop is asked every millisecond how late it
is, and so is, at the same time on the same machine, the idle event loop of a control process: what other programs do to
this machine is done to both. ``in_a_thread`` is the same work parsed in a thread of the gateway instead of a process,
for comparison.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from catalog.clouds import CloudDriver
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import GrantId, PlatformId, new_id
from catalog.model.offering import InventoryItem
from catalog.ports import Address
from catalog.store import rows
from catalog.store.database import Tx
from drivers.clouds.policy import CallPolicy
from drivers.registry import build
from gateway.connections.publishing import Publisher
from tests.support.dialers import LoopbackDialer
from tests.support.figures import Bar, Figures
from tests.support.large_cloud import account, large_cloud
from tests.support.stores import Store, add_connection, add_platform, opened_store

PAUSE_S = 0.001
MEMORY_PAUSE_S = 0.02
MEMORY_BAR: Bar = ("<=", 150.0)
NO_LONGER: Bar = ("<=", 1.0)
# A thread may bring home anything, so that nothing is read apart.
IN_A_THREAD = {"short_list_rows": 1_000_000, "short_list_bytes": 64 * 1024 * 1024}


@dataclass
class Watch:
    """How late the event loop was, and the most memory that this process and its children took."""

    late_ms: list[float] = field(default_factory=list)
    control_ms: list[float] = field(default_factory=list)  # of the idle loop beside it
    peak_mib: float = 0.0
    took_s: float = 0.0

    async def over(self, work: Callable[[], Awaitable[object]]) -> "Watch":
        """Watch while ``work`` runs."""
        with control() as told:
            started_s = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                looks = [tasks.create_task(look(self.late_ms)), tasks.create_task(self._memory())]
                await work()
                self.took_s = time.perf_counter() - started_s
                for each in looks:
                    each.cancel()
        self.control_ms = told
        return self

    async def _memory(self) -> None:
        while True:
            self.peak_mib = max(self.peak_mib, resident_mib())
            await asyncio.sleep(MEMORY_PAUSE_S)


async def look(late_ms: list[float]) -> None:
    """Note how late this event loop is, every millisecond, until cancelled."""
    while True:
        began_s = time.perf_counter()
        await asyncio.sleep(PAUSE_S)
        late_ms.append((time.perf_counter() - began_s - PAUSE_S) * 1000)


@contextmanager
def control() -> Iterator[list[float]]:
    """Run an idle event loop in a process of its own until the block ends; then the list holds how late it was."""
    command = [sys.executable, "-m", "tests.bench.sync", "--control"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    told: list[float] = []
    with process:
        assert process.stdout.readline() == "ready\n"
        yield told
        process.stdin.close()
        told.extend(json.loads(process.stdout.read()))


async def idle() -> None:
    """Be the control: look until standard input ends, and tell."""
    late_ms: list[float] = []
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, over.set)
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look(late_ms))
        print("ready", flush=True)
        await over.wait()
        looking.cancel()
    print(json.dumps(late_ms))


@dataclass(frozen=True)
class OneCloud:
    """catalog.clouds.Clouds with the one driver that a round uses."""

    only: CloudDriver

    async def driver(self, platform: PlatformId) -> CloudDriver:
        """Return it."""
        del platform
        return self.only


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--control", action="store_true", help=argparse.SUPPRESS)
    figures, told = Figures.from_arguments(parser)
    if told.control:
        asyncio.run(idle())
        return
    with tempfile.TemporaryDirectory() as folder, opened_store(Path(folder)) as store, large_cloud(told.rows) as cloud:
        for name, policy in (("sync", CallPolicy()), ("sync_in_a_thread", replace(CallPolicy(), **IN_A_THREAD))):
            bench = Bench(store=store, cloud=cloud, policy=policy, rows=told.rows)
            for number in range(told.rounds):
                bench.round(f"{name.replace('_', '-')}-{number}")
            bench.tell(figures, name, judged=name == "sync")


@dataclass
class Bench:
    """Rounds of one way to read: each a first synchronisation, and one in which nothing changed."""

    store: Store
    cloud: Address
    policy: CallPolicy
    rows: int
    full: list[Watch] = field(default_factory=list)
    again: list[Watch] = field(default_factory=list)
    over_base_mib: list[float] = field(default_factory=list)

    def round(self, name: str) -> None:
        """Do one round with a platform of its own."""
        platform = add_platform(self.store, name).id
        for capability in ("size", "image"):
            accept(self.store, platform, capability)
        self.store.run(self._watched(platform))
        held = self.store.read(lambda tx: len(rows.where(tx, InventoryItem, platform_id=platform)))
        assert held == 2 * self.rows, held

    async def _watched(self, platform: PlatformId) -> None:
        async with AsyncExitStack() as closing:
            driver = build(account(self.cloud), LoopbackDialer(), self.policy)
            closing.push_async_callback(driver.close)
            publisher = Publisher(database=self.store.database, clock=self.store.clock, clouds=OneCloud(driver))
            base_mib = resident_mib()
            self.full.append(await Watch().over(lambda: publisher.run(platform)))
            self.over_base_mib.append(self.full[-1].peak_mib - base_mib)
            self.again.append(await Watch().over(lambda: publisher.run(platform)))

    def tell(self, figures: Figures, name: str, *, judged: bool) -> None:
        """Print what the rounds came to."""
        bar = NO_LONGER if judged else None
        for what, share in (("p99", 0.99), ("max", 1.0)):
            for kind, watches in (("full", self.full), ("unchanged", self.again)):
                blocked = [percentile(watch.late_ms, share) for watch in watches]
                control_ms = [percentile(watch.control_ms, share) for watch in watches]
                beside = [mine / idle for mine, idle in zip(blocked, control_ms, strict=True)]
                figures.tell_median(f"{name}_{kind}_blocked_{what}", blocked, "ms")
                figures.tell_median(f"{name}_{kind}_control_{what}", control_ms, "ms")
                figures.tell_median(f"{name}_{kind}_blocked_{what}_of_control", beside, "ratio", bar)
        figures.tell(f"{name}_memory_over_base", max(self.over_base_mib), "MiB", MEMORY_BAR if judged else None)
        figures.tell_median(f"{name}_full_took", [watch.took_s for watch in self.full], "s")
        figures.tell_median(f"{name}_unchanged_took", [watch.took_s for watch in self.again], "s")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def accept(store: Store, platform: PlatformId, capability: str) -> None:
    """Insert an accepted grant."""
    connection = add_connection(store, platform)

    def work(tx: Tx) -> None:
        grant = Grant(
            id=GrantId(new_id("grant", store.now_s)), platform_id=platform, connection_id=connection, request_id="r",
            capability=capability, verbs=["list"], state=GrantState.ACCEPTED,
        )  # fmt: skip
        rows.insert(tx, grant, store.now_s)

    store.write(work)


def resident_mib() -> float:
    """Return the memory that this process and its children, the cloud's process left out, have resident."""
    own = os.getpid()
    return sum(map(_resident_mib, (own, *_readers(own))))


def _readers(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task")
    children = [child for task in found.iterdir() for child in _text(task / "children").split()]
    return [int(child) for child in children if "drivers.clouds.reader" in _text(Path(f"/proc/{child}/cmdline"))]


def _resident_mib(process: int) -> float:
    told = _text(Path(f"/proc/{process}/statm")).split()
    return int(told[1]) * os.sysconf("SC_PAGESIZE") / 2**20 if told else 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # ended meanwhile


if __name__ == "__main__":
    main()
