"""The k cheapest simple paths under a limit on relays, exactly.

Best-first over partial paths: each is filed under what it costs so far plus the least that can still come, so complete
paths come off the heap in order and the search ends with the last one wanted. The least that can come is known exactly,
by node and links left, from a few relaxations over all links; on a path of so few links little is ever tried in vain.
Siblings are filed one after the other, when their elder comes off, so that a node of a thousand neighbours costs one.
"""

import heapq
from dataclasses import dataclass, field

import numpy as np

from routing.paths.graph import Floats, LinkGraph, Path


def k_best(
    graph: LinkGraph,
    costs: Floats,
    source: int,
    target: int,
    *,
    count: int,
    relay_limit: int,
    to_target: Floats | None = None,
) -> tuple[Path, ...]:
    """Return the ``count`` cheapest simple paths with at most ``relay_limit`` nodes between ``source`` and ``target``.

    Cheapest first, equal ones in a fixed order. ``costs`` is by link, >= 0, inf where it must not be used.
    ``to_target`` is by node the least cost from there to the target over any number of links, where the caller has it:
    it saves the relaxations. Fewer paths come back where there are no more.
    """
    search = _Search(graph, costs, target, _bounds(graph, costs, target, relay_limit, to_target))
    found: list[Path] = []
    search.file(0.0, (source,), 0)
    while search.heap and len(found) < count:
        _, nodes, cost, parent_cost, place = heapq.heappop(search.heap)
        search.file(parent_cost, nodes[:-1], place + 1)
        if nodes[-1] == target:
            found.append(Path(nodes, cost))
        else:
            search.file(cost, nodes, 0)
    return tuple(found)


@dataclass(slots=True)
class _Search:
    graph: LinkGraph
    costs: Floats
    target: int
    bounds: list[Floats]  # by links left: the least cost from each node to the target over so many
    # (least total, nodes so far, their cost, the cost without the last, the last's place among its siblings)
    heap: list[tuple[float, tuple[int, ...], float, float, int]] = field(default_factory=list)
    ordered: dict[tuple[int, int], tuple[list[int], list[float], list[float]]] = field(default_factory=dict)

    def file(self, cost: float, nodes: tuple[int, ...], place: int) -> None:
        """Put the best way on from ``nodes`` on the heap that is not before ``place``, if there is one."""
        links_left = len(self.bounds) - len(nodes)
        heads, steps, totals = self._onward(nodes[-1], links_left)
        for index in range(place, len(heads)):
            if heads[index] not in nodes:
                entry = (cost + totals[index], (*nodes, heads[index]), cost + steps[index], cost, index)
                heapq.heappush(self.heap, entry)
                return

    def _onward(self, node: int, links_left: int) -> tuple[list[int], list[float], list[float]]:
        """Return the heads, costs and least totals of the links that lead on from ``node``, the best first."""
        key = (node, links_left)
        if key not in self.ordered:
            start, end = self.graph.starts[node], self.graph.starts[node + 1]
            heads = self.graph.heads[start:end]
            steps = self.costs[start:end]
            totals = steps + self.bounds[links_left - 1][heads]
            useful = np.flatnonzero(np.isfinite(totals))
            best = useful[np.argsort(totals[useful], kind="stable")]
            self.ordered[key] = (heads[best].tolist(), steps[best].tolist(), totals[best].tolist())
        return self.ordered[key]


def _bounds(graph: LinkGraph, costs: Floats, target: int, relay_limit: int, to_target: Floats | None) -> list[Floats]:
    """Return, by how many links are left (0 first), the least cost from each node to ``target``; inf: out of reach."""
    here = np.full(graph.node_count, np.inf)
    here[target] = 0.0
    if to_target is not None:
        return [here, *[to_target] * (relay_limit + 1)]
    bounds = [here]
    # reduceat needs a link at every start: nodes without links are left out and keep what they have.
    ends = np.flatnonzero(graph.starts[1:] > graph.starts[:-1])
    starts = graph.starts[ends]
    for _ in range(relay_limit + 1):
        nearer = bounds[-1].copy()
        if len(starts):
            nearer[ends] = np.minimum(nearer[ends], np.minimum.reduceat(costs + nearer[graph.heads], starts))
        bounds.append(nearer)
    return bounds
