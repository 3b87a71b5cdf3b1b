"""What a link costs, in milliseconds the operator would pay: the additive score of S1, for arrays of links.

Pure. A route's cost is the sum over its links plus what its relays, price and risk cost, so the cheapest path of a
graph with these costs is the route of the largest preference.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


# RFC 3449's reading of Mathis et al. (1997): a TCP connection that loses a share p of its packets carries at most
# MSS * 1.22 / (RTT * sqrt(p)). Every hop of a tunnel is such a connection of its own.
_SEGMENT_BITS = 1460 * 8
_MATHIS = 1.22
# What an SSH channel keeps in flight.
_WINDOW_BITS = 8 * 2**20 * 8


def throughput_mbps(rtt_ms: npt.ArrayLike, loss_ratio: npt.ArrayLike, capacity_mbps: npt.ArrayLike = np.inf) -> Floats:
    """Return what a hop carries, in Mbit/s: the least of what loss, the window and the declared capacity allow.

    A model, not a measurement: right enough to compare hops, which is all it is used for.
    """
    rtt_s = np.maximum(np.asarray(rtt_ms, dtype=np.float64), 0.01) / 1000
    with np.errstate(divide="ignore"):
        by_loss = _SEGMENT_BITS * _MATHIS / (rtt_s * np.sqrt(np.asarray(loss_ratio, dtype=np.float64)))
    return np.minimum(np.minimum(by_loss, _WINDOW_BITS / rtt_s) / 1e6, capacity_mbps)


def transfer_ms_per_mb(mbps: npt.ArrayLike) -> Floats:
    """Return the cost of a throughput in ms: how long a megabyte takes."""
    return 8000.0 / np.asarray(mbps, dtype=np.float64)
