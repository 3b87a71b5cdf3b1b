"""How fast the catalog is searched: ``python -m tests.bench.catalog [--json]``.

50 platforms, 100,000 things to order, prices for nine of ten. Searches of eight kinds, as people and programs ask them
(words, bounds, system, place, price, ranking by other weights, sorted, later pages), each asked over HTTP of a real
server on loopback, with facets and reasons, one after another; and the first one after a platform changed.
"""

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

from catalog.clouds import CloudSize
from catalog.model.ids import PlatformId
from catalog.publish import store_inventory
from catalog.store.database import Database
from tests.support import postgresql
from tests.support.api_world import ApiWorld, api_world
from tests.support.figures import Bar, Figures
from tests.support.markets import NOW_S, add_market

PLATFORMS, SIZES, IMAGES = 50, 1_900, 100
ROUNDS = 25
SQLITE_BAR: Bar = ("<=", 100.0)
POSTGRESQL_BAR: Bar = ("<=", 60.0)
SEARCHES: tuple[dict[str, str], ...] = (
    {"text": "m5 4xlarge", "vcpu_min": "4"},
    {"vcpu_min": "4", "memory_gib_min": "8", "os": "debian 12", "continent": "Europe", "rtt_max_ms": "60"},
    {"price_max": "0.1", "currency": "EUR", "architecture": "arm64", "weights": "price=3,fit=1"},
    {"text": "r 16xlarge", "sort": "price", "provider": "ec2"},
    {"text": "cloud debian", "kind": "image"},
    {"gpu_min": "1", "country": "DE,JP,US", "sort": "-memory_gib"},
    {"kind": "size", "disk_gib_min": "40", "weights": "reachability=5", "state": "offered"},
    {},
)


def main() -> None:
    """Measure and print."""
    figures, _ = Figures.from_arguments(argparse.ArgumentParser(description=__doc__))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        asyncio.run(measure(Path(folder), figures, "sqlite", SQLITE_BAR))
        try:
            with postgresql.running() as server:
                asyncio.run(measure(Path(folder), figures, "postgresql", POSTGRESQL_BAR, server.emptied()))
        except RuntimeError as error:  # it is not installed
            figures.tell("catalog.search_p95.postgresql", None, "ms", POSTGRESQL_BAR, note=str(error))


async def measure(folder: Path, figures: Figures, kind: str, bar: Bar, url: str | None = None) -> None:
    """Fill a catalog, search it, and tell how long that took."""
    async with api_world(folder, database_url=url) as world:
        database: Database = world.services.database
        for number in range(PLATFORMS):
            await database.write(lambda tx, number=number: add_market(tx, [number], sizes=SIZES, images=IMAGES))  # type: ignore[misc]
        cold_ms = await asked(world, SEARCHES[-1])
        began_s = time.process_time()
        took = [await asked(world, SEARCHES[place % len(SEARCHES)]) for place in range(len(SEARCHES) * ROUNDS)]
        cpu_ms = (time.process_time() - began_s) * 1000 / len(took)
        changed = [await after_a_change(world, number) for number in range(5)]
        note = f"median {statistics.median(took):.1f}, {len(took)} searches of {len(SEARCHES)} kinds"
        figures.tell(f"catalog.search_p95.{kind}", sorted(took)[int(0.95 * len(took))], "ms", bar, note=note)
        note = "server and client, a mean"
        figures.tell(f"catalog.search_cpu.{kind}", cpu_ms, "ms", note=note)
        figures.tell(f"catalog.search_after_a_change.{kind}", statistics.median(changed), "ms")
        figures.tell(f"catalog.search_first.{kind}", cold_ms, "ms")
        rows = PLATFORMS * (SIZES + IMAGES)
        figures.tell(f"catalog.rows_in_pages.{kind}", float(await all_pages(world)), "rows", ("==", float(rows)))


async def asked(world: ApiWorld, query: dict[str, str]) -> float:
    """Return how many milliseconds the answer took."""
    began_s = time.perf_counter()
    reply = await world.call("tenant", "GET", f"/v1/search?{urlencode(query)}")
    took_ms = (time.perf_counter() - began_s) * 1000
    assert reply.status == 200, reply.text
    assert reply.body["total"] > 0, query
    return took_ms


async def after_a_change(world: ApiWorld, number: int) -> float:
    """Return how long a search takes when a platform's sizes were read anew, and one is another, just before."""
    platform = PlatformId(f"platform_{number:03}")
    sizes = [CloudSize(cloud_id=f"s{n}", name=f"n{n}", vcpu=n, memory_mib=1024, disk_gib=1) for n in range(SIZES)]
    await world.write(lambda tx: store_inventory(tx, platform, "size", sizes, NOW_S))
    return await asked(world, SEARCHES[1])


async def all_pages(world: ApiWorld) -> int:
    """Return how many different rows the pages of everything hold; none may come twice."""
    seen: set[str] = set()
    token = ""
    query = {"limit": "200", "country": "DE,SG,US,BR,JP"}
    for place in itertools.count():
        told = {**query, **({"page_token": token} if token else {})}
        reply = await world.call("tenant", "GET", f"/v1/search?{urlencode(told)}")
        ids = [each["id"] for each in reply.body["items"]]
        assert not seen & set(ids), place
        seen |= set(ids)
        token = reply.body["next_page_token"]
        if not token:
            return len(seen)
    raise AssertionError("the pages have an end")


if __name__ == "__main__":
    main()
