"""The path whose narrowest link is widest, among those that are cheap enough."""

import numpy as np

from routing.paths.graph import Floats, LinkGraph, Path
from routing.paths.k_best import k_best


def widest(
    graph: LinkGraph,
    widths: Floats,
    prices: Floats,
    source: int,
    target: int,
    *,
    price_limit: float = np.inf,
    relay_limit: int,
) -> Path | None:
    """Return, of the paths that cost at most ``price_limit`` in all, one whose narrowest link is widest; None: none is.

    Of several as wide it is the cheapest. ``widths`` and ``prices`` are by link, a width of 0 is no link. Exact: the
    widest width at which a path is still cheap enough is found by bisection over the widths that occur.
    """

    def cheapest(width: float) -> Path | None:
        wide = np.where((widths >= width) & (widths > 0), prices, np.inf)
        found = k_best(graph, wide, source, target, count=1, relay_limit=relay_limit)
        return found[0] if found and found[0].cost <= price_limit else None

    steps = np.unique(widths[widths > 0])
    best: Path | None = None
    low, high = 0, len(steps)
    while low < high:
        middle = (low + high) // 2
        found = cheapest(float(steps[middle]))
        if found is None:
            high = middle
        else:
            best, low = found, middle + 1
    return best
