"""The ways on from a node towards a target, the best first, put in order only as far as anybody asks."""

from bisect import bisect_left
from collections.abc import Sequence
from math import inf

import numpy as np

from routing.paths.graph import Floats, Ints, LinkGraph

# How many ways are put in order at first. A search seldom asks for more, and a node of a mesh has thousands.
_FIRST = 16


class Ways:
    """Links that lead on from one node: where to, what each costs, and the least that it costs to the target with it.

    In order of that least, equal ones by node; ``heads``, ``steps`` and ``totals`` hold the first of them, as far as
    ``reach`` was asked. Links whose least is inf lead nowhere and are none.
    """

    __slots__ = ("_all", "_wanted", "heads", "steps", "totals")

    def __init__(self, heads: Ints, steps: Floats, totals: Floats) -> None:
        """Take the links, ordered by head."""
        self.heads: list[int] = []
        self.steps: list[float] = []
        self.totals: list[float] = []
        self._all: tuple[Ints, Floats, Floats] | None = (heads, steps, totals)
        self._wanted = _FIRST

    def reach(self, place: int) -> bool:
        """Tell whether there are more than ``place`` ways, and put them in order so far."""
        while place >= len(self.heads):
            if self._all is None:
                return False
            self._put_in_order(*self._all)
        return True

    def _put_in_order(self, heads: Ints, steps: Floats, totals: Floats) -> None:
        """Put twice as many in order as before. The first ones stay what they were, so starting over costs no more."""
        if self._wanted < len(totals):
            # Whatever ties with the last of them comes along, or equal ways could come out of order.
            nearest = (totals <= np.partition(totals, self._wanted)[self._wanted]).nonzero()[0]
            order = nearest[totals[nearest].argsort(kind="stable")]
        else:
            order = totals.argsort(kind="stable")
        self.totals = totals[order].tolist()
        finite = bisect_left(self.totals, inf)
        if finite < len(order) or len(order) == len(totals):
            self._all = None
        self.totals, order = self.totals[:finite], order[:finite]
        self.heads, self.steps = heads[order].tolist(), steps[order].tolist()
        self._wanted *= 2


class Onward:
    """The ways on from every node of a graph, each worked out when it is first asked for."""

    def __init__(self, graph: LinkGraph, costs: Floats, bounds: Sequence[Floats]) -> None:
        """Take the costs by link, and ``bounds``: one array or more, by node the least cost from there on."""
        self._graph = graph
        self._costs = costs
        self._bounds = bounds
        self._known: dict[tuple[int, int], Ways] = {}

    def ways(self, node: int, bound: int = 0) -> Ways:
        """Return the ways on from ``node``, by what the ``bound``-th array says of their heads."""
        known = self._known.get((node, bound))
        if known is None:
            start, end = self._graph.starts[node], self._graph.starts[node + 1]
            heads, steps = self._graph.heads[start:end], self._costs[start:end]
            known = self._known[node, bound] = Ways(heads, steps, steps + self._bounds[bound][heads])
        return known
