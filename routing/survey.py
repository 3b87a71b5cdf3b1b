"""Join the network with what is believed of its links: costs for enumeration, contests for attention. Pure."""

from collections.abc import Sequence

import numpy as np

from routing.candidates import Route
from routing.errors import TopologyInvalid
from routing.estimate.costs import Weights, link_costs_ms
from routing.estimate.route import MeasuredRoute, measured_route
from routing.estimate.table import LinkEstimate, LinkName, LinkTable
from routing.mesh import Mesh
from routing.paths.graph import Floats, Ints
from routing.probe.attention import NOBODY, Contests

# A link that is down or loses too much is a last resort, not gone: it may come back, and where no other way is left
# its routes are the ones to try.
_DOWN_MS = 1e6


def promised_costs_ms(mesh: Mesh, table: LinkTable, weights: Weights, now_s: float) -> Floats:
    """Return what each link of ``mesh`` is believed to cost: what was measured, else a guess by distance."""
    found = table.estimates(mesh.rows, now_s)
    known_ms = link_costs_ms(found, weights)
    guessed_ms = weights.delay * mesh.guesses_ms
    silent = found.dead | (found.loss_ratio > weights.loss_limit_ratio)
    believed_ms = np.where(np.isfinite(known_ms), known_ms, guessed_ms + np.where(silent, _DOWN_MS, 0.0))
    return believed_ms + _fixed_costs_ms(mesh, weights)


def is_alive(mesh: Mesh, route: Route, costs_ms: Floats) -> bool:
    """Tell whether no link of ``route`` is believed to be down."""
    links = mesh.links(route.hops)
    return links is not None and float(costs_ms[links].sum()) < _DOWN_MS


def contest(mesh: Mesh, routes: Sequence[Route], weights: Weights, in_use: Route | None) -> Contests:
    """Return the one decision between ``routes``, for ``routing.probe.attention``.

    Raises TopologyInvalid for a route over a link that does not exist.
    """
    travelled = [_links(mesh, route) for route in routes]
    width = max(len(links) for links in travelled)
    rows = np.full((1, len(routes), width), NOBODY, dtype=np.int64)
    fixed_ms = _fixed_costs_ms(mesh, weights)
    extra_ms = np.zeros((1, len(routes)))
    for place, links in enumerate(travelled):
        rows[0, place, : len(links)] = mesh.rows[links]
        extra_ms[0, place] = fixed_ms[links].sum()
    used = routes.index(in_use) if in_use is not None and in_use in routes else NOBODY
    return Contests(links=rows, extra_ms=extra_ms, in_use=np.array([used]))


def measure(mesh: Mesh, table: LinkTable, routes: Sequence[Route], now_s: float) -> tuple[MeasuredRoute, ...]:
    """Return what is believed of each of ``routes``, end to end."""
    known: dict[LinkName, LinkEstimate] = {}
    measured = []
    for route in routes:
        links = _links(mesh, route)
        for row in mesh.rows[links]:
            name = table.names[row]
            if name not in known:
                known[name] = table.estimate(int(row), now_s)
        measured.append(
            measured_route(
                route,
                known,
                gateway=mesh.nodes[mesh.gateway].name,
                price_usd_per_gb=float(mesh.prices[links].sum()),
                risk=float(mesh.risks[links].sum()),
            )
        )
    return tuple(measured)


def dead_rows(mesh: Mesh, table: LinkTable, now_s: float) -> Ints:
    """Return the rows of links that are down: somebody must look whether they are back."""
    return mesh.rows[table.estimates(mesh.rows, now_s).dead]


def _fixed_costs_ms(mesh: Mesh, weights: Weights) -> Floats:
    """Return what each link costs whatever is measured: its price, and the relay it leads to with its risk."""
    to_relay = (mesh.graph.heads != mesh.target).astype(np.float64)
    return weights.price * mesh.prices + weights.risk * mesh.risks + weights.hops * to_relay


def _links(mesh: Mesh, route: Route) -> Ints:
    links = mesh.links(route.hops)
    if links is None:
        raise TopologyInvalid(f"the network has no links for the route {route.id}", node=route.target)
    return links
