"""How good the second route is, that it is the best, and why where there is none: ``python -m tests.bench.standby``.

Exactness is held against trying every path and every pair, for graphs of up to 60 nodes: full meshes, sparse graphs and
operators' networks from a seed, with and without shared-risk groups. ``--graphml FILE...`` adds real networks, with
coordinates as in the Internet Topology Zoo; a link then costs its round trip by distance.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath

import networkx as nx
import numpy as np

from routing.geography import great_circle_km
from routing.paths.apart import DisjointPair, Groups, Rules
from routing.paths.disjoint import Obstacle, ObstacleKind, best_disjoint_pair, best_standby
from routing.paths.graph import Path
from routing.paths.k_best import k_best
from tests.support.figures import Figures
from tests.support.graphs import (
    Costed,
    all_simple_paths,
    are_apart,
    full_mesh,
    large_sparse,
    linked,
    operator_network,
    random_groups,
    sparse,
)

_SEED = 30
_PAIRS_BY_TRIAL = 8
_PAIRS_MEASURED = 100
# Of graphs so large that a pair takes a tenth of a second.
_PAIRS_MEASURED_LARGE = 30
_LARGE_LINKS = 200_000
_SMALL_NODES = 60
_NEAR_RATIO = 1.25
_ROUNDING_RATIO = 1e-9
# Light in fibre, there and back; a link between unknown or equal places costs at least its equipment.
_RTT_MS_PER_KM = 0.01
_LEAST_MS = 0.1


def main() -> None:
    """Compare, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphml", type=FilePath, nargs="*", default=[], help="real networks, one figure set each")
    figures, arguments = Figures.from_arguments(parser)
    real = [(file.stem, _from_graphml(file)) for file in arguments.graphml]
    compare_with_trial(figures, real)
    for name, costed, relay_limit, groups in (
        ("mesh_200", full_mesh(200, _SEED), 3, 0),
        ("mesh_200_groups", full_mesh(200, _SEED), 3, 40),
        ("mesh_1000_groups", full_mesh(1000, _SEED), 3, 100),
        ("sparse_10000_groups", large_sparse(10_000, 25, _SEED), 3, 500),
        ("sparse_1000", sparse(1000, _SEED), None, 0),
        ("sparse_1000_groups", sparse(1000, _SEED), None, 400),
        ("operator_300", operator_network(300, _SEED), None, 0),
        ("operator_300_groups", operator_network(300, _SEED), None, 100),
        *((name, costed, None, 0) for name, costed in real),
    ):
        measure(figures, name, costed, relay_limit, groups)


