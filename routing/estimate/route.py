"""What estimates of links add up to for a whole route. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from routing.candidates import Route
from routing.errors import LinkUnmeasured
from routing.estimate.costs import throughput_mbps
from routing.estimate.table import LinkEstimate, LinkName


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRoute:
    """What the links of a route add up to, end to end.

    ``rtt_ms`` and ``jitter_ms`` are sums over links, ``loss_ratio`` is ``1 - prod(1 - p)``, and ``loss_cost``
    is the same loss as a sum over links, ``sum(-ln(1 - p))``. ``rtt_ms`` and ``loss_cost`` are None when some
    link is dead or nobody knows it. ``price_usd_per_gb`` and ``risk`` (points) are sums as well; ``throughput_mbps`` is
    the least of the links' (0 where one is dead).
    """

    route: Route
    rtt_ms: float | None
    jitter_ms: float
    loss_ratio: float
    loss_cost: float | None
    relays: int
    price_usd_per_gb: float
    risk: float
    throughput_mbps: float
    links: tuple[LinkEstimate, ...]


def measured_route(
    route: Route,
    links: Mapping[LinkName, LinkEstimate],
    *,
    gateway: str,
    price_usd_per_gb: float = 0.0,
    risk: float = 0.0,
    capacities_mbps: Sequence[float] | None = None,
) -> MeasuredRoute:
    """Return what ``links`` say about ``route``; ``capacities_mbps`` are those of its links, in order.

    Raises LinkUnmeasured when one of its links is not among ``links``.
    """
    travelled = route.links(gateway)
    for pair in travelled:
        if pair not in links:
            raise LinkUnmeasured(f"{pair[0]} to {pair[1]} was never measured", link=pair)
    parts = tuple(links[pair] for pair in travelled)
    rtts = [part.rtt_ms for part in parts if part.rtt_ms is not None and not part.dead]
    alive = len(rtts) == len(parts)
    return MeasuredRoute(
        route=route,
        rtt_ms=math.fsum(rtts) if alive else None,
        jitter_ms=math.fsum(part.jitter_ms for part in parts),
        loss_ratio=1.0 - math.prod(1.0 - part.loss_ratio for part in parts) if alive else 1.0,
        # log1p keeps tiny losses exact, where log(1 - p) would round them away.
        loss_cost=math.fsum(-math.log1p(-part.loss_ratio) for part in parts) if alive else None,
        relays=len(route.hops),
        price_usd_per_gb=price_usd_per_gb,
        risk=risk,
        throughput_mbps=_throughput_mbps(parts, capacities_mbps or [math.inf] * len(parts)) if alive else 0.0,
        links=parts,
    )


def _throughput_mbps(parts: Sequence[LinkEstimate], capacities_mbps: Sequence[float]) -> float:
    rtts_ms, losses = [part.rtt_ms or 0.0 for part in parts], [part.loss_ratio for part in parts]
    return float(throughput_mbps(rtts_ms, losses, capacities_mbps).min())
