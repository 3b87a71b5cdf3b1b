"""How few links lie between a node and every other, by usable links only."""

import itertools

import numpy as np

from routing.paths.graph import Bools, Ints, LinkGraph

UNREACHABLE = -1


def fewest_links(
    graph: LinkGraph, usable: Bools, start: int, *, backward: bool = False, at_most: int | None = None
) -> Ints:
    """Return, by node, over how few of the ``usable`` links it is reached from ``start``; -1 where it is not.

    ``backward``: over how few links ``start`` is reached from it. ``at_most``: what lies farther is not looked for.
    """
    found = np.full(graph.node_count, UNREACHABLE, dtype=np.int64)
    found[start] = 0
    ends = graph.tails, graph.heads
    tails, heads = reversed(ends) if backward else ends
    # Gathered by link are single bytes by node, which stay in the cache however many links there are.
    newest = found == 0
    for links in itertools.count(1) if at_most is None else range(1, at_most + 1):
        there = np.zeros(graph.node_count, dtype=np.bool_)
        there[heads.compress(newest.take(tails) & usable)] = True
        newest = there & (found == UNREACHABLE)
        if not newest.any():
            break
        found[newest] = links
    return found
