"""What a link costs, in milliseconds the operator would pay: the additive score of S1, for arrays of links.

Pure. A route's cost is the sum over its links plus what its relays, price and risk cost, so the cheapest path of a
graph with these costs is the route of the largest preference.
"""

from dataclasses import dataclass

import numpy as np

from routing.estimate.table import LinkEstimates
from routing.paths.graph import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What each property is worth. ``delay`` = 1 fixes the scale: every term is in milliseconds of round trip.

    ``loss`` and ``jitter`` are factors; ``hops`` is ms per relay; ``price`` is ms per USD/GB; ``risk`` is ms per point
    of risk that an admin gave to a relay. ``loss_scale_ms`` is what losing a packet costs (one retransmission timeout).
    A route that loses more than ``loss_limit_ratio`` is unusable, whatever else is true of it.
    """

    delay: float = 1.0
    loss: float = 1.0
    jitter: float = 1.0
    hops: float = 5.0
    price: float = 0.0
    risk: float = 0.0
    loss_scale_ms: float = 200.0
    loss_limit_ratio: float = 0.5


# Two deviations up from the middle is where the slow requests live.
JITTER_DEVIATIONS = 2.0


def link_costs_ms(links: LinkEstimates, weights: Weights) -> Floats:
    """Return each link's cost by delay, loss and jitter; inf where it is dead, unknown or loses beyond the limit."""
    usable = ~links.dead & ~np.isnan(links.rtt_ms) & (links.loss_ratio <= weights.loss_limit_ratio)
    cost_ms = (
        weights.delay * links.rtt_ms
        # log1p keeps tiny losses exact, where log(1 - p) would round them away.
        - weights.loss * weights.loss_scale_ms * np.log1p(-np.minimum(links.loss_ratio, 1 - 1e-12))
        + weights.jitter * JITTER_DEVIATIONS * links.jitter_ms
    )
    return np.where(usable, cost_ms, np.inf)
