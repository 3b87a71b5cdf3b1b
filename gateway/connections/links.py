"""What this gateway knows of links, shared by all connections: fed by probes and by live tunnels, read by everybody."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.network import Snapshot
from routing.estimate.plausible import SampleGate, least_rtt_ms
from routing.estimate.table import DEAD_AFTER, LinkEstimate, LinkName, LinkRound, LinkTable
from routing.mesh import MeshMaker
from routing.probe.summary import LinkMeasurement
from routing.topology import Node

TUNNEL = "tunnel"  # the method of what was learned by building one


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksPage:
    """Some links as the API shows them; ``next_row`` is where the rest begins, None when there is none."""

    links: list[Mapping[str, Any]]
    next_row: int | None


class LinkBook:
    """The table of links, and the gate that keeps impossible samples out of it."""

    def __init__(self) -> None:
        """Start knowing nothing."""
        self.table = LinkTable()
        self.meshes = MeshMaker(self.table)
        self.gate = SampleGate()
        # Hears of every measurement that is taken in.
        self.told: Callable[[LinkMeasurement], None] = _nobody

    def add(self, measurements: Sequence[LinkMeasurement], network: Snapshot) -> None:
        """Take in what was measured; a sample faster than light says nothing, and is not a loss either."""
        nodes = {node.name: node for node in (network.topology.gateway, *network.topology.relays, network.target)}
        rounds = []
        for each in measurements:
            least_ms = _least_ms(nodes[each.source], nodes[each.target])
            samples = [sample for sample in each.samples_ms if sample is None or self.gate.admits(sample, least_ms)]
            name = (each.source, each.target)
            rounds.append(
                LinkRound(
                    name=name,
                    samples_ms=samples,
                    method=each.method,
                    note=each.note,
                    two_sided=each.is_difference,
                )
            )
            self.told(each)
        if rounds:
            self.table.absorb_rounds(rounds, max(each.measured_at_s for each in measurements))

    def lost(self, link: LinkName, at_s: float, note: str) -> None:
        """Believe that nothing gets over ``link`` now: building a tunnel over it failed, as ``note`` says."""
        told = LinkRound(name=link, samples_ms=(None,) * DEAD_AFTER, method=TUNNEL, note=note)
        self.table.absorb_rounds([told], at_s)

    def out_of_reach(self, relay: str, at_s: float, note: str) -> None:
        """Believe that nothing gets over the links that begin at ``relay``: nobody logs in there, as ``note`` says."""
        names = self.table.names
        for row in self.table.measured_rows().tolist():
            if names[row][0] == relay:
                self.lost(names[row], at_s, note)

    def counts(self, now_s: float) -> tuple[int, int]:
        """Return how many links were ever measured and are up, and how many are down."""
        dead = self.table.estimates(self.table.measured_rows(), now_s).dead
        return int((~dead).sum()), int(dead.sum())

    def page(self, now_s: float, *, near: str = "", after: int = 0, limit: int) -> LinksPage:
        """Return up to ``limit`` links that were ever measured, as the API shows them, from row ``after`` on.

        ``near``: only those that begin or end at this node.
        """
        names = self.table.names
        rows = (row for row in self.table.measured_rows(after).tolist() if not near or near in names[row])
        found = list(itertools.islice(rows, limit + 1))
        links = self.table.each(np.array(found[:limit], dtype=np.int64), now_s)
        shown = [_shown(link, now_s) for link in links]
        return LinksPage(links=shown, next_row=found[limit] if len(found) > limit else None)


def _shown(link: LinkEstimate, now_s: float) -> Mapping[str, Any]:
    facts = {name: getattr(link, name) for name in _SHOWN}
    return facts | {"age_s": max(0.0, now_s - (link.measured_at_s or now_s))}


def _nobody(_measurement: LinkMeasurement) -> None:
    """Hear, and do nothing."""


_SHOWN = (
    "source",
    "target",
    "method",
    "note",
    "rtt_ms",
    "error_ms",
    "median_ms",
    "smoothed_ms",
    "jitter_ms",
    "loss_ratio",
    "loss_least",
    "loss_most",
    "sent",
    "lost",
    "samples",
    "dead",
)


def _least_ms(source: Node, target: Node) -> float:
    """Return the least round trip between two nodes by their places; 0 where one is unknown."""
    lat_a, lon_a, lat_b, lon_b = (
        np.nan if degrees is None else degrees
        for degrees in (source.latitude, source.longitude, target.latitude, target.longitude)
    )
    return least_rtt_ms(lat_a, lon_a, lat_b, lon_b)
