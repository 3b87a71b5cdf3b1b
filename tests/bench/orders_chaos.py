"""Orders lost and doubled: ``python -m tests.bench.orders_chaos [--quick | --orders N] [--mutant NAME] [--json]``.

One JSON object a line: name, value, unit, bar, ok. All is counted from the ledger of the cloud's own process.

``scripted``: the applications die between two steps, the cloud answers 503 after it created, a message comes again
while a worker looks up or creates. Nothing mends later: no sweep runs, and orders of which nothing is heard are not
asked for again. With ``--mutant`` the applications lack one of the parts that keep the promise, the bars are missed,
and the exit code is 1; without, it is counted how many mutants do.

``storm``: the product's own two applications, each a process, on a PostgreSQL and a RabbitMQ of their own, all of them
killed by SIGKILL while tenants order, one of the applications once in 100 orders. The cloud takes 5 to 30 ms, answers
503 after having created one machine of 20, keeps one creation in 50 longer than anybody waits for it, and every tenth
message is published three times.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.bench.chaos.judged import Judged, judged
from tests.bench.chaos.mutants import MUTANTS
from tests.bench.chaos.parts import Parts
from tests.bench.chaos.schedules import SCHEDULES, played
from tests.bench.chaos.storm import broker, database, order_application, provisioner, storm
from tests.bench.chaos.worlds import SLOW, OrderingWorld, ordering_world
from tests.support import postgresql, rabbitmq
from tests.support.clouds import simulated_cloud
from tests.support.figures import Figures
from tests.support.sshd import free_port

NONE = ("==", 0.0)
ORDERS, QUICK = 10_000, 500
UNDER_WAY = 16
BUILD_DEADLINE_S = 20.0
CALL_TIMEOUT_S = 3.0
SWEEPS_S = 3 * 60.0  # three of the provisioner's
S_PER_ORDER = 1.0  # a bound, not a wish
LIES: Final = (
    {"match": "POST /v1/machines", "kind": "lost-reply", "every": 20},
    {"match": "POST /v1/machines", "kind": "latency", "every": 50, "delay_s": CALL_TIMEOUT_S + 2.0},
)
ENVIRONMENT: Final = {
    "CROSSWAY_CLOUDS__CALL_TIMEOUT_S": str(CALL_TIMEOUT_S),
    # However often an attempt is cut short, the order is to end fulfilled.
    "CROSSWAY_ORDERS__ATTEMPTS_COUNT": "100",
}


def main() -> int:
    """Measure and print; return 1 when an order was lost or doubled or a machine is left over, as a mutant has to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutant", choices=MUTANTS, help="play the schedules with applications that lack this")
    parser.add_argument("--orders", type=int, default=ORDERS, help="how many are placed in the storm")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} of them")
    figures, arguments = Figures.from_arguments(parser)
    if arguments.mutant:
        return _told(figures, f"{arguments.mutant}_", MUTANTS[arguments.mutant])
    is_bad = bool(_told(figures, "scripted_", Parts()))
    caught = sum(any(map(_is_bad, _scripted(parts))) for parts in MUTANTS.values())
    figures.tell("mutants_that_fail", caught, "mutants", ("==", len(MUTANTS)))
    is_bad |= caught != len(MUTANTS)
    is_bad |= _weather(figures, QUICK if arguments.quick else arguments.orders)
    return int(is_bad)


def _told(figures: Figures, prefix: str, parts: Parts) -> int:
    found = _scripted(parts)
    figures.tell(f"{prefix}orders_lost", sum(len(each.lost) for each in found), "orders", NONE)
    figures.tell(f"{prefix}orders_doubled", sum(len(each.doubled) for each in found), "orders", NONE)
    figures.tell(f"{prefix}machines_without_order", sum(each.ownerless for each in found), "machines", NONE)
    return int(any(map(_is_bad, found)))


def _scripted(parts: Parts) -> list[Judged]:
    """Return what became of every schedule."""
    found = []
    for schedule in SCHEDULES:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, simulated_cloud(Path(folder)) as cloud:
            found.append(played(Path(folder), cloud, parts, schedule))
    return found


def _is_bad(found: Judged) -> bool:
    return bool(found.lost or found.doubled or found.ownerless)


def _weather(figures: Figures, orders: int) -> bool:
    """Have ``orders`` placed in a storm, tell what became of them, and whether that is bad."""
    servers = max(1, 3 * orders // ORDERS)
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(postgresql.running())
        queue = stack.enter_context(rabbitmq.running())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        # Not dropped in the end: whoever killed the server may have left it to be recovered.
        kept.run("CREATE DATABASE storm TEMPLATE migrated")
        shared = f'[queue]\nurl = "{queue.url}"\n[provision]\nlisten = "127.0.0.1:{free_port()}"\n'
        settings = f'[database]\nurl = "{kept.url("storm")}"\n{shared}'
        ordering = stack.enter_context(
            ordering_world(
                folder,
                settings=settings,
                environment=ENVIRONMENT,
                program=Path(__file__).parent / "chaos" / "serving.py",
                build_deadline_s=BUILD_DEADLINE_S,
            )
        )
        ordering.world.cloud.faults(*LIES, *map(dict, SLOW))
        victims = (
            order_application(ordering.world, max(1, orders // 200), BUILD_DEADLINE_S),
            provisioner(ordering.world, max(1, orders // 200), shared),
            broker(queue, servers),
            database(kept, servers),
        )
        begun_s = time.perf_counter()
        killed = asyncio.run(
            storm(ordering.traffic, orders, victims, under_way=UNDER_WAY, within_s=120.0 + orders * S_PER_ORDER)
        )
        took_s = time.perf_counter() - begun_s
        lies, timeouts, *_ = ordering.world.cloud.hits()
        for victim in victims:
            figures.tell(f"storm_{victim.name}_killed", killed[victim.name], "times")
        figures.tell("storm_cloud_lied", lies, "times", (">=", orders // 20))
        figures.tell("storm_cloud_timed_out", timeouts, "times", (">=", orders // 55))
        found = _settled(ordering)
        figures.tell("storm_orders_lost", len(found.lost), "orders", NONE)
        figures.tell("storm_orders_doubled", len(found.doubled), "orders", NONE)
        figures.tell("storm_machines_without_order", found.ownerless, "machines", NONE)
        figures.tell("storm_orders", orders / took_s, "orders/s")
        return _is_bad(found)


def _settled(ordering: OrderingWorld) -> Judged:
    """Return what the ledger says after three sweeps: what a slow cloud makes late is seen, and gone again by then."""
    time.sleep(SWEEPS_S)
    fulfilled = asyncio.run(ordering.traffic.in_state("fulfilled"))
    return judged(ordering.world.cloud.ledger(), ordering.traffic.accepted.values(), fulfilled)


if __name__ == "__main__":
    sys.exit(main())
