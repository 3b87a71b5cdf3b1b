"""The second route of a connection: the best one that shares no relay and no risk with the first, or why there is none.

Pure. What ``routing.paths.disjoint`` says in numbers is put into words here, where relays have names.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from routing.candidates import CandidatePolicy, Route, cheapest_required, usable_links
from routing.mesh import Mesh
from routing.paths.apart import DisjointPair, without
from routing.paths.disjoint import Obstacle, ObstacleKind, best_standby
from routing.paths.graph import Floats, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Standby:
    """The route to take over to, its cost in ms and how much that is more than the first's; or why there is none."""

    route: Route | None = None
    cost_ms: float | None = None
    extra_ms: float | None = None
    because: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as a decision's document holds it."""
        if self.route is None:
            return {"route": None, "because": self.because}
        return {"route": self.route.id, "cost_ms": self.cost_ms, "extra_ms": self.extra_ms}


def find_standby(mesh: Mesh, costs_ms: Floats, primary: Route, policy: CandidatePolicy) -> Standby:
    """Return the standby of ``primary`` under ``policy``.

    ``costs_ms`` is what each link of the mesh is believed to cost, inf where it is down. Two routes are apart when no
    relay of one is a relay of the other or shares a risk group with one. Entry and exit limits
    do not count: a standby is looked for everywhere.
    """
    links = mesh.links(primary.hops)
    if links is None:
        return Standby(because=f"{primary.id} leads over what is no longer declared")
    left_ms = np.where(usable_links(mesh, policy), costs_ms, np.inf)
    first = Path((mesh.gateway, *(mesh.index[hop] for hop in primary.hops), mesh.target), float(costs_ms[links].sum()))
    if policy.require:
        apart = cheapest_required(mesh, without(mesh.graph, left_ms, first, mesh.groups), policy, count=1)
        if not apart:
            return Standby(because="no route apart from it goes over a relay for each required word")
        return _standby(mesh, apart[0], first)
    found = best_standby(mesh.graph, left_ms, first, relay_limit=policy.relay_limit, groups=mesh.groups)
    if isinstance(found, Obstacle):
        return Standby(because=_because(mesh, found))
    return _standby(mesh, found, first)


def _standby(mesh: Mesh, found: Path, first: Path) -> Standby:
    return Standby(route=_route(mesh, found), cost_ms=found.cost, extra_ms=found.cost - first.cost)


def _route(mesh: Mesh, path: Path) -> Route:
    return Route(tuple(mesh.nodes[place].name for place in path.nodes[1:-1]), mesh.nodes[mesh.target].name)


def _because(mesh: Mesh, obstacle: Obstacle) -> str:
    """Return in words what is in the way."""
    relays = ", ".join(mesh.nodes[place].name for place in obstacle.nodes)
    shared = ", ".join(sorted(mesh.group_names[number] for number in obstacle.groups))
    match obstacle.kind:
        case ObstacleKind.NO_ROUTE:
            return "nothing leads there now"
        case ObstacleKind.ONLY_WAY:
            return f"every route goes through {relays}" if relays else "the direct link is the only route"
        case ObstacleKind.RELAY_LIMIT:
            return f"every other route needs {obstacle.relays} relays" + (f" and shares {shared}" if shared else "")
        case ObstacleKind.SHARED_RISK:
            return f"every other route shares {shared} with it"
        case ObstacleKind.PRIMARY:
            return f"the route in use lies across every other; apart are {_pair(mesh, obstacle.pair)}"
        case ObstacleKind.UNDECIDED:
            return "the search was given up: too many routes break a rule"


def _pair(mesh: Mesh, pair: DisjointPair | None) -> str:
    return "none" if pair is None else f"{_route(mesh, pair.first).id} and {_route(mesh, pair.second).id}"