def compare_with_trial(figures: Figures, real: list[tuple[str, Costed]]) -> None:
    """Count the questions about standbys and pairs whose answer is not that of trying everything."""
    right, asked = Counter[str](), Counter[str]()
    small = [costed for _, costed in real if costed[0].node_count <= _SMALL_NODES]
    # As long paths as can be tried completely: 58 x 57 over two relays of 60, and 1,680 over four of 10.
    for costed, relay_limit in (
        (full_mesh(60, _SEED), 1),
        (full_mesh(60, _SEED), 2),
        (full_mesh(20, _SEED), 3),
        (full_mesh(12, _SEED), 4),
        (sparse(60, _SEED), 4),
        (sparse(60, _SEED), 5),
        (sparse(20, _SEED), None),
        *((operator_network(60, _SEED + more), None) for more in range(5)),
        *((operator_network(60, _SEED + more), 8) for more in range(5)),
        *((costed, 10) for costed in small),
    ):
        count = costed[0].node_count
        for groups in (None, random_groups(count, _SEED, groups=max(6, count // 3))):
            for source, target in _pairs(count, _PAIRS_BY_TRIAL):
                paths = all_simple_paths(*costed, source, target, relay_limit)
                _compare(costed, paths, Rules(relay_limit, groups), right, asked)
    for what in ("standby", "pair"):
        equal = 100 * right[what] / asked[what]
        figures.tell(f"{what}_equals_trial", equal, "%", ("==", 100), note=f"of {asked[what]} questions, n <= 60")


def _compare(costed: Costed, paths: list[Path], rules: Rules, right: Counter[str], asked: Counter[str]) -> None:
    """Ask for the standby of the best of ``paths``, which are all there are, and for the best pair; count the right."""
    if not paths:
        return
    standby = best_standby(*costed, paths[0], relay_limit=rules.relay_limit, groups=rules.groups)
    wanted = next((path.cost for path in paths if are_apart(paths[0], path, rules.groups)), None)
    asked["standby"] += 1
    right["standby"] += _same(None if isinstance(standby, Obstacle) else standby.cost, wanted)
    ends = paths[0].nodes[0], paths[0].nodes[-1]
    pair = best_disjoint_pair(*costed, *ends, relay_limit=rules.relay_limit, groups=rules.groups)
    asked["pair"] += 1
    right["pair"] += _same(None if isinstance(pair, Obstacle) else pair.cost, _cheapest_pair(paths, rules.groups))


def _cheapest_pair(paths: list[Path], groups: Groups | None) -> float | None:
    """Return what the cheapest two of ``paths`` apart cost; in order, those that follow a dear enough one cost more."""
    best: float | None = None
    for place, one in enumerate(paths):
        for other in paths[place + 1 :]:
            if best is not None and one.cost + other.cost >= best:
                break
            if are_apart(one, other, groups):
                best = one.cost + other.cost
    return best


@dataclass(slots=True)
class _Tally:
    """What came of asking for the standby of many best routes."""

    ratios: list[float] = field(default_factory=list)
    obstacles: Counter[ObstacleKind] = field(default_factory=Counter)
    unexplained: int = 0
    standby_ms: list[float] = field(default_factory=list)
    pair_ms: list[float] = field(default_factory=list)
    not_proven: int = 0


def measure(figures: Figures, name: str, costed: Costed, relay_limit: int | None, group_count: int) -> None:
    """Ask for the standby of the best route between random pairs; print how good they are and what is in the way."""
    graph, costs = costed
    groups = random_groups(graph.node_count, _SEED, groups=group_count) if group_count else None
    rules = Rules(relay_limit, groups)
    tally = _Tally()
    wanted = _PAIRS_MEASURED if graph.link_count < _LARGE_LINKS else _PAIRS_MEASURED_LARGE
    for source, target in _pairs(graph.node_count, wanted):
        best = k_best(graph, costs, source, target, count=1, relay_limit=relay_limit)
        if best:
            _ask(tally, costed, best[0], rules)
    total = len(tally.standby_ms)
    near = sum(ratio <= _NEAR_RATIO for ratio in tally.ratios)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.obstacles.items()))
    figures.tell(f"{name}_with_standby", 100 * len(tally.ratios) / total, "%", note=f"of {total} pairs; none: {kinds}")
    figures.tell(f"{name}_within_25_percent", 100 * near / total, "%")
    figures.tell(f"{name}_without_reason", tally.unexplained, "pairs", ("==", 0))
    _tell_times(figures, f"{name}_standby_p50", tally.standby_ms)
    _tell_times(figures, f"{name}_pair_p50", tally.pair_ms)
    if tally.not_proven:
        figures.tell(f"{name}_pairs_not_proven", tally.not_proven, "pairs", note="the search stopped at its limit")


def _ask(tally: _Tally, costed: Costed, primary: Path, rules: Rules) -> None:
    started_s = time.perf_counter()
    standby = best_standby(*costed, primary, relay_limit=rules.relay_limit, groups=rules.groups)
    middle_s = time.perf_counter()
    ends = primary.nodes[0], primary.nodes[-1]
    pair = best_disjoint_pair(*costed, *ends, relay_limit=rules.relay_limit, groups=rules.groups)
    tally.standby_ms.append((middle_s - started_s) * 1000)
    tally.pair_ms.append((time.perf_counter() - middle_s) * 1000)
    tally.not_proven += isinstance(pair, DisjointPair) and not pair.proven
    if isinstance(standby, Obstacle):
        tally.obstacles[standby.kind] += 1
        tally.unexplained += not _holds(standby, costed, primary, rules)
    else:
        tally.ratios.append(standby.cost / primary.cost)


def _holds(obstacle: Obstacle, costed: Costed, primary: Path, rules: Rules) -> bool:
    """Tell whether what is said to be in the way is, by another way than it was found."""
    around = _leads_on(costed, primary, without=set(primary.relays))
    pair = obstacle.pair
    match obstacle.kind:
        case ObstacleKind.ONLY_WAY:
            named = bool(obstacle.nodes) or not primary.relays
            return named and not around and not any(_leads_on(costed, primary, without={n}) for n in obstacle.nodes)
        case ObstacleKind.RELAY_LIMIT:
            too_many = rules.relay_limit is not None and (obstacle.relays or 0) > rules.relay_limit
            return too_many and (around or pair is not None)
        case ObstacleKind.SHARED_RISK:
            return rules.groups is not None and bool(obstacle.groups) and (around or pair is not None)
        case ObstacleKind.PRIMARY:
            assert pair is not None
            keeps_to_rules = are_apart(pair.first, pair.second, rules.groups)
            return keeps_to_rules or (are_apart(pair.first, pair.second, None) and not around)
        case _:
            return False


def _leads_on(costed: Costed, primary: Path, *, without: set[int]) -> bool:
    """Tell whether networkx finds a way between the ends of ``primary`` without these nodes, other than ``primary``."""
    graph, costs = costed
    usable = np.isfinite(costs)
    other: nx.DiGraph[int] = nx.DiGraph()
    other.add_nodes_from(range(graph.node_count))
    other.add_edges_from(zip(graph.tails[usable].tolist(), graph.heads[usable].tolist(), strict=True))
    other.remove_nodes_from(without)
    if not primary.relays:
        other.remove_edge(*primary.nodes)
    return nx.has_path(other, primary.nodes[0], primary.nodes[-1])


def _from_graphml(file: FilePath) -> Costed:
    """Return the network in ``file``, each link both ways at its round trip by distance."""
    network = nx.read_graphml(file)
    numbers = {name: number for number, name in enumerate(network)}
    places = np.array(
        [(facts.get("Latitude", np.nan), facts.get("Longitude", np.nan)) for _, facts in network.nodes(data=True)]
    )
    links = {}
    for one, other in network.edges():
        here, there = numbers[one], numbers[other]
        if here != there:
            km = float(great_circle_km(*places[here], *places[there]))
            links[here, there] = links[there, here] = _LEAST_MS + (0.0 if np.isnan(km) else km * _RTT_MS_PER_KM)
    return linked(len(numbers), links)


def _tell_times(figures: Figures, name: str, spent_ms: list[float]) -> None:
    figures.tell(name, statistics.median(spent_ms), "ms", note=f"max {max(spent_ms):.3g}")


def _pairs(count: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Yield random pairs of different nodes, the same ones every time."""
    chance = np.random.default_rng((_SEED, count))
    for _ in range(wanted):
        source, target = chance.choice(count, 2, replace=False).tolist()
        yield source, target


def _same(ours: float | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return abs(ours - theirs) <= _ROUNDING_RATIO * theirs


if __name__ == "__main__":
    main()
