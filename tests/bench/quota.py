"""500 parallel orders against a quota of 100, and what a reservation costs: ``python -m tests.bench.quota [--json]``.

One JSON object a line: name, value, unit, bar, ok. The orders come over HTTP, each on a connection of its own, to the
real API over a real database on disk; no cloud is asked. A reservation is timed where it is made, inside the
transaction of an order, with 1,000 machines held and 10,000 that are gone.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp

from catalog import quotas
from catalog.allowance import Weight
from catalog.holders import holder
from catalog.model.ids import MachineId, OfferId, PlatformId, ProjectId
from catalog.model.machine import Machine, MachineState
from catalog.store import rows
from catalog.store.database import Tx
from gateway.api.services import ApiLimits
from tests.support.api_world import ApiWorld, api_world

ORDERS = 500
QUOTA = 100
HELD = 1_000
GONE = 10_000
ROUNDS = 200


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line (the default is for people)")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        figures = asyncio.run(measured(Path(folder)))
    for name, value, unit, bar in figures:
        told = {"name": name, "value": round(value, 3), "unit": unit, "bar": bar}
        told["ok"] = None if bar is None else value == bar
        print(json.dumps(told) if as_json else f"{name:36} {value:10.3f} {unit:8} bar {bar} {told['ok']}")


async def measured(folder: Path) -> list[tuple[str, float, str, float | None]]:
    """Return every figure: name, value, unit and what it has to be."""
    # Client and server share a thread: what one of 500 waits for the others is no slow sender's doing.
    async with api_world(
        folder, limits=ApiLimits(head_s=60.0, body_s=60.0, connections_per_address=ORDERS + 1)
    ) as world:
        before = await held(world)
        limit = {"machines": before + QUOTA, "cores": 10_000, "memory_gib": 10_000}
        assert (await world.call("admin", "PATCH", f"/v1/quotas/{world.ids['tenant']}", limit)).status == 200
        started_s = time.perf_counter()
        statuses = await orders_at_once(world)
        took_s = time.perf_counter() - started_s
        over = await held(world) - before - QUOTA
        assert statuses[202] + statuses[409] == ORDERS, statuses
        costs_ms = await reservations(world)
    return [
        ("orders_accepted", statuses[202], "orders", QUOTA),
        ("machines_over_the_quota", over, "machines", 0),
        ("orders_answered", ORDERS / took_s, "per_s", None),
        ("reservation_p50", statistics.median(costs_ms), "ms", None),
        ("reservation_p99", sorted(costs_ms)[int(0.99 * len(costs_ms))], "ms", None),
    ]


async def orders_at_once(world: ApiWorld) -> Counter[int]:
    """Send every order at the same time and return how often each status came back."""
    wanted = {"offer": "platform", "size": "small", "image": "debian-12"}

    async def order(http: aiohttp.ClientSession, number: int) -> int:
        headers = {"Authorization": f"Bearer {world.tokens['tenant']}", "Idempotency-Key": f"order-{number}"}
        async with http.post(f"{world.url}/v1/orders", json=wanted, headers=headers) as answer:
            await answer.read()
            return answer.status

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        asyncio.TaskGroup() as tasks,
    ):
        asked = [tasks.create_task(order(http, number)) for number in range(ORDERS)]
    return Counter(each.result() for each in asked)


async def held(world: ApiWorld) -> int:
    """Return how many machines of the project are not gone, counted one by one."""

    def count(tx: Tx) -> int:
        return sum(
            each.state is not MachineState.GONE for each in rows.where(tx, Machine, project_id=world.ids["tenant"])
        )

    return await world.services.database.read(count)


async def reservations(world: ApiWorld) -> list[float]:
    """Return what asking both quotas took, in ms, again and again."""
    project = ProjectId(world.ids["rival"])

    def work(tx: Tx) -> list[float]:
        for number in range(HELD + GONE):
            state = MachineState.IN_USE if number < HELD else MachineState.GONE
            tx.add(a_machine(world, number, state))
        tx.flush()
        for whose in (project, "foundry"):
            quotas.change(tx, holder(tx, whose), {"machines": 99_999, "cores": 99_999, "memory_gib": 99_999}, 1.0)
        found = []
        for _ in range(ROUNDS):
            started_s = time.perf_counter()
            quotas.refuse_beyond(tx, project, Weight(vcpu=2.0, memory_mib=4096))
            found.append((time.perf_counter() - started_s) * 1000)
        return found

    return await world.services.database.write(work)


def a_machine(world: ApiWorld, number: int, state: MachineState) -> Machine:
    """Return a machine of the project that is asked for."""
    return Machine(
        id=MachineId(f"machine_bench_{number:05}"),
        platform_id=PlatformId(world.ids["platform"]),
        offer_id=OfferId(world.ids["offer-machine"]),
        project_id=ProjectId(world.ids["rival"]),
        name=f"bench-{number}",
        size="s1",
        image="i1",
        state=state,
        vcpu=2.0,
        memory_mib=4096,
    )


if __name__ == "__main__":
    main()
