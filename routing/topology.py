"""The network as routing sees it: one gateway, relays at sites, links between sites, and a target.

Pure values. Only relays forward: the gateway has only outgoing edges and a target only incoming ones,
so a platform is never a hop, whatever links an admin declares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import networkx as nx

from routing.errors import TopologyInvalid


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A host (name or IP literal) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class NodeKind(StrEnum):
    """What a node does on a route."""

    GATEWAY = "gateway"
    RELAY = "relay"
    TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One place on the network.

    ``address`` is what anybody dials; ``addresses_from`` overrides it for those who come from a site.
    ``user`` and ``host_key`` (OpenSSH public key lines, the only ones accepted) matter for relays only.
    Latitude and longitude are degrees; None means unknown. ``risk_groups`` are free words (an operator, a
    region, a building) by which routes can be kept away from a shared fate; ``labels`` are words by which a
    connection can ask for a relay or keep away from it, all of ``risk_groups`` among them. ``risk`` is an admin's
    judgement in points, 0 or more; what a point costs is a weight. ``certified``: the relay is shown a certificate.

    ``addresses_at`` is for what cannot be dialled and has dialled out instead: by relay, what that relay dials. Where
    it is given, these relays reach the node whatever links are declared, and nobody else does.
    """

    name: str
    kind: NodeKind
    site: str
    address: Address | None = None
    addresses_from: Mapping[str, Address] = field(default_factory=dict)
    addresses_at: Mapping[str, Address] | None = None
    user: str = ""
    host_key: str = ""
    latitude: float | None = None
    longitude: float | None = None
    risk_groups: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    risk: float = 0.0
    certified: bool = False

    def address_from(self, site: str) -> Address | None:
        """Return what a node at ``site`` dials to reach this one; None when nobody said."""
        return self.addresses_from.get(site, self.address)

    def address_for(self, source: "Node") -> Address | None:
        """Return what ``source`` dials to reach this one; None when it cannot, or nobody said."""
        if self.addresses_at is not None:
            return self.addresses_at.get(source.name)
        return self.address_from(source.site)

    def is_called(self, words: frozenset[str]) -> bool:
        """Tell whether one of ``words`` is this node's name, a risk group or a label of it."""
        return not words.isdisjoint({self.name, *self.risk_groups, *self.labels})


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLink:
    """Nodes at ``source`` may dial nodes at ``target`` (and back, unless ``both_ways`` is false).

    ``price_usd_per_gb`` is what traffic over the link costs, ``capacity_mbps`` what an admin knows of its throughput;
    None means that nobody said.
    """

    source: str
    target: str
    price_usd_per_gb: float | None = None
    capacity_mbps: float | None = None
    both_ways: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A gateway, the relays it may use, and which sites may dial which.

    Nodes of one site reach each other without a link. Names are unique; raises TopologyInvalid otherwise.
    """

    gateway: Node
    relays: tuple[Node, ...]
    links: tuple[SiteLink, ...]

    def __post_init__(self) -> None:
        _check_kind(self.gateway, NodeKind.GATEWAY)
        names = {self.gateway.name}
        for relay in self.relays:
            _check_kind(relay, NodeKind.RELAY)
            if relay.name in names:
                raise TopologyInvalid(f"two nodes are named {relay.name}", node=relay.name)
            names.add(relay.name)

    def graph(self, target: Node) -> "nx.DiGraph[str]":
        """Return who may dial whom: node names, an edge u->v where u's site may dial v and v has an address.

        Nodes carry their ``node``; edges carry ``price_usd_per_gb`` (0.0 where nobody said).
        """
        _check_kind(target, NodeKind.TARGET)
        if target.name in {self.gateway.name, *(relay.name for relay in self.relays)}:
            raise TopologyInvalid(f"two nodes are named {target.name}", node=target.name)
        prices = self.prices()
        graph: nx.DiGraph[str] = nx.DiGraph()
        for node in (self.gateway, *self.relays, target):
            graph.add_node(node.name, node=node)
        for source in (self.gateway, *self.relays):
            for sink in (*self.relays, target):
                unlinked = None if sink.addresses_at is None else 0.0
                price = 0.0 if source.site == sink.site else prices.get((source.site, sink.site), unlinked)
                if source.name != sink.name and price is not None and sink.address_for(source) is not None:
                    graph.add_edge(source.name, sink.name, price_usd_per_gb=price)
        return graph

    def node(self, name: str, target: Node) -> Node:
        """Return the node called ``name``. Raises TopologyInvalid when there is none."""
        for node in (self.gateway, *self.relays, target):
            if node.name == name:
                return node
        raise TopologyInvalid(f"there is no node named {name}", node=name)

    def dial_address(self, source: Node, sink: Node) -> Address:
        """Return what ``source`` dials to reach ``sink``. Raises TopologyInvalid when nobody said."""
        address = sink.address_for(source)
        if address is None:
            raise TopologyInvalid(f"no address of {sink.name} is known from {source.site}", node=sink.name)
        return address

    def prices(self) -> dict[tuple[str, str], float]:
        """Return USD/GB (0.0 where nobody said) by (source, target) for every pair of sites that may be dialled."""
        return {pair: link.price_usd_per_gb or 0.0 for pair, link in self._cheapest().items()}

    def capacities_mbps(self) -> dict[tuple[str, str], float]:
        """Return the declared throughput by (source, target), for the pairs of sites where somebody said."""
        return {pair: link.capacity_mbps for pair, link in self._cheapest().items() if link.capacity_mbps is not None}

    def _cheapest(self) -> dict[tuple[str, str], SiteLink]:
        """Return the link that traffic takes between two sites: of several the cheapest."""
        links: dict[tuple[str, str], SiteLink] = {}
        for link in self.links:
            for pair in [(link.source, link.target)] + [(link.target, link.source)] * link.both_ways:
                known = links.get(pair, link)
                links[pair] = min(known, link, key=lambda each: each.price_usd_per_gb or 0.0)
        return links


def _check_kind(node: Node, kind: NodeKind) -> None:
    if node.kind is not kind:
        raise TopologyInvalid(f"{node.name} is a {node.kind}, where a {kind} belongs", node=node.name)
