"""The cheapest two paths apart, under a limit on relays or with groups that they may not share.

Without either this is a flow problem, solved at once (``suurballe``). With them it is NP-hard in general (Itai, Perl
and Shiloach 1982 for the limit, Hu 2003 for groups), and small where routes are short: first paths are tried cheapest
first, each with its best partner, until the first alone costs half of the best pair. What a pair costs without the
rules is a bound from below, links that no better pair goes over are left out, and so are relays that leave no partner
for anybody.
"""

from dataclasses import dataclass, field

import numpy as np

from routing.paths.apart import DisjointPair, Rules, without
from routing.paths.distances import distances_from, distances_to
from routing.paths.graph import Bools, Floats, LinkGraph, Path
from routing.paths.k_best import cheapest_first, k_best

# Room for rounding where a bound is held against a sum that was added up in another order.
_ROUNDING_RATIO = 1e-9


@dataclass(slots=True, kw_only=True)
class PairSearch:
    """A search for the cheapest pair under the rules, which may look for a partner ``work_left`` times more."""

    graph: LinkGraph
    costs: Floats
    source: int
    target: int
    rules: Rules
    work_left: int
    best: DisjointPair | None = None
    _tried: set[tuple[int, ...]] = field(default_factory=set)

    def run(self, at_least: float) -> bool:
        """Look for the cheapest pair, which costs ``at_least`` so much, and leave it in ``best``.

        Returns False when the search stopped before it knew: there may then be a cheaper pair, or one at all.
        """
        while self.work_left > 0:
            if self._pass(at_least):
                return True
        return False

    def _pass(self, at_least: float) -> bool:
        """Try first paths. True: there is nothing more to gain; False: the links got fewer, or the work is used up."""
        for first in cheapest_first(
            self.graph, self.costs, self.source, self.target, relay_limit=self.rules.relay_limit
        ):
            if self.best is not None and self.best.cost <= max(2 * first.cost, at_least * (1 + _ROUNDING_RATIO)):
                return True
            if first.nodes in self._tried:
                continue
            self._tried.add(first.nodes)
            partner = self._partner(first)
            if partner is None:
                if not first.relays:
                    # Whatever pair there were, either of it would be a partner for the direct link.
                    return True
                if self._leave_out_hopeless(first):
                    return False
            elif self.best is None or first.cost + partner.cost < self.best.cost:
                self.best = DisjointPair.of(first, partner)
                self._leave_out_dear()
                return False
            if self.work_left <= 0:
                return False
        return True

    def _partner(self, first: Path) -> Path | None:
        """Return the cheapest path apart from ``first``."""
        self.work_left -= 1
        left = without(self.graph, self.costs, first, self.rules.groups)
        found = k_best(self.graph, left, self.source, self.target, count=1, relay_limit=self.rules.relay_limit)
        return found[0] if found else None

    def _leave_out_hopeless(self, first: Path) -> bool:
        """Leave out the relays of ``first`` that alone leave no partner: no pair holds one. Tell whether any is."""
        alone = {relay: Path((self.source, relay, self.target), first.cost) for relay in first.relays}
        hopeless = [relay for relay, path in alone.items() if self._partner(path) is None]
        gone = np.isin(self.graph.tails, hopeless) | np.isin(self.graph.heads, hopeless)
        self._keep(~gone)
        return bool(hopeless)

    def _leave_out_dear(self) -> None:
        """Leave out the links over which every path costs more than either path of a better pair may."""
        assert self.best is not None
        to_target = distances_to(self.graph, self.costs, self.target)
        from_source = distances_from(self.graph, self.costs, self.source)
        most = (self.best.cost - to_target[self.source]) * (1 + _ROUNDING_RATIO)
        self._keep(from_source[self.graph.tails] + self.costs + to_target[self.graph.heads] <= most)

    def _keep(self, links: Bools) -> None:
        self.costs = self.costs[links]
        self.graph = LinkGraph.in_order(self.graph.node_count, self.graph.tails[links], self.graph.heads[links])
