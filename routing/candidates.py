"""Enumerate candidate routes (S1): which paths are worth measuring, in the order of a first guess.

Pure. Entry and exit relays are searched, not fixed: the nearest entry with the nearest exit is slower than
going direct for most pairs of real regions. One relay gives most of the gain and two nearly all, so depth is
limited. On a mesh, networkx's ``shortest_simple_paths`` takes seconds; therefore the graph is cut to relays
that can lie on a good path before ``all_simple_paths`` walks it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

from routing.errors import NoRoute
from routing.topology import Node, Topology

# What a link may cost where neither a measurement nor a place is known: a continent's width.
_UNKNOWN_RTT_MS = 50.0
# Light in fibre goes 200 km a millisecond; there and back, and fibre is about half as long again as the
# great circle.
_RTT_MS_PER_KM = 2 / 200 * 1.5
_EARTH_RADIUS_KM = 6371.0
# Relays kept for the walk, by the shortest detour through them: bounds it to some ten thousand steps.
_WALKED_RELAYS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatePolicy:
    """Which routes may be considered. ``avoid`` holds relay names and risk groups."""

    direct_allowed: bool = True
    relay_limit: int = 3
    candidate_limit: int = 12
    entry_limit: int = 8
    exit_limit: int = 8
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """The relays to go through, in order, and the target's name. No relays: direct."""

    hops: tuple[str, ...]
    target: str

    @property
    def id(self) -> str:
        """The route in words: ``direct``, or relay names joined by ``>``."""
        return ">".join(self.hops) or "direct"

    def links(self, gateway: str) -> tuple[tuple[str, str], ...]:
        """Return the links travelled, as (source, target) names, from the gateway on."""
        return tuple(pairwise((gateway, *self.hops, self.target)))


def enumerate_routes(
    topology: Topology,
    target: Node,
    policy: CandidatePolicy,
    estimates: Mapping[tuple[str, str], float] | None = None,
) -> tuple[Route, ...]:
    """Return at most ``candidate_limit`` routes to ``target``, the most promising first.

    Order is by the sum of link estimates: ``estimates`` (ms of RTT by link) where given, great-circle distance
    otherwise; equal sums go by route id. Direct is first whenever it is allowed. Raises NoRoute, which names
    the rule that removed the last candidate.
    """
    search = _Search(topology, target, policy, estimates or {})
    graph = search.allowed()
    routes = [search.route(path) for path in search.paths(graph)]
    direct = [route for route in routes if not route.hops]
    relayed = sorted((route for route in routes if route.hops), key=lambda route: search.promise(graph, route))
    return tuple([*direct, *relayed][: max(1, policy.candidate_limit)])


