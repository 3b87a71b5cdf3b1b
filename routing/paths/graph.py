"""A directed graph as arrays: links are numbered, and the links of one node lie side by side.

Names stay outside. Costs are no part of the graph: they are an array beside it, one number a link, so that one graph
serves every set of weights and every rule (a forbidden link costs ``inf``).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkGraph:
    """Nodes 0..node_count-1 and links 0..m-1, ordered by tail, then head; at most one link a pair.

    ``tails`` and ``heads`` have a node a link; the links that leave ``v`` are ``starts[v]:starts[v + 1]``.
    """

    node_count: int
    tails: Ints
    heads: Ints
    starts: Ints

    @classmethod
    def of(cls, node_count: int, links: Iterable[tuple[int, int]]) -> Self:
        """Return the graph with these (tail, head) links; the order given does not matter, doubles count once."""
        pairs = np.array(sorted(set(links)), dtype=np.int64).reshape(-1, 2)
        return cls.from_arrays(node_count, pairs[:, 0], pairs[:, 1])

    @classmethod
    def from_arrays(cls, node_count: int, tails: Ints, heads: Ints) -> Self:
        """Return the graph with these links, which must be unique; they are put into order here."""
        order = np.lexsort((heads, tails))
        return cls.in_order(node_count, tails[order], heads[order])

    @classmethod
    def in_order(cls, node_count: int, tails: Ints, heads: Ints) -> Self:
        """Return the graph with these links, which must be unique and in order already."""
        starts = np.searchsorted(tails, np.arange(node_count + 1))
        return cls(node_count=node_count, tails=tails, heads=heads, starts=starts.astype(np.int64))

    @property
    def link_count(self) -> int:
        """How many links there are."""
        return len(self.heads)

    def link(self, tail: int, head: int) -> int | None:
        """Return the number of the link from ``tail`` to ``head``, None when there is none."""
        start, end = int(self.starts[tail]), int(self.starts[tail + 1])
        place = start + int(np.searchsorted(self.heads[start:end], head))
        return place if place < end and self.heads[place] == head else None


@dataclass(frozen=True, slots=True)
class Path:
    """Nodes from source to target, and the sum of the costs of the links between them."""

    nodes: tuple[int, ...]
    cost: float

    @classmethod
    def along(cls, graph: LinkGraph, costs: Floats, nodes: tuple[int, ...]) -> Self:
        """Return the path over ``nodes``, its cost summed from the source on; inf where a link is missing."""
        links = (graph.link(tail, head) for tail, head in pairwise(nodes))
        return cls(nodes, sum((math.inf if link is None else float(costs[link]) for link in links), 0.0))

    @property
    def relays(self) -> tuple[int, ...]:
        """The nodes between source and target."""
        return self.nodes[1:-1]
