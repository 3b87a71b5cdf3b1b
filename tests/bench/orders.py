"""Orders from request to machine: ``python -m tests.bench.orders [--json] [--orders N]``.

One JSON object a line: name, value, unit, bar, ok. Real sshd relays, and a cloud process that answers each call in 5 to
30 ms; its machines boot at once. ``sqlite``: one process, everything in SQLite with synchronous=FULL. ``postgresql``:
gateway and provisioner in a process each, the catalog in PostgreSQL and the messages in RabbitMQ, both private.

PostgreSQL writes through to the disk (fsync), as SQLite does.

Throughput is from the first request to the last machine, of orders that 16 tenants place as fast as they are answered.
Answers are timed from the moment at which an order was due to be sent, at 100 of them a second, whether or not earlier
ones were answered.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.chaos.worlds import OrderingWorld, ordering_world
from tests.support import postgresql, rabbitmq
from tests.support.figures import Figures
from tests.support.sshd import free_port

TENANTS = 16
ANSWERS_PER_S = 100.0
ANSWERS = 500
WITHIN_S = 600.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=500, help="how many orders a throughput is taken of")
    figures, arguments = Figures.from_arguments(parser)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ordering_world(Path(folder)) as ordering:
        _measure(figures, ordering, "sqlite", arguments.orders, bar_per_s=100.0)
    with _on_servers() as ordering:
        _measure(figures, ordering, "postgresql", arguments.orders, bar_per_s=120.0)


def _measure(figures: Figures, ordering: OrderingWorld, name: str, count: int, *, bar_per_s: float) -> None:
    traffic = ordering.traffic
    begun_s = time.perf_counter()
    asyncio.run(traffic.burst(count, under_way=TENANTS, within_s=WITHIN_S))
    took_s = time.perf_counter() - begun_s
    fulfilled = len(asyncio.run(traffic.in_state("fulfilled")))
    figures.tell(f"{name}_orders", fulfilled / took_s, "orders/s", (">=", bar_per_s))
    asyncio.run(traffic.arrive(ANSWERS, per_s=ANSWERS_PER_S, within_s=WITHIN_S))
    answers_ms = sorted(1000 * each for each in traffic.answers_s)
    figures.tell(f"{name}_answer_p50", answers_ms[len(answers_ms) // 2], "ms")
    figures.tell(f"{name}_answer_p99", answers_ms[int(0.99 * len(answers_ms))], "ms", ("<=", 50.0))
    asyncio.run(traffic.all_ended(within_s=WITHIN_S))
    unfulfilled = len(traffic.accepted) - len(asyncio.run(traffic.in_state("fulfilled")))
    figures.tell(f"{name}_unfulfilled", unfulfilled, "orders", ("==", 0.0))


@contextmanager
def _on_servers() -> Iterator[OrderingWorld]:
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(postgresql.running(is_durable=True))
        broker = stack.enter_context(rabbitmq.running())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        url = stack.enter_context(database.fresh(postgresql.MIGRATED))
        shared = f'[queue]\nurl = "{broker.url}"\n[provision]\nlisten = "127.0.0.1:{free_port()}"\n'
        ordering = stack.enter_context(ordering_world(folder, settings=f'[database]\nurl = "{url}"\n{shared}'))
        ordering.world.start_provisioner(settings=shared)
        yield ordering


if __name__ == "__main__":
    main()
