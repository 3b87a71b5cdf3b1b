"""How fast the k cheapest paths are found, and that they are the right ones: ``python -m tests.bench.enumerate``.

Exactness is held against networkx (any number of relays) and against trying every path (under a limit), on full meshes,
sparse graphs and operators' networks from a seed. Times are of one search for k = 10, from random pairs.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from itertools import islice

import networkx as nx
import numpy as np

from routing.paths.distances import DistanceTable
from routing.paths.graph import Floats, LinkGraph
from routing.paths.k_best import k_best
from tests.support.figures import Figures
from tests.support.graphs import all_simple_paths, full_mesh, large_sparse, operator_network, sparse

_K = 10
_SEED = 20
# What production allows by default, and the most it is asked for.
_RELAY_LIMITS = (3, 4)
_PAIRS_AGAINST_NETWORKX = 12
_PAIRS_OF_NETWORKX_TIMED = 7
_PAIRS_BY_TRIAL = 6
_PAIRS_TIMED = 200
_CHANGES_TIMED = 200
_ROUNDING_RATIO = 1e-9


def main() -> None:
    """Compare, measure and print."""
    figures, _ = Figures.from_arguments(argparse.ArgumentParser(description=__doc__))
    compare_with_networkx(figures)
    compare_with_trial(figures)
    time_meshes(figures)
    time_table(figures)
    time_sparse(figures)


def compare_with_networkx(figures: Figures) -> None:
    """Count the searches of which one of the k lengths differs, for graphs of up to 60 nodes."""
    wrong, searches = 0, 0
    spent_s = [0.0, 0.0]
    for kind in (full_mesh, sparse, operator_network):
        for count in (10, 30, 60):
            graph, costs = kind(count, _SEED)
            table = DistanceTable(graph, costs)
            other = _as_networkx(graph, costs)
            for source, target in _pairs(count, _PAIRS_AGAINST_NETWORKX):
                started_s = time.perf_counter()
                ours = k_best(graph, costs, source, target, count=_K, to_target=table.to(target))
                middle_s = time.perf_counter()
                theirs = _by_networkx(other, source, target)
                spent_s = [spent_s[0] + middle_s - started_s, spent_s[1] + time.perf_counter() - middle_s]
                wrong += not _same([path.cost for path in ours], theirs)
                searches += 1
    figures.tell("mismatches_networkx", wrong, "searches", ("==", 0), note=f"of {searches}, n <= 60, k = {_K}")
    figures.tell("networkx_time_ratio", spent_s[1] / spent_s[0], "times ours", note="same searches, same run")
    graph, costs = full_mesh(200, _SEED)
    other = _as_networkx(graph, costs)
    spent_ms = []
    for source, target in _pairs(200, _PAIRS_OF_NETWORKX_TIMED):
        started_s = time.perf_counter()
        _by_networkx(other, source, target)
        spent_ms.append(_ms_since(started_s))
    _tell_times(figures, "mesh_200_networkx_p50", spent_ms)


def compare_with_trial(figures: Figures) -> None:
    """Count the searches under a limit on relays that differ from trying every path."""
    wrong, searches = 0, 0
    # As many nodes as can be tried completely: 48 x 47 ways over two relays, and 16 x 15 x 14 over three, are few.
    for kind, count, limit in (
        (full_mesh, 60, 1),
        (full_mesh, 50, 2),
        (full_mesh, 18, 3),
        (full_mesh, 12, 4),
        (sparse, 60, 4),
        (operator_network, 60, 4),
    ):
        graph, costs = kind(count, _SEED)
        table = DistanceTable(graph, costs)
        for source, target in _pairs(count, _PAIRS_BY_TRIAL):
            wanted = all_simple_paths(graph, costs, source, target, limit)[:_K]
            for to_target in (None, table.to(target)):
                found = k_best(graph, costs, source, target, count=_K, relay_limit=limit, to_target=to_target)
                wrong += not _same([path.cost for path in found], [path.cost for path in wanted])
                searches += 1
    figures.tell("mismatches_trial", wrong, "searches", ("==", 0), note=f"of {searches}, 1 to 4 relays")


def time_meshes(figures: Figures) -> None:
    """Time searches in full meshes, with the table kept, and as production searches: under a limit, without one."""
    for count, limit_ms in ((200, 1.0), (1000, 2.0)):
        graph, costs = full_mesh(count, _SEED)
        table = DistanceTable(graph, costs)
        name = f"mesh_{count}"
        _tell_times(figures, f"{name}_p50", _timed(graph, costs, None, table), limit_ms)
        for limit in _RELAY_LIMITS:
            _tell_times(figures, f"{name}_limit_{limit}_p50", _timed(graph, costs, limit, table), limit_ms)
            _tell_times(figures, f"{name}_limit_{limit}_no_table_p50", _timed(graph, costs, limit, None))


def time_table(figures: Figures) -> None:
    """Time what one changed link costs the table of a mesh of 200: half of them dearer, half cheaper."""
    graph, costs = full_mesh(200, _SEED)
    started_s = time.perf_counter()
    table = DistanceTable(graph, costs)
    figures.tell("table_200_build", _ms_since(started_s), "ms")
    chance = np.random.default_rng(_SEED)
    spent_ms = []
    for link, ratio in zip(
        chance.integers(graph.link_count, size=_CHANGES_TIMED), chance.uniform(0.1, 1.9, _CHANGES_TIMED), strict=True
    ):
        started_s = time.perf_counter()
        table.change(int(link), float(costs[link] * ratio))
        spent_ms.append(_ms_since(started_s))
    _tell_times(figures, "table_200_change_p50", spent_ms, 50.0)
    # The links of which most depend: a change of one of these is the dearest there is.
    near = np.argsort(costs)[: _CHANGES_TIMED // 4]
    spent_ms = []
    for link in near.tolist():
        started_s = time.perf_counter()
        table.change(link, 1000.0)
        spent_ms.append(_ms_since(started_s))
    _tell_times(figures, "table_200_loss_of_cheapest_p50", spent_ms, 50.0)


def time_sparse(figures: Figures) -> None:
    """Time searches in sparse graphs of 1,000 nodes, and under a limit in one of 10,000 nodes and 250,000 links."""
    for name, kind in (("sparse_1000", sparse), ("operator_1000", operator_network)):
        graph, costs = kind(1000, _SEED)
        table = DistanceTable(graph, costs)
        _tell_times(figures, f"{name}_p50", _timed(graph, costs, None, table))
        _tell_times(figures, f"{name}_no_table_p50", _timed(graph, costs, None, None))
        _tell_times(
            figures, f"{name}_limit_{_RELAY_LIMITS[0]}_no_table_p50", _timed(graph, costs, _RELAY_LIMITS[0], None)
        )
    graph, costs = large_sparse(10_000, 25, _SEED)
    for limit in _RELAY_LIMITS:
        spent_ms = _timed(graph, costs, limit, None)
        _tell_times(figures, f"sparse_10000_limit_{limit}_no_table_p50", spent_ms, links=graph.link_count)


def _timed(graph: LinkGraph, costs: Floats, relay_limit: int | None, table: DistanceTable | None) -> list[float]:
    """Return what each of the searches took in ms."""
    spent_ms = []
    for source, target in _pairs(graph.node_count, _PAIRS_TIMED):
        started_s = time.perf_counter()
        to_target = None if table is None else table.to(target)
        k_best(graph, costs, source, target, count=_K, relay_limit=relay_limit, to_target=to_target)
        spent_ms.append(_ms_since(started_s))
    return spent_ms


def _tell_times(
    figures: Figures, name: str, spent_ms: list[float], limit_ms: float | None = None, *, links: int | None = None
) -> None:
    bar = None if limit_ms is None else ("<=", limit_ms)
    note = f"p99 {sorted(spent_ms)[int(0.99 * len(spent_ms))]:.3g}" + (f", {links} links" if links else "")
    figures.tell(name, statistics.median(spent_ms), "ms", bar, note=note)


def _pairs(count: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Yield random pairs of different nodes, the same ones every time."""
    chance = np.random.default_rng((_SEED, count))
    for _ in range(wanted):
        source, target = chance.choice(count, 2, replace=False).tolist()
        yield source, target


def _same(ours: list[float], theirs: list[float]) -> bool:
    return len(ours) == len(theirs) and bool(np.allclose(ours, theirs, rtol=_ROUNDING_RATIO, atol=0))


def _as_networkx(graph: LinkGraph, costs: Floats) -> "nx.DiGraph[int]":
    other: nx.DiGraph[int] = nx.DiGraph()
    other.add_nodes_from(range(graph.node_count))
    other.add_weighted_edges_from(
        zip(graph.tails.tolist(), graph.heads.tolist(), costs.tolist(), strict=True), weight="cost"
    )
    return other


def _by_networkx(graph: "nx.DiGraph[int]", source: int, target: int) -> list[float]:
    """Return the lengths of its k best paths; none where nothing leads to the target."""
    if not nx.has_path(graph, source, target):
        return []
    paths = islice(nx.shortest_simple_paths(graph, source, target, "cost"), _K)
    return [nx.path_weight(graph, nodes, "cost") for nodes in paths]


def _ms_since(started_s: float) -> float:
    return (time.perf_counter() - started_s) * 1000


if __name__ == "__main__":
    main()
