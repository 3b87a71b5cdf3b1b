"""The cheapest simple paths that pass certain kinds of nodes on the way."""

import dataclasses

import numpy as np

from routing.paths.graph import Floats, Ints, LinkGraph, Path
from routing.paths.k_best import k_best


def k_best_through(
    graph: LinkGraph, costs: Floats, source: int, target: int, marks: Ints, *, count: int, relay_limit: int
) -> tuple[Path, ...]:
    """Return the ``count`` cheapest simple paths on which every mark occurs, as ``k_best`` does.

    ``marks`` is a bit set a node; every bit that any node has must occur on the way. The graph is laid out once for
    each set of marks met so far: a link leads to the layer in which its head's marks are met too, and only the target
    of the last layer counts. A path there may pass a node twice, once a layer; such are left out, and more are asked
    for until enough are left. Meant for a handful of marks: the work doubles with each.
    """
    wanted = int(np.bitwise_or.reduce(marks))
    # Sets of marks that occur; the others, had they a layer, would lead beyond the last.
    layers = np.array([met for met in range(wanted + 1) if met & ~wanted == 0])[:, None]
    usable = np.flatnonzero(np.isfinite(costs))
    tails = graph.tails[usable] + layers * graph.node_count
    heads = graph.heads[usable] + (layers | marks[graph.heads[usable]]) * graph.node_count
    order = np.lexsort((heads.ravel(), tails.ravel()))
    laid_out = LinkGraph.in_order((wanted + 1) * graph.node_count, tails.ravel()[order], heads.ravel()[order])
    laid_costs = np.tile(costs[usable], len(layers))[order]
    ends = (source, wanted * graph.node_count + target)
    asked = count
    while True:
        found = k_best(laid_out, laid_costs, *ends, count=asked, relay_limit=relay_limit)
        simple = [path for path in (_folded(path, graph.node_count) for path in found) if _is_simple(path)]
        if len(simple) >= count or len(found) < asked:
            return tuple(simple[:count])
        asked *= 2


def _folded(path: Path, node_count: int) -> Path:
    return dataclasses.replace(path, nodes=tuple(place % node_count for place in path.nodes))


def _is_simple(path: Path) -> bool:
    return len(set(path.nodes)) == len(path.nodes)
