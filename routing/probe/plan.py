"""Say how the links that deserve probes are reached. Pure: rows of the link table in; a plan of named links out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from routing.candidates import Route
from routing.estimate.table import LinkName, LinkTable
from routing.mesh import Mesh
from routing.probe.attention import Attention


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePolicy:
    """How links are probed.

    ``icmp``: ``auto`` uses it where raw sockets are allowed, ``require`` fails without, ``off`` never. ``tcp_timing``:
    ``connect`` times a TCP connect, which is right on a real network; ``banner`` times a question and its answer (of
    the relay's SSH server, or of an HTTP target), for networks whose proxies accept at once and delay later.
    ``samples`` is how many packets one link gets in one round.
    """

    samples: int = 1
    interval_ms: float = 30.0
    timeout_ms: float = 1500.0
    icmp: Literal["auto", "off", "require"] = "auto"
    tcp_timing: Literal["connect", "banner"] = "connect"
    parallel_links: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLink:
    """A link to probe with ``samples`` packets.

    ``via`` are the relays to go through to stand at its source; empty: the gateway itself.
    """

    source: str
    target: str
    via: tuple[str, ...] = ()
    samples: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """The links to probe, each once, the most urgent first."""

    links: tuple[PlannedLink, ...]


def plan_probes(attention: Attention, table: LinkTable, mesh: Mesh, routes: Sequence[Route]) -> ProbePlan:
    """Return how to probe what deserves it, standing where one of ``routes``, or a straight way, leads.

    A link to whose source neither leads, or only over a link that is down, is left out: nobody could use it either, and
    asking would take as long as connecting in vain does.
    """
    gateway = mesh.nodes[mesh.gateway].name
    vias = _vias(routes, gateway)
    down = _down(mesh, table)
    planned = []
    for row, samples in zip(attention.rows, attention.samples, strict=True):
        source, target = table.names[row]
        via = () if source == gateway else vias.get((source, target), _straight(mesh, source))
        if via is not None and not any(pair in down for pair in pairwise((gateway, *via))):
            planned.append(PlannedLink(source=source, target=target, via=via, samples=int(samples)))
    return ProbePlan(links=tuple(planned))


def _vias(routes: Iterable[Route], gateway: str) -> Mapping[LinkName, tuple[str, ...]]:
    """Return the shortest way to each link's source along ``routes``: it adds the least noise to what lies beyond."""
    vias: dict[LinkName, tuple[str, ...]] = {}
    for route in routes:
        for depth, pair in enumerate(route.links(gateway)):
            via = route.hops[:depth]
            known = vias.get(pair)
            if known is None or (len(via), via) < (len(known), known):
                vias[pair] = via
    return vias


def _down(mesh: Mesh, table: LinkTable) -> frozenset[LinkName]:
    """Return the links between gateway and relays that are dead. Whether they are is no matter of age."""
    dead = table.estimates(mesh.rows, 0.0).dead
    return frozenset(table.names[row] for row in mesh.rows[dead])


def _straight(mesh: Mesh, relay: str) -> tuple[str, ...] | None:
    """Return the way to ``relay`` over its link from the gateway; None when there is no such link."""
    place = mesh.index.get(relay)
    return None if place is None or mesh.graph.link(mesh.gateway, place) is None else (relay,)