@dataclass(frozen=True, slots=True)
class _Search:
    topology: Topology
    target: Node
    policy: CandidatePolicy
    estimates: Mapping[tuple[str, str], float]

    def allowed(self) -> "nx.DiGraph[str]":
        """Return the graph with every rule applied, one after the other, each checked for what it leaves."""
        graph = self.topology.graph(self.target)
        self._still_reachable(graph, "links")
        if not self.policy.direct_allowed and graph.has_edge(*self._ends):
            graph.remove_edge(*self._ends)
            self._still_reachable(graph, "direct_allowed")
        graph.remove_nodes_from([relay.name for relay in self.topology.relays if self._avoided(relay)])
        self._still_reachable(graph, "avoid")
        if self._fewest_links(graph) > self.policy.relay_limit + 1:
            raise self._no_route("relay_limit")
        for source, sink, known in graph.edges(data=True):
            known["rtt_ms"] = self._rtt_ms(graph, source, sink)
        self._keep_nearest(graph, entries=True)
        self._keep_nearest(graph, entries=False)
        return graph

    def paths(self, graph: "nx.DiGraph[str]") -> Iterator[list[str]]:
        gateway, target = self._ends
        # A copy, because walking networkx's filtering view is several times slower.
        kept = graph.subgraph([gateway, target, *self._least_detour(graph)]).copy()
        return nx.all_simple_paths(kept, gateway, target, cutoff=self.policy.relay_limit + 1)

    def route(self, path: list[str]) -> Route:
        return Route(hops=tuple(path[1:-1]), target=self.target.name)

    def promise(self, graph: "nx.DiGraph[str]", route: Route) -> tuple[float, str]:
        links = route.links(self.topology.gateway.name)
        return (math.fsum(graph.edges[link]["rtt_ms"] for link in links), route.id)

    @property
    def _ends(self) -> tuple[str, str]:
        return self.topology.gateway.name, self.target.name

    def _avoided(self, relay: Node) -> bool:
        return not self.policy.avoid.isdisjoint({relay.name, *relay.risk_groups})

    def _fewest_links(self, graph: "nx.DiGraph[str]") -> float:
        try:
            return nx.shortest_path_length(graph, *self._ends)
        except nx.NetworkXNoPath:
            return math.inf

    def _still_reachable(self, graph: "nx.DiGraph[str]", rule: str) -> None:
        if self._fewest_links(graph) == math.inf:
            raise self._no_route(rule)

    def _no_route(self, rule: str) -> NoRoute:
        return NoRoute(
            f"no route to {self.target.name}: the last one was ruled out by {_RULES[rule]}",
            target=self.target.name,
            rule=rule,
        )

    def _keep_nearest(self, graph: "nx.DiGraph[str]", *, entries: bool) -> None:
        """Cut all but the nearest relays off the gateway (entries) or off the target (exits)."""
        gateway, target = self._ends
        limit = self.policy.entry_limit if entries else self.policy.exit_limit
        touching = graph.out_edges(gateway) if entries else graph.in_edges(target)
        edges = sorted(
            (edge for edge in touching if edge != self._ends),
            key=lambda edge: (graph.edges[edge]["rtt_ms"], edge),
        )
        # Only relays that lead on can be entries, or near dead ends would crowd out the one that works.
        on_the_way = self._links_to(graph).keys() & self._links_from(graph).keys()
        useful = [edge for edge in edges if (edge[1] if entries else edge[0]) in on_the_way]
        graph.remove_edges_from(set(edges) - set(useful[:limit]))
        self._still_in_limit(graph, "entry_limit" if entries else "exit_limit")

    def _still_in_limit(self, graph: "nx.DiGraph[str]", rule: str) -> None:
        if self._fewest_links(graph) > self.policy.relay_limit + 1:
            raise self._no_route(rule)

    def _least_detour(self, graph: "nx.DiGraph[str]") -> list[str]:
        """Return the relays that lie on short paths within the hop limit.

        Every relay on a shortest path to a kept relay has no greater detour, so the cut never strands one.
        """
        gateway, target = self._ends
        back = graph.reverse(copy=False)
        links_to, links_from = self._links_to(graph), self._links_from(graph)
        ms_to = nx.single_source_dijkstra_path_length(graph, gateway, weight="rtt_ms")
        ms_from = nx.single_source_dijkstra_path_length(back, target, weight="rtt_ms")
        within = [
            relay.name
            for relay in self.topology.relays
            if links_to.get(relay.name, math.inf) + links_from.get(relay.name, math.inf) <= self.policy.relay_limit + 1
        ]
        return sorted(within, key=lambda name: (ms_to[name] + ms_from[name], name))[:_WALKED_RELAYS]

    def _links_to(self, graph: "nx.DiGraph[str]") -> dict[str, int]:
        """Return how many links each node is from the gateway; nodes out of reach are missing."""
        return dict(nx.single_source_shortest_path_length(graph, self.topology.gateway.name))

    def _links_from(self, graph: "nx.DiGraph[str]") -> dict[str, int]:
        """Return how many links the target is from each node; nodes that do not lead there are missing."""
        return dict(nx.single_source_shortest_path_length(graph.reverse(copy=False), self.target.name))

    def _rtt_ms(self, graph: "nx.DiGraph[str]", source: str, sink: str) -> float:
        known = self.estimates.get((source, sink))
        if known is not None:
            return known
        return great_circle_rtt_ms(graph.nodes[source]["node"], graph.nodes[sink]["node"])


_RULES = {
    "links": "the links between sites: nothing the gateway may dial leads there",
    "direct_allowed": "direct_allowed = false, and no relay leads there",
    "avoid": "avoid, which names every relay that leads there",
    "relay_limit": "relay_limit: every route needs more relays",
    "entry_limit": "entry_limit: none of the nearest entry relays leads there",
    "exit_limit": "exit_limit: none of the nearest exit relays can be reached",
}


def great_circle_rtt_ms(source: Node, sink: Node) -> float:
    """Return a guess of the round trip between two nodes from their places; 50 ms where one is unknown."""
    if source.site == sink.site:
        return 0.0
    places = (source.latitude, source.longitude, sink.latitude, sink.longitude)
    if None in places:
        return _UNKNOWN_RTT_MS
    lat_a, lon_a, lat_b, lon_b = (math.radians(degrees) for degrees in places if degrees is not None)
    haversine = (
        math.sin((lat_b - lat_a) / 2) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    )
    # Rounding can push antipodes a hair past 1.
    return 2 * _EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(haversine))) * _RTT_MS_PER_KM
