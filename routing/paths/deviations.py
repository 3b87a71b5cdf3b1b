"""Simple paths over any number of nodes, cheapest first: each next one leaves those before it somewhere (Lawler 1972).

The paths still to come are kept in parts that share none: all that begin with certain nodes and do not go on to certain
others. A part is filed under a lower bound, and searched (A*) only when that comes off the heap. Its best path is then
filed in its place, and splits the part where it comes off in turn. Unlike a search over partial paths this stays
polynomial where a long way round leads to a dead end.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from routing.paths.graph import Floats, LinkGraph, Path
from routing.paths.onward import Onward


def deviations(graph: LinkGraph, costs: Floats, source: int, target: int, to_target: Floats) -> Iterator[Path]:
    """Yield every simple path from ``source`` to ``target``, the cheapest first, equal ones by their nodes.

    The ends must differ. ``to_target`` is by node the least cost from there to the target: the search relies on it.
    """
    search = _Search(graph, costs, target, Onward(graph, costs, [to_target]))
    # (least cost, nodes, the part they are the best path of; None: nodes are what a part begins with, unsearched)
    heap: list[tuple[float, tuple[int, ...], _Part, bool]] = []

    def file(part: _Part) -> None:
        least = search.least(part)
        if least is not None:
            heapq.heappush(heap, (least, part.start, part, False))

    file(_Part((source,), 0.0, frozenset()))
    while heap:
        cost, nodes, part, searched = heapq.heappop(heap)
        if searched:
            yield Path(nodes, cost)
            for smaller in search.split(part, nodes):
                file(smaller)
        elif (best := search.best(part)) is not None:
            heapq.heappush(heap, (*best, part, True))


@dataclass(frozen=True, slots=True)
class _Part:
    """All simple paths that begin with ``start``, which costs ``cost``, and go on to none of ``closed``."""

    start: tuple[int, ...]
    cost: float
    closed: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Search:
    graph: LinkGraph
    costs: Floats
    target: int
    onward: Onward

    def least(self, part: _Part) -> float | None:
        """Return what no path of ``part`` is below; None when it is seen at once that it has none."""
        ways = self.onward.ways(part.start[-1])
        for place in count():
            if not ways.reach(place):
                return None
            if ways.heads[place] not in part.closed and ways.heads[place] not in part.start:
                return part.cost + ways.totals[place]
        return None

    def best(self, part: _Part) -> tuple[float, tuple[int, ...]] | None:
        """Return the cheapest path of ``part`` and its cost, of equal ones the first by nodes; None: it has none."""
        # (least cost, nodes, their cost, the cost without the last, the last's place among its siblings)
        heap: list[tuple[float, tuple[int, ...], float, float, int]] = []
        done = set(part.start)

        def file(nodes: tuple[int, ...], cost: float, place: int, closed: frozenset[int]) -> None:
            ways = self.onward.ways(nodes[-1])
            while ways.reach(place):
                head = ways.heads[place]
                if head not in done and head not in closed:
                    entry = (cost + ways.totals[place], (*nodes, head), cost + ways.steps[place], cost, place)
                    heapq.heappush(heap, entry)
                    return
                place += 1

        file(part.start, part.cost, 0, part.closed)
        while heap:
            _, nodes, cost, cost_before, place = heapq.heappop(heap)
            if nodes[-1] == self.target:
                return cost, nodes
            fresh = nodes[-1] not in done
            done.add(nodes[-1])
            closed = part.closed if len(nodes) == len(part.start) + 1 else frozenset()
            file(nodes[:-1], cost_before, place + 1, closed)
            if fresh:
                file(nodes, cost, 0, frozenset())
        return None

    def split(self, part: _Part, best: tuple[int, ...]) -> Iterator[_Part]:
        """Yield what is left of ``part`` without its ``best`` path: those that leave it at each of its nodes."""
        cost = part.cost
        for place in range(len(part.start), len(best)):
            closed = frozenset({best[place]})
            start = best[:place]
            yield _Part(start, cost, closed | part.closed if place == len(part.start) else closed)
            link = self.graph.link(best[place - 1], best[place])
            assert link is not None
            cost += float(self.costs[link])
