"""What probe samples say about a link, and links about a route.

Pure. A link that lost every packet is a measurement with loss 1.0, never an error.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from routing.candidates import Route
from routing.errors import LinkUnmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMeasurement:
    """What one round of probes learned about the link from ``source`` to ``target``.

    ``method`` says how: ``icmp``, ``connect``, ``banner``, ``first_byte``, or one of the last three after
    ``relay-`` when it was done from the relay at ``source``. ``rtt_ms`` is the median; None when nothing came back.
    ``jitter_ms`` is the mean deviation from it. ``note`` holds the error code when the link could not be
    probed at all (such as ``host-key-mismatch``); such a link counts as lost.
    """

    source: str
    target: str
    method: str
    sent: int
    lost: int
    rtt_ms: float | None
    jitter_ms: float
    loss_ratio: float
    measured_at_s: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRoute:
    """What the links of a route add up to, end to end.

    ``rtt_ms`` and ``jitter_ms`` are sums over links, ``loss_ratio`` is ``1 - prod(1 - p)``, and ``loss_cost``
    is the same loss as a sum over links, ``sum(-ln(1 - p))``. ``rtt_ms`` and ``loss_cost`` are None when some
    link lost everything.
    """

    route: Route
    rtt_ms: float | None
    jitter_ms: float
    loss_ratio: float
    loss_cost: float | None
    relays: int
    price_usd_per_gb: float
    links: tuple[LinkMeasurement, ...]


def summarize(
    samples_ms: Sequence[float | None],
    *,
    source: str,
    target: str,
    method: str,
    measured_at_s: float,
    note: str = "",
) -> LinkMeasurement:
    """Return the measurement that ``samples_ms`` make; None is a sample that never came back.

    The median, not the mean: with five samples one late wake-up of this process must not move the link.
    """
    returned = [sample for sample in samples_ms if sample is not None]
    lost = len(samples_ms) - len(returned)
    rtt_ms = statistics.median(returned) if returned else None
    deviations = [abs(sample - rtt_ms) for sample in returned] if rtt_ms is not None else []
    return LinkMeasurement(
        source=source,
        target=target,
        method=method,
        sent=len(samples_ms),
        lost=lost,
        rtt_ms=rtt_ms,
        jitter_ms=statistics.fmean(deviations) if deviations else 0.0,
        loss_ratio=lost / len(samples_ms) if samples_ms else 1.0,
        measured_at_s=measured_at_s,
        note=note,
    )


def measured_route(
    route: Route, links: Iterable[LinkMeasurement], *, gateway: str, price_usd_per_gb: float = 0.0
) -> MeasuredRoute:
    """Return what ``links`` say about ``route``. Of several measurements of one link the newest counts.

    Raises LinkUnmeasured when there is none for one of its links.
    """
    newest: dict[tuple[str, str], LinkMeasurement] = {}
    for link in sorted(links, key=lambda each: each.measured_at_s):
        newest[link.source, link.target] = link
    travelled = route.links(gateway)
    for pair in travelled:
        if pair not in newest:
            raise LinkUnmeasured(f"{pair[0]} to {pair[1]} was never measured", link=pair)
    parts = tuple(newest[pair] for pair in travelled)
    rtts = [part.rtt_ms for part in parts if part.rtt_ms is not None]
    alive = len(rtts) == len(parts) and all(part.loss_ratio < 1.0 for part in parts)
    return MeasuredRoute(
        route=route,
        rtt_ms=math.fsum(rtts) if alive else None,
        jitter_ms=math.fsum(part.jitter_ms for part in parts),
        loss_ratio=1.0 - math.prod(1.0 - part.loss_ratio for part in parts),
        # log1p keeps tiny losses exact, where log(1 - p) would round them away.
        loss_cost=math.fsum(-math.log1p(-part.loss_ratio) for part in parts) if alive else None,
        relays=len(route.hops),
        price_usd_per_gb=price_usd_per_gb,
        links=parts,
    )
