"""The declared network compiled to arrays: a gateway, its relays, a target, and each link's row in the link table.

Compiled once for a topology; a target's own links are put in for every question. Who may dial whom is what
``routing.topology`` says: only relays forward, so a target has no way out and the gateway no way in.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from routing.errors import TopologyInvalid
from routing.estimate.table import LinkTable
from routing.geography import great_circle_km
from routing.paths.graph import Floats, Ints, LinkGraph
from routing.topology import Node, NodeKind, Topology

# What a link may cost where neither a measurement nor a place is known: a continent's width.
_UNKNOWN_RTT_MS = 50.0
# Light in fibre goes 200 km a millisecond; there and back, and fibre is about half as long again as the
# great circle.
_RTT_MS_PER_KM = 2 / 200 * 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """The network towards one target. Node 0 is the gateway, the last is the target, between them are the relays.

    Arrays are by link of ``graph``: ``prices`` in USD/GB (0 where nobody said), ``risks`` in points (those of the relay
    it leads to), ``capacities_mbps`` what was declared (inf where nobody said), ``guesses_ms`` the round trip by
    distance, and ``rows`` the link's row in the link table.
    """

    nodes: tuple[Node, ...]
    graph: LinkGraph
    prices: Floats
    risks: Floats
    capacities_mbps: Floats
    guesses_ms: Floats
    rows: Ints
    index: Mapping[str, int]
    # By node, the risk groups it is in as numbers of ``group_names``; none for the ends, whose fate no route escapes.
    groups: tuple[frozenset[int], ...]
    group_names: tuple[str, ...]

    @property
    def gateway(self) -> int:
        """The gateway's node."""
        return 0

    @property
    def target(self) -> int:
        """The target's node."""
        return len(self.nodes) - 1

    def links(self, hops: tuple[str, ...]) -> Ints | None:
        """Return the links travelled over ``hops`` to the target; None when one of them does not exist."""
        places = [self.gateway, *(self.index.get(name, -1) for name in hops), self.target]
        if -1 in places:
            return None
        found = [self.graph.link(tail, head) for tail, head in itertools.pairwise(places)]
        return None if None in found else np.array(found, dtype=np.int64)


class MeshMaker:
    """Makes meshes over one link table; keeps the part that all targets of a topology share."""

    def __init__(self, table: LinkTable) -> None:
        """Take the table whose rows the meshes name."""
        self._table = table
        self._topology: Topology | None = None
        self._shared: _Shared | None = None

    def mesh(self, topology: Topology, target: Node) -> Mesh:
        """Return the network towards ``target``. Raises TopologyInvalid for a wrong kind, or a name held twice."""
        if self._shared is None or (self._topology is not topology and self._topology != topology):
            self._shared, self._topology = _Shared(topology, self._table), topology
        return self._shared.towards(target)


