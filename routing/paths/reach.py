"""How few links lie between a node and every other, by usable links only."""

import numpy as np

from routing.estimate.table import Bools
from routing.paths.graph import Ints, LinkGraph

UNREACHABLE = -1


def fewest_links(graph: LinkGraph, usable: Bools, start: int, *, backward: bool = False) -> Ints:
    """Return, by node, over how few of the ``usable`` links it is reached from ``start``; -1 where it is not.

    ``backward``: over how few links ``start`` is reached from it.
    """
    found = np.full(graph.node_count, UNREACHABLE, dtype=np.int64)
    found[start] = 0
    ends = graph.tails[usable], graph.heads[usable]
    tails, heads = reversed(ends) if backward else ends
    links = 0
    while True:
        links += 1
        fresh = heads[(found[tails] == links - 1) & (found[heads] == UNREACHABLE)]
        if not len(fresh):
            return found
        found[fresh] = links
