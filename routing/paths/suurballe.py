"""Two paths without a common node, as cheap together as any two: Suurballe's, by shortest paths (1974, 1984).

The second search may go back along the first path's links, and so undo them: taking the cheapest path away and looking
again would find no second one where the cheapest lies across both. Every node is split into a way in and a way out
with one link between, so that what the two paths may not share, a node, becomes a link.
"""

from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from routing.paths.apart import DisjointPair
from routing.paths.graph import Floats, Ints, LinkGraph, Path


def cheapest_apart(graph: LinkGraph, costs: Floats, source: int, target: int) -> DisjointPair | None:
    """Return the two paths that share no node but their ends and cost least together, the cheaper first.

    None where there are no two. A direct link counts as one path; it is apart from every other. ``source`` and
    ``target`` differ; ``costs`` is by link, >= 0, inf where it must not be used.
    """
    usable = np.isfinite(costs) & (graph.heads != source) & (graph.tails != target)
    tails, heads, steps = graph.tails[usable], graph.heads[usable], costs[usable]
    shape = (graph.node_count, graph.node_count)
    least, before = dijkstra(csr_array((steps, (tails, heads)), shape=shape), indices=source, return_predecessors=True)
    if not np.isfinite(least[target]):
        return None
    first = _followed(before, source, target)
    second = _second(tails, heads, steps, least, first)
    if second is None:
        return None
    one, other = (Path.along(graph, costs, nodes) for nodes in _untangled(first, second, graph.node_count))
    return DisjointPair.of(one, other)


def _second(tails: Ints, heads: Ints, steps: Floats, least: Floats, first: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the second path over split nodes: v is the way into node v, v + n the way out; None: there is none."""
    count = len(least)
    reached = np.flatnonzero(np.isfinite(least[tails]))
    tails, heads = tails[reached], heads[reached]
    # What each link costs beyond the cheapest way to its head: 0 along the first path, so 0 back again, too.
    extra = np.maximum(steps[reached] + least[tails] - least[heads], 0.0)
    after = np.full(count, -1)
    after[list(first[:-1])] = first[1:]
    on_first = after[tails] == heads
    inside = np.arange(count)
    passed = np.zeros(count, dtype=np.bool_)
    passed[list(first[1:-1])] = True
    starts = (tails + count, inside)
    ends = (heads, inside + count)
    turned = (on_first, passed)
    rows = [np.where(turn, end, start) for start, end, turn in zip(starts, ends, turned, strict=True)]
    columns = [np.where(turn, start, end) for start, end, turn in zip(starts, ends, turned, strict=True)]
    # A stored zero is a link to scipy; what is not stored is none.
    split = csr_array(
        (np.concatenate([extra, np.zeros(count)]), (np.concatenate(rows), np.concatenate(columns))),
        shape=(2 * count, 2 * count),
    )
    source, target = first[0] + count, first[-1]
    reach, before = dijkstra(split, indices=source, return_predecessors=True)
    return _followed(before, source, target) if np.isfinite(reach[target]) else None


def _followed(before: Ints, source: int, target: int) -> tuple[int, ...]:
    """Return the nodes from ``source`` to ``target``, given which comes before each."""
    nodes = [target]
    while nodes[-1] != source:
        nodes.append(int(before[nodes[-1]]))
    return tuple(reversed(nodes))


def _untangled(first: tuple[int, ...], second: tuple[int, ...], count: int) -> list[tuple[int, ...]]:
    """Return the two paths that are left where ``second`` has undone links of ``first`` by going back along them."""
    links = set(pairwise(first))
    for here, there in pairwise(second):
        if here % count == there % count:
            continue
        if here >= count:
            links.add((here - count, there))
        else:
            links.remove((there - count, here))
    source, target = first[0], first[-1]
    onward = {tail: head for tail, head in links if tail != source}
    found = []
    for _, node in sorted(link for link in links if link[0] == source):
        nodes = [source, node]
        while nodes[-1] != target:
            nodes.append(onward[nodes[-1]])
        found.append(tuple(nodes))
    return found