class _Shared:
    """Gateway, relays and the links between them, in the graph's order."""

    def __init__(self, topology: Topology, table: LinkTable) -> None:
        self._table = table
        self._nodes = (topology.gateway, *topology.relays)
        self._index = {node.name: place for place, node in enumerate(self._nodes)}
        self._at: dict[str, list[int]] = defaultdict(list)
        for place, node in enumerate(self._nodes):
            self._at[node.site].append(place)
        self._onward: dict[str, dict[str, float]] = defaultdict(dict)
        self._inward: dict[str, dict[str, float]] = defaultdict(dict)
        for (here, there), price in topology.prices().items():
            self._onward[here][there] = self._inward[there][here] = price
        self._group_names, self._groups = _numbered_groups(self._nodes)
        self._capacities = topology.capacities_mbps()
        found = np.array(sorted(self._between()), dtype=np.float64).reshape(-1, 3)
        self._tails, self._heads = found[:, 0].astype(np.int64), found[:, 1].astype(np.int64)
        self._prices = found[:, 2]
        names = [node.name for node in self._nodes]
        self._rows = table.rows(zip([names[i] for i in self._tails], [names[i] for i in self._heads], strict=True))
        sites = [node.site for node in self._nodes]
        pairs = ((sites[tail], sites[head]) for tail, head in zip(self._tails, self._heads, strict=True))
        self._capacities_mbps = np.array([self._capacities.get(pair, np.inf) for pair in pairs])
        self._guesses_ms = _guesses_ms(self._nodes, self._tails, self._heads)
        # A target, which comes last, is no relay and no risk.
        self._risks = np.array([*(node.risk for node in self._nodes), 0.0])

    def towards(self, target: Node) -> Mesh:
        if target.kind is not NodeKind.TARGET:
            raise TopologyInvalid(f"{target.name} is a {target.kind}, where a target belongs", node=target.name)
        if target.name in self._index:
            raise TopologyInvalid(f"two nodes are named {target.name}", node=target.name)
        nodes = (*self._nodes, target)
        last = len(nodes) - 1
        into = sorted(self._into(target))
        tails = np.array([tail for tail, _ in into], dtype=np.int64)
        # The target's number is the largest, so its link is the last of each tail's.
        places = np.searchsorted(self._tails, tails, side="right")
        heads = np.insert(self._heads, places, last)
        capacities_mbps = [self._capacities.get((self._nodes[tail].site, target.site), np.inf) for tail in tails]
        return Mesh(
            nodes=nodes,
            graph=LinkGraph.in_order(len(nodes), np.insert(self._tails, places, tails), heads),
            prices=np.insert(self._prices, places, [price for _, price in into]),
            risks=self._risks[heads],
            capacities_mbps=np.insert(self._capacities_mbps, places, capacities_mbps),
            guesses_ms=np.insert(self._guesses_ms, places, self._guesses_into_ms(tails, target)),
            rows=np.insert(
                self._rows, places, self._table.rows((self._nodes[tail].name, target.name) for tail in tails)
            ),
            index={**self._index, target.name: last},
            groups=(*self._groups, frozenset()),
            group_names=self._group_names,
        )

    def _guesses_into_ms(self, tails: Ints, target: Node) -> Floats:
        near = (*(self._nodes[tail] for tail in tails), target)
        return _guesses_ms(near, np.arange(len(tails)), np.full(len(tails), len(tails)))

    def _between(self) -> Iterator[tuple[int, int, float]]:
        for tail, source in enumerate(self._nodes):
            for site, price in {source.site: 0.0, **self._onward[source.site]}.items():
                for head in self._at.get(site, ()):
                    if head not in {0, tail} and self._nodes[head].address_from(source.site) is not None:
                        yield tail, head, 0.0 if site == source.site else price

    def _into(self, target: Node) -> Iterator[tuple[int, float]]:
        if target.addresses_at is not None:
            for tail in sorted(self._index[name] for name in target.addresses_at if name in self._index):
                site = self._nodes[tail].site
                yield tail, 0.0 if site == target.site else self._inward[target.site].get(site, 0.0)
            return
        for site, price in {**self._inward[target.site], target.site: 0.0}.items():
            if target.address_from(site) is not None:
                for tail in self._at.get(site, ()):
                    yield tail, price


def _numbered_groups(nodes: tuple[Node, ...]) -> tuple[tuple[str, ...], tuple[frozenset[int], ...]]:
    """Return the names of all risk groups, and by node which it is in, as numbers; the gateway is in none."""
    numbers: dict[str, int] = {}
    groups = [frozenset(numbers.setdefault(name, len(numbers)) for name in sorted(node.risk_groups)) for node in nodes]
    groups[0] = frozenset()
    return tuple(numbers), tuple(groups)


def _guesses_ms(nodes: tuple[Node, ...], tails: Ints, heads: Ints) -> Floats:
    """Return a guess of each link's round trip from the places of its ends; 50 ms where one is unknown."""
    places = np.array([(node.latitude, node.longitude) for node in nodes], dtype=np.float64)
    sites: dict[str, int] = {}
    site = np.array([sites.setdefault(node.site, len(sites)) for node in nodes])
    km = great_circle_km(places[tails, 0], places[tails, 1], places[heads, 0], places[heads, 1])
    guesses_ms = np.where(np.isnan(km), _UNKNOWN_RTT_MS, km * _RTT_MS_PER_KM)
    return np.where(site[tails] == site[heads], 0.0, guesses_ms)
