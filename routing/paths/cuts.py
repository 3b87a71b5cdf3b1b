"""The nodes that every path between two ends goes through."""

import numpy as np

from routing.paths.graph import Floats, LinkGraph, Path


def cut_nodes(graph: LinkGraph, costs: Floats, path: Path) -> tuple[int, ...]:
    """Return the relays of ``path`` without which its source does not reach its target, in the order of the path.

    ``path`` may be any one over usable links (finite costs); whoever is on every path is on this one. All is found in
    one walk: after everything that is reached around the path from its first nodes, the next node is a cut exactly
    when nothing beyond it has been reached yet.
    """
    places = {node: place for place, node in enumerate(path.nodes)}
    seen = set(path.nodes)
    farthest = 0
    cuts = []
    for place, node in enumerate(path.nodes[:-1]):
        if 0 < place == farthest:
            cuts.append(node)
        waiting = [node]
        while waiting:
            tail = waiting.pop()
            start, end = graph.starts[tail], graph.starts[tail + 1]
            for head in graph.heads[start:end][np.isfinite(costs[start:end])].tolist():
                farthest = max(farthest, places.get(head, 0))
                if head not in seen:
                    seen.add(head)
                    waiting.append(head)
    return tuple(cuts)
