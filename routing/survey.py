"""Join the network with what is believed of its links: costs for enumeration, contests for attention. Pure."""

from collections.abc import Sequence

import numpy as np

from routing.candidates import Route
from routing.errors import TopologyInvalid
from routing.estimate.costs import Weights, link_costs_ms, throughput_mbps, transfer_ms_per_mb
from routing.estimate.route import MeasuredRoute, measured_route
from routing.estimate.table import LinkEstimate, LinkEstimates, LinkName, LinkTable
from routing.mesh import Mesh
from routing.paths.graph import Floats, Ints
from routing.probe.attention import NOBODY, Contests
from routing.ranking import Aim, Profile

# A link that is down or loses too much is a last resort, not gone: it may come back, and where no other way is left
# its routes are the ones to try.
_DOWN_MS = 1e6


def promised_costs_ms(mesh: Mesh, table: LinkTable, aim: Aim, now_s: float) -> Floats:
    """Return what each link of ``mesh`` is believed to cost: by what was measured, else by a guess from distance.

    In bulk, where the narrowest hop counts, the sum over links stands in for it: it cannot be less, and on routes of a
    few hops it is little more.
    """
    found = table.estimates(mesh.rows, now_s)
    silent = found.dead | (found.loss_ratio > aim.weights.loss_limit_ratio)
    down_ms = np.where(silent, _DOWN_MS, 0.0)
    if aim.profile is Profile.BULK:
        return transfer_ms_per_mb(_widths_mbps(mesh, found)) + down_ms
    known_ms = link_costs_ms(found, aim.weights)
    guessed_ms = aim.weights.delay * mesh.guesses_ms + down_ms
    return np.where(np.isfinite(known_ms), known_ms, guessed_ms) + _fixed_costs_ms(mesh, aim.weights)


def widths_mbps(mesh: Mesh, table: LinkTable, now_s: float) -> Floats:
    """Return what each link of ``mesh`` is believed to carry; 0 where it is down."""
    found = table.estimates(mesh.rows, now_s)
    return np.where(found.dead, 0.0, _widths_mbps(mesh, found))


def _widths_mbps(mesh: Mesh, found: LinkEstimates) -> Floats:
    rtts_ms = np.where(np.isnan(found.rtt_ms), mesh.guesses_ms, found.rtt_ms)
    return throughput_mbps(rtts_ms, found.loss_ratio, mesh.capacities_mbps)


def alive_costs_ms(costs_ms: Floats) -> Floats:
    """Return promised costs with inf in place of what is down."""
    return np.where(costs_ms < _DOWN_MS, costs_ms, np.inf)


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
    extra_ms = np.zeros((1, len(routes)))
    for place, links in enumerate(travelled):
        rows[0, place, : len(links)] = mesh.rows[links]
        extra_ms[0, place] = _fixed_costs_ms(mesh, weights, links).sum()
    used = routes.index(in_use) if in_use is not None and in_use in routes else NOBODY
    return Contests(links=rows, extra_ms=extra_ms, in_use=np.array([used]))


def measure(mesh: Mesh, table: LinkTable, routes: Sequence[Route], now_s: float) -> tuple[MeasuredRoute, ...]:
    """Return what is believed of each of ``routes``, end to end."""
    travelled = [_links(mesh, route) for route in routes]
    known = _known(mesh, table, travelled, now_s)
    measured = []
    for route, links in zip(routes, travelled, strict=True):
        measured.append(
            measured_route(
                route,
                known,
                gateway=mesh.nodes[mesh.gateway].name,
                price_usd_per_gb=float(mesh.prices[links].sum()),
                risk=float(mesh.risks[links].sum()),
                capacities_mbps=mesh.capacities_mbps[links].tolist(),
            )
        )
    return tuple(measured)


def _known(mesh: Mesh, table: LinkTable, travelled: Sequence[Ints], now_s: float) -> dict[LinkName, LinkEstimate]:
    if not travelled:
        return {}
    estimates = table.each(mesh.rows[np.unique(np.concatenate(travelled))], now_s)
    return {(each.source, each.target): each for each in estimates}


def dead_rows(mesh: Mesh, table: LinkTable, now_s: float) -> Ints:
    """Return the rows of links that are down: somebody must look whether they are back."""
    dead: Ints = mesh.rows[table.estimates(mesh.rows, now_s).dead]
    return dead


def _fixed_costs_ms(mesh: Mesh, weights: Weights, links: Ints | slice = slice(None)) -> Floats:
    """Return what ``links`` cost whatever is measured: their price, and the relay each leads to with its risk."""
    to_relay = mesh.graph.heads[links] != mesh.target
    return np.asarray(weights.price * mesh.prices[links] + weights.risk * mesh.risks[links] + weights.hops * to_relay)


def _links(mesh: Mesh, route: Route) -> Ints:
    links = mesh.links(route.hops)
    if links is None:
        raise TopologyInvalid(f"the network has no links for the route {route.id}", node=route.target)
    return links
