"""What ten thousand relays cost: ``python -m tests.bench.scale [--relays N] [--json]``.

A simulated network: every relay at a site of its own, in 50 regions, with links to 20 others of its region and 5
outside it, and no table of all pairs anywhere. Measured are the memory that mesh and link table take, the time to
decide one connection (enumerate, attend, rank, look for a standby) and how many link updates a second are absorbed.
"""

import argparse
import random
import statistics
import time
import tracemalloc

import numpy as np

from routing.candidates import CandidatePolicy, enumerate_routes
from routing.estimate.table import LinkTable
from routing.mesh import Mesh, MeshMaker
from routing.probe.attention import AttentionPolicy, attend
from routing.ranking import Aim, rank
from routing.standby import find_standby
from routing.steadiness import Hold, SteadinessPolicy, decide
from routing.survey import alive_costs_ms, contest, measure, promised_costs_ms
from routing.topology import Address, Node, NodeKind, SiteLink, Topology
from tests.support.figures import Figures

REGIONS, INSIDE, OUTSIDE, ENTRIES = 50, 20, 5, 40
AIM = Aim()
POLICY = CandidatePolicy(relay_limit=3)
DECISIONS, UPDATES = 30, 50_000
ROUND = 16  # links told at a time, as a round of probes does
HERE = Address("192.0.2.1", 22)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relays", type=int, default=10_000)
    figures, arguments = Figures.from_arguments(parser)
    chance = random.Random(1)
    tracemalloc.start()
    network = topology(arguments.relays, chance)
    declared_mib = tracemalloc.get_traced_memory()[0] / 2**20
    started_s = time.perf_counter()
    table = LinkTable()
    maker = MeshMaker(table)
    mesh = maker.mesh(network, target(0))
    figures.tell("scale_relays", arguments.relays, "relays")
    figures.tell("scale_links", mesh.graph.link_count, "links")
    figures.tell("scale_compiled", time.perf_counter() - started_s, "s", note="once for a topology, under a tracer")
    figures.tell("scale_memory_declared", declared_mib, "MiB")
    figures.tell("scale_memory_mesh_and_table", tracemalloc.get_traced_memory()[0] / 2**20 - declared_mib, "MiB")
    tracemalloc.stop()
    fill(table, mesh, chance)
    decided = [decided_ms(maker, network, table, number) for number in range(DECISIONS)]
    figures.tell("scale_decide_p50", statistics.median(decided), "ms", ("<=", 50.0))
    figures.tell("scale_decide_max", max(decided), "ms")
    figures.tell("scale_updates", updates_per_s(table, mesh, batch=ROUND), "updates/s", (">=", 10_000.0))
    figures.tell("scale_updates_one_by_one", updates_per_s(table, mesh, batch=1), "updates/s")


def topology(relays: int, chance: random.Random) -> Topology:
    """Return the simulated network; the gateway may dial ``ENTRIES`` relays."""
    names = [f"r{number}" for number in range(relays)]
    region = [number % REGIONS for number in range(relays)]
    members = [names[number::REGIONS] for number in range(REGIONS)]
    links = {("home", name) for name in chance.sample(names, ENTRIES)}
    for name, here in zip(names, region, strict=True):
        links |= {(name, other) for other in chance.sample(members[here], min(INSIDE + 1, len(members[here])))}
        links |= {(name, chance.choice(members[chance.randrange(REGIONS)])) for _ in range(OUTSIDE)}
    links |= {(name, "cloud") for name in chance.sample(names, ENTRIES)}
    return Topology(
        gateway=Node(name="gateway", kind=NodeKind.GATEWAY, site="home", latitude=51.5, longitude=0.0),
        relays=tuple(
            Node(
                name=name,
                kind=NodeKind.RELAY,
                site=name,
                address=HERE,
                latitude=-60 + 120 * (here / REGIONS),
                longitude=chance.uniform(-180, 180),
                risk_groups=frozenset({name}),
            )
            for name, here in zip(names, region, strict=True)
        ),
        links=tuple(SiteLink(source=a, target=b, both_ways=False) for a, b in sorted(links) if a != b),
    )


def target(number: int) -> Node:
    """Return one of many platforms, all in the cloud."""
    return Node(name=f"platform/{number}", kind=NodeKind.TARGET, site="cloud", address=HERE)


def fill(table: LinkTable, mesh: Mesh, chance: random.Random) -> None:
    """Give every link some samples."""
    rng = np.random.default_rng(chance.randrange(2**32))
    for _ in range(3):
        table.absorb(mesh.rows, (1 + mesh.guesses_ms) * rng.uniform(1, 1.1, len(mesh.rows)), 0.0)


def decided_ms(maker: MeshMaker, network: Topology, table: LinkTable, number: int) -> float:
    """Return how long it takes to decide on one connection, to a platform that nobody asked for before."""
    started_s = time.perf_counter()
    mesh = maker.mesh(network, target(number))
    costs_ms = promised_costs_ms(mesh, table, AIM, 60.0)
    routes = enumerate_routes(mesh, POLICY, costs_ms)
    attend(contest(mesh, routes, AIM.weights, None), table, AIM.weights, AttentionPolicy(), 60.0)
    ranking = rank(measure(mesh, table, routes, 60.0), AIM)
    # A platform that is new has unmeasured last links: those routes are not ranked, only promised.
    costs = ranking.costs_ms() or {route: float(place) for place, route in enumerate(routes)}
    verdict = decide(costs, Hold(), SteadinessPolicy())
    assert verdict.route is not None
    find_standby(mesh, alive_costs_ms(costs_ms), verdict.route, POLICY)
    return (time.perf_counter() - started_s) * 1000


def updates_per_s(table: LinkTable, mesh: Mesh, *, batch: int) -> float:
    """Return how many samples a second are taken in when ``batch`` links are told at a time."""
    rows = np.random.default_rng(2).permutation(mesh.rows)[:UPDATES]
    samples_ms = np.full(batch, 42.0)
    started_s = time.perf_counter()
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        table.absorb(part, samples_ms[: len(part)], 61.0)
    return len(rows) / (time.perf_counter() - started_s)


if __name__ == "__main__":
    main()
