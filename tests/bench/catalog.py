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

from catalog.model.ids import PlatformId
from catalog.ports import CloudSize
from catalog.publish import store_inventory
from catalog.store.database import Database
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
        asyncio.run(measure(Path(folder), figures))
    figures.tell("catalog.search_p95.postgresql", None, "ms", POSTGRESQL_BAR, note="this bench opens SQLite alone")


async def measure(folder: Path, figures: Figures) -> None:
    """Fill a catalog, search it, and tell how long that took."""
    async with api_world(folder) as world:
        database: Database = world.services.database
        await database.write(lambda tx: add_market(tx, platforms=PLATFORMS, sizes=SIZES, images=IMAGES))
        cold_ms = await asked(world, SEARCHES[-1])
        took = [await asked(world, SEARCHES[place % len(SEARCHES)]) for place in range(len(SEARCHES) * ROUNDS)]
        changed = [await after_a_change(world, number) for number in range(10)]
        note = f"median {statistics.median(took):.1f}, {len(took)} searches of {len(SEARCHES)} kinds"
        figures.tell("catalog.search_p95.sqlite", sorted(took)[int(0.95 * len(took))], "ms", SQLITE_BAR, note=note)
        figures.tell("catalog.search_after_a_change", statistics.median(changed), "ms")
        figures.tell("catalog.search_first", cold_ms, "ms")
        pages = await all_pages(world)
        figures.tell("catalog.pages_of_200", float(pages), "rows", ("==", float(PLATFORMS * (SIZES + IMAGES))))


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
    query = {"limit": "200", "platform": ",".join(f"cloud-{number:03}" for number in range(PLATFORMS // 2))}
    for place in itertools.count():
        told = {**query, **({"page_token": token} if token else {})}
        reply = await world.call("tenant", "GET", f"/v1/search?{urlencode(told)}")
        ids = [each["id"] for each in reply.body["items"]]
        assert not seen & set(ids), place
        seen |= set(ids)
        token = reply.body["next_page_token"]
        if not token:
            return len(seen) * 2
    raise AssertionError("the pages have an end")


if __name__ == "__main__":
    main()
