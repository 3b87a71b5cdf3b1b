"""Decide which links to probe. Pure: routes, what is known, and a policy in; a plan out.

Routes share links: n relays make n(n-1) one-relay and two-relay paths from few links, so each link is probed once and
routes are composed from them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from routing.candidates import Route
from routing.probe.summary import LinkMeasurement


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePolicy:
    """How links are probed.

    ``icmp``: ``auto`` uses it where raw sockets are allowed, ``require`` fails without, ``off`` never. ``tcp_timing``:
    ``connect`` times a TCP connect, which is right on a real network; ``banner`` times a question and its answer (of
    the relay's SSH server, or of an HTTP target), for networks whose proxies accept at once and delay later.
    """

    samples: int = 5
    interval_ms: float = 30.0
    timeout_ms: float = 1500.0
    icmp: Literal["auto", "off", "require"] = "auto"
    tcp_timing: Literal["connect", "banner"] = "connect"
    max_age_s: float = 30.0
    parallel_links: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLink:
    """A link to probe. ``via`` are the relays to go through to stand at its source; empty: the gateway itself."""

    source: str
    target: str
    via: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """The links to probe, each once, and the measurements that are fresh enough to keep."""

    links: tuple[PlannedLink, ...]
    fresh: tuple[LinkMeasurement, ...]


def plan_probes(
    routes: Sequence[Route],
    last: Iterable[LinkMeasurement],
    policy: ProbePolicy,
    *,
    gateway: str,
    now_s: float,
) -> ProbePlan:
    """Return what to probe so that every link of ``routes`` is known and no older than ``max_age_s``.

    A link that lost everything last time is probed again whatever its age: it may be back.
    """
    fresh: dict[tuple[str, str], LinkMeasurement] = {}
    for link in sorted(last, key=lambda each: each.measured_at_s):
        pair = (link.source, link.target)
        fresh.pop(pair, None)
        if 0 <= now_s - link.measured_at_s <= policy.max_age_s and link.loss_ratio < 1.0:
            fresh[pair] = link
    vias: dict[tuple[str, str], tuple[str, ...]] = {}
    for route in routes:
        for depth, pair in enumerate(route.links(gateway)):
            via = route.hops[:depth]
            known = vias.get(pair)
            # The shortest way to the source adds the least noise to what is measured beyond it.
            if known is None or (len(via), via) < (len(known), known):
                vias[pair] = via
    return ProbePlan(
        links=tuple(
            PlannedLink(source=source, target=target, via=via)
            for (source, target), via in vias.items()
            if (source, target) not in fresh
        ),
        fresh=tuple(fresh[pair] for pair in vias if pair in fresh),
    )
