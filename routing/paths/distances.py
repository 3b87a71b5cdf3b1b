"""Least costs from nodes to a target: over any number of links, over few links, and as a table that follows changes.

Pure. One search over all links is scipy's; what a change of one link does to a table is worked out here.
"""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from routing.paths.graph import Floats, Ints, LinkGraph

# Two sums of the same costs, added in another order, differ by a few units in the last place. Below this share of
# either they count as equal; a row taken for affected by mistake is only worked out once more.
_EQUAL_RATIO = 1e-9


def distances_to(graph: LinkGraph, costs: Floats, target: int) -> Floats:
    """Return, by node, the least cost from it to ``target`` over any number of links; inf: out of reach."""
    return np.asarray(dijkstra(_towards_tails(graph, costs), indices=target), dtype=np.float64)


def distances_from(graph: LinkGraph, costs: Floats, source: int) -> Floats:
    """Return, by node, the least cost from ``source`` to it over any number of links; inf: out of reach."""
    links = csr_array((costs, graph.heads, graph.starts), shape=(graph.node_count, graph.node_count))
    return np.asarray(dijkstra(links, indices=source), dtype=np.float64)


def distances_within(graph: LinkGraph, costs: Floats, target: int, links: int) -> list[Floats]:
    """Return, for 0, 1, .. ``links`` links, by node the least cost to ``target`` over at most so many; inf: none.

    A few passes over all links: faster than a search where few links are allowed, and it is the limit that counts.
    """
    here = np.full(graph.node_count, np.inf)
    here[target] = 0.0
    found = [here]
    if links:
        found.append(_over_one(graph, costs, target))
    # reduceat needs a link at every start: nodes without links are left out and keep what they have.
    ends = np.flatnonzero(graph.starts[1:] > graph.starts[:-1])
    starts = graph.starts[ends]
    for _ in range(links - 1):
        nearer = found[-1].copy()
        if len(starts):
            nearer[ends] = np.minimum(nearer[ends], np.minimum.reduceat(costs + nearer[graph.heads], starts))
        found.append(nearer)
    return found


class DistanceTable:
    """The least costs between all pairs of nodes, kept while links change: 8 bytes a pair.

    Sums are added up in another order after a change than in a new table, so the two agree to about one part in 10^12,
    not bit by bit.
    """

    def __init__(self, graph: LinkGraph, costs: Floats) -> None:
        """Work the table out. ``costs`` is by link, >= 0, inf where it must not be used; it is copied."""
        self._graph = graph
        self._costs = costs.copy()
        self._matrix = _towards_tails(graph, self._costs)
        # Where each link's cost is in the matrix, which is ordered by head.
        self._places: Ints = np.empty(graph.link_count, dtype=np.int64)
        self._places[_by_head(graph)] = np.arange(graph.link_count)
        # By target, then source: what is asked for lies side by side.
        self._table = np.asarray(dijkstra(self._matrix), dtype=np.float64).reshape(graph.node_count, graph.node_count)

    def to(self, target: int) -> Floats:
        """Return, by node, the least cost from it to ``target``; inf: out of reach. The caller's to keep."""
        return np.array(self._table[target])

    def change(self, link: int, cost: float) -> None:
        """Take in that ``link`` costs ``cost`` from now on. The work is as large as what depends on the link."""
        before = float(self._costs[link])
        if cost == before:
            return
        tail, head = int(self._graph.tails[link]), int(self._graph.heads[link])
        self._costs[link] = cost
        self._matrix.data[self._places[link]] = cost
        if cost < before:
            self._let_in(tail, head, cost)
        else:
            self._work_out_again(self._targets_over(tail, head, before))

    def _let_in(self, tail: int, head: int, cost: float) -> None:
        """Go over the link wherever that is now cheaper: whoever gains has its tail gain too."""
        gaining = np.flatnonzero(self._table[:, head] + cost < self._table[:, tail])
        over = self._table[gaining, head][:, None] + (cost + self._table[tail])
        self._table[gaining] = np.minimum(self._table[gaining], over)

    def _targets_over(self, tail: int, head: int, cost: float) -> Ints:
        """Return the targets that ``tail`` reaches over the link at ``cost``, all others being safe from its loss."""
        least, over = self._table[:, tail], self._table[:, head] + cost
        return np.flatnonzero(np.isfinite(over) & (over <= least * (1 + _EQUAL_RATIO)))

    def _work_out_again(self, targets: Ints) -> None:
        if len(targets):
            self._table[targets] = dijkstra(self._matrix, indices=targets)


def _over_one(graph: LinkGraph, costs: Floats, target: int) -> Floats:
    """Return the least cost over at most one link: only the target's own links count, so no pass is needed."""
    into = np.flatnonzero(graph.heads == target)
    nearer = np.full(graph.node_count, np.inf)
    nearer[graph.tails[into]] = costs[into]
    nearer[target] = 0.0
    return nearer


def _by_head(graph: LinkGraph) -> Ints:
    """Return the links ordered by head, then tail."""
    order: Ints = np.argsort(graph.heads, kind="stable")
    return order


def _towards_tails(graph: LinkGraph, costs: Floats) -> csr_array:
    """Return the links turned round, so that a search from a target runs towards those who want to reach it.

    A link that costs 0 stays a link: scipy takes a stored zero for one. One that costs inf leads nowhere.
    """
    order = _by_head(graph)
    starts = np.searchsorted(graph.heads[order], np.arange(graph.node_count + 1))
    # Narrow numbers are what scipy works with; given wide ones it would copy them at every call.
    places = graph.tails[order].astype(np.int32), starts.astype(np.int32)
    return csr_array((costs[order], *places), shape=(graph.node_count, graph.node_count))
