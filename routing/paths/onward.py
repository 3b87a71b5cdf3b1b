"""The ways on from a node towards a target, the best first, put in order only as far as anybody asks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from routing.paths.graph import Floats, Ints, LinkGraph

# How many ways are put in order at first. A search seldom asks for more, and a node of a mesh has thousands.
_FIRST = 16


@dataclass(slots=True)
class Ways:
    """Links that lead on from one node: where to, what each costs, and the least that it costs to the target with it.

    In order of that least, equal ones by node.
    """

    heads: list[int] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    _rest: tuple[Ints, Floats, Floats] | None = None

    @classmethod
    def of(cls, heads: Ints, steps: Floats, totals: Floats) -> "Ways":
        """Return the ways by these links; those of total inf lead nowhere and are left out."""
        useful = np.flatnonzero(np.isfinite(totals))
        return cls(_rest=(heads[useful], steps[useful], totals[useful]))

    def reach(self, place: int) -> bool:
        """Tell whether there are more than ``place`` ways, and put them in order so far."""
        while place >= len(self.heads):
            if self._rest is None:
                return False
            self._order_more(self._rest)
        return True

    def _order_more(self, rest: tuple[Ints, Floats, Floats]) -> None:
        heads, steps, totals = rest
        wanted = max(_FIRST, len(self.heads))
        if wanted >= len(totals):
            chosen = np.ones(len(totals), dtype=np.bool_)
        else:
            # Whatever ties with the last of them comes along, or equal ways could come out of order.
            chosen = totals <= np.partition(totals, wanted)[wanted]
        order = np.flatnonzero(chosen)
        order = order[np.argsort(totals[order], kind="stable")]
        self.heads += heads[order].tolist()
        self.steps += steps[order].tolist()
        self.totals += totals[order].tolist()
        left = ~chosen
        self._rest = (heads[left], steps[left], totals[left]) if len(order) < len(totals) else None


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
            known = Ways.of(heads, steps, steps + self._bounds[bound][heads])
            self._known[node, bound] = known
        return known
