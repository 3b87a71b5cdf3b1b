"""Two paths that share no fate: what that means, and what such a pair is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from routing.paths.graph import Floats, LinkGraph, Path

# By node the numbers of the shared-risk groups that it is in: an operator, a building, a cable.
Groups = Sequence[frozenset[int]]


@dataclass(frozen=True, slots=True)
class DisjointPair:
    """Two paths apart, the cheaper first.

    ``proven``: there is no cheaper pair; otherwise the search stopped before it knew.
    """

    first: Path
    second: Path
    proven: bool = True

    @classmethod
    def of(cls, one: Path, other: Path) -> Self:
        """Return the pair of these two."""
        cheaper, dearer = sorted((one, other), key=lambda path: (path.cost, path.nodes))
        return cls(cheaper, dearer)

    @property
    def cost(self) -> float:
        """What both cost together."""
        return self.first.cost + self.second.cost


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of two paths beyond sharing no relay; None asks nothing."""

    relay_limit: int | None
    groups: Groups | None

    def keeps_to(self, path: Path) -> bool:
        """Tell whether ``path`` has few enough relays."""
        return self.relay_limit is None or len(path.relays) <= self.relay_limit

    def shared(self, one: Path, other: Path) -> frozenset[int]:
        """Return the groups that hold relays of both paths."""
        return frozenset() if self.groups is None else groups_of(one, self.groups) & groups_of(other, self.groups)


def groups_of(path: Path, groups: Groups) -> frozenset[int]:
    """Return the groups that hold a relay of ``path``."""
    return frozenset().union(*(groups[relay] for relay in path.relays))


def without(graph: LinkGraph, costs: Floats, path: Path, groups: Groups | None) -> Floats:
    """Return the costs with every link at inf that no path apart from ``path`` goes over.

    Those are the links of its relays and of all relays that share a group with one, and itself where it is direct. The
    ends are nobody's relays.
    """
    source, target = path.nodes[0], path.nodes[-1]
    left = costs.copy()
    if not path.relays:
        link = graph.link(source, target)
        if link is not None:
            left[link] = np.inf
        return left
    barred = np.zeros(graph.node_count, dtype=np.bool_)
    barred[list(path.relays)] = True
    taken = frozenset() if groups is None else groups_of(path, groups)
    if groups is not None and taken:
        barred[[place for place, group in enumerate(groups) if not taken.isdisjoint(group)]] = True
    barred[[source, target]] = False
    left[barred[graph.tails] | barred[graph.heads]] = np.inf
    return left
