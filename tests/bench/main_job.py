"""The main job's figures on this machine: ``python -m tests.bench.main_job [--json]``.

One JSON object a line: name, value, unit, bar, ok. No bar is set yet (null), so nothing is decided; they say
where time goes. Everything runs on loopback: real sshd relays, a real cloud process, one gateway on SQLite.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.small_world import PATIENCE_S, SmallWorld, small_world
from tests.support.waiting import wait_until

POOLED_ORDERS = 40
COLD_ORDERS = 10
IDLE = 8


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a line (the default is the same, for people)"
    )
    as_json = parser.parse_args().json
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        small_world(Path(folder), settings='accept = ["*/*"]\n', boot_s=0.1) as world,
    ):
        world.start_gateway()
        world.declare_network()
        world.enrol()
        connecting_ms = timed_ms(world.connect)
        wait_until(lambda: world.machine_choice() is not None, "machines are on offer")
        tell(as_json, "request_to_established", connecting_ms, "ms")
        pooled = measure_pooled(world)
        tell(as_json, "pooled_order_answer_p50", statistics.median(pooled), "ms")
        tell(as_json, "pooled_order_answer_p99", sorted(pooled)[int(0.99 * len(pooled))], "ms")
        tell(as_json, "cold_order_fulfilled_p50", statistics.median(measure_cold(world)), "ms")


def measure_pooled(world: SmallWorld) -> list[float]:
    """Return the time in ms from each POST of an order to its answer, which names the machine."""
    tenant, choice = world.tenant("pooled"), world.machine_choice()
    assert choice is not None
    limits = {"idle_target": IDLE, "idle_limit": IDLE, "building_limit": IDLE}
    pool = world.admin.pools.create(name="bench", **choice, **limits)["id"]
    found = []
    for _ in range(POOLED_ORDERS):
        world.admin.pools.wait(pool, until=lambda each: each["census"]["idle"] > 0, timeout_s=PATIENCE_S)
        started_s = time.perf_counter()
        order = tenant.orders.create(**choice)
        found.append((time.perf_counter() - started_s) * 1000)
        assert order["served_from"] == "pool"
    world.admin.pools.remove(pool)
    return found


def measure_cold(world: SmallWorld) -> list[float]:
    """Return the time in ms from each POST of an order to its end, one after another; the cloud boots in 100 ms."""
    tenant, choice = world.tenant("cold"), world.machine_choice()
    assert choice is not None

    def order() -> None:
        placed = tenant.orders.create(**choice)["id"]
        tenant.orders.wait(placed, until=lambda each: each["state"] == "fulfilled", timeout_s=PATIENCE_S)

    return [timed_ms(order) for _ in range(COLD_ORDERS)]


def timed_ms(work: Callable[[], object]) -> float:
    """Return how long ``work`` took."""
    started_s = time.perf_counter()
    work()
    return (time.perf_counter() - started_s) * 1000


def tell(as_json: bool, name: str, value: float, unit: str) -> None:  # noqa: FBT001  # the program's own option
    """Print one figure."""
    figure = {"name": name, "value": round(value, 2), "unit": unit, "bar": None, "ok": None}
    print(json.dumps(figure) if as_json else f"{name:28} {value:10.2f} {unit}")


if __name__ == "__main__":
    main()
