"""The cheapest simple paths, exactly, with or without a limit on relays.

Under a limit, best-first over partial paths: each is filed under what it costs so far plus the least that can still
come, so complete paths come off the heap in order. The least that can come is known exactly, by node and links left,
from a few passes over all links; on a path of so few links little is ever tried in vain. Siblings are filed one after
the other, when their elder comes off, so that a node of a thousand neighbours costs one.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from routing.paths.deviations import deviations
from routing.paths.distances import distances_to, distances_within
from routing.paths.graph import Floats, LinkGraph, Path
from routing.paths.onward import Onward


def k_best(
    graph: LinkGraph,
    costs: Floats,
    source: int,
    target: int,
    *,
    count: int,
    relay_limit: int | None = None,
    to_target: Floats | None = None,
) -> tuple[Path, ...]:
    """Return the ``count`` cheapest simple paths, as ``cheapest_first`` yields them; fewer where there are no more."""
    paths = cheapest_first(graph, costs, source, target, relay_limit=relay_limit, to_target=to_target)
    return tuple(islice(paths, count))


def cheapest_first(
    graph: LinkGraph,
    costs: Floats,
    source: int,
    target: int,
    *,
    relay_limit: int | None = None,
    to_target: Floats | None = None,
) -> Iterator[Path]:
    """Yield the simple paths with at most ``relay_limit`` nodes between ``source`` and ``target`` (None: any number).

    Cheapest first, equal ones by their nodes. ``costs`` is by link, >= 0, inf where it must not be used; the one
    path from a node to itself is that node. ``to_target`` is by node the least cost from there to the target over any
    number of links, where the caller has it (a ``DistanceTable`` keeps it): it saves passes over all links.
    """
    if source == target:
        yield Path((source,), 0.0)
        return
    if relay_limit is None:
        known = distances_to(graph, costs, target) if to_target is None else to_target
        yield from deviations(graph, costs, source, target, known)
        return
    bounds = _bounds(graph, costs, target, relay_limit, to_target)
    search = _Search(graph, costs, target, Onward(graph, costs, bounds), relay_limit + 2)
    search.file(0.0, (source,), 0)
    while search.heap:
        _, nodes, cost, cost_before, place = heapq.heappop(search.heap)
        search.file(cost_before, nodes[:-1], place + 1)
        if nodes[-1] == target:
            yield Path(nodes, cost)
        else:
            search.file(cost, nodes, 0)


@dataclass(slots=True)
class _Search:
    graph: LinkGraph
    costs: Floats
    target: int
    onward: Onward  # its bounds: the least cost from each node to the target over at most one link, two links, ...
    nodes_at_most: int
    # (least total, nodes so far, their cost, the cost without the last, the last's place among its siblings)
    heap: list[tuple[float, tuple[int, ...], float, float, int]] = field(default_factory=list)

    def file(self, cost: float, nodes: tuple[int, ...], place: int) -> None:
        """Put the best way on from ``nodes`` on the heap that is not before ``place``, if there is one."""
        links_left = self.nodes_at_most - len(nodes)
        if links_left == 1:
            if place == 0:
                self._file_last(cost, nodes)
            return
        ways = self.onward.ways(nodes[-1], links_left - 2)
        while ways.reach(place):
            head = ways.heads[place]
            if head not in nodes:
                entry = (cost + ways.totals[place], (*nodes, head), cost + ways.steps[place], cost, place)
                heapq.heappush(self.heap, entry)
                return
            place += 1

    def _file_last(self, cost: float, nodes: tuple[int, ...]) -> None:
        """Put the one link on the heap that is left to look at, if it is there: straight to the target."""
        link = self.graph.link(nodes[-1], self.target)
        if link is not None and np.isfinite(self.costs[link]):
            total = cost + float(self.costs[link])
            heapq.heappush(self.heap, (total, (*nodes, self.target), total, cost, 0))


def _bounds(graph: LinkGraph, costs: Floats, target: int, relay_limit: int, to_target: Floats | None) -> list[Floats]:
    """Return, by how many links are left after the next (1 first), the least cost from each node to ``target``."""
    if relay_limit == 0:
        return []
    if to_target is None:
        return distances_within(graph, costs, target, relay_limit)[1:]
    return [*distances_within(graph, costs, target, 1)[1:], *[to_target] * (relay_limit - 1)]
