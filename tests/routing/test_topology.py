"""Who may dial whom, and at which address."""

import itertools

import pytest

from routing.errors import TopologyInvalid
from routing.topology import Address, Node, NodeKind, SiteLink, Topology

_GATEWAY = Node(name="gw", kind=NodeKind.GATEWAY, site="home")
_ALL_SITES = tuple(
    SiteLink(source=source, target=sink) for source, sink in itertools.combinations(("home", "fra", "nyc", "cloud"), 2)
)


def _relay(name: str, site: str) -> Node:
    return Node(name=name, kind=NodeKind.RELAY, site=site, address=Address(name, 22))


def _target() -> Node:
    return Node(name="t", kind=NodeKind.TARGET, site="cloud", address=Address("api.example", 443))


def test_only_relays_forward() -> None:
    """With every site linked to every other, the gateway has no way in and the target no way out."""
    topology = Topology(gateway=_GATEWAY, relays=(_relay("a", "fra"), _relay("b", "nyc")), links=_ALL_SITES)
    graph = topology.graph(_target())
    assert set(graph.edges) == {
        ("gw", "a"),
        ("gw", "b"),
        ("gw", "t"),
        ("a", "b"),
        ("b", "a"),
        ("a", "t"),
        ("b", "t"),
    }


def test_without_a_link_only_one_site_is_in_reach() -> None:
    """Nodes of one site reach each other; another site needs a link, and a one-way link is one way."""
    relays = (_relay("a", "fra"), _relay("b", "fra"), _relay("c", "nyc"))
    topology = Topology(gateway=_GATEWAY, relays=relays, links=(SiteLink(source="fra", target="nyc", both_ways=False),))
    assert set(topology.graph(_target()).edges) == {("a", "b"), ("b", "a"), ("a", "c"), ("b", "c")}


def test_the_address_depends_on_where_one_comes_from() -> None:
    """A site's own address for a node goes before the common one, and without either there is no edge."""
    relay = Node(name="a", kind=NodeKind.RELAY, site="fra", addresses_from={"home": Address("10.0.0.1", 2222)})
    topology = Topology(gateway=_GATEWAY, relays=(relay, _relay("b", "nyc")), links=_ALL_SITES)
    assert topology.dial_address(_GATEWAY, relay) == Address("10.0.0.1", 2222)
    assert not topology.graph(_target()).has_edge("b", "a")
    with pytest.raises(TopologyInvalid, match="from nyc"):
        topology.dial_address(topology.relays[1], relay)


def test_the_cheaper_of_two_links_sets_the_price() -> None:
    """Two links between the same sites at 0.09 and 0.02 USD/GB cost 0.02; inside a site traffic is free."""
    links = (
        SiteLink(source="home", target="fra", price_usd_per_gb=0.09),
        SiteLink(source="fra", target="home", price_usd_per_gb=0.02),
    )
    topology = Topology(gateway=_GATEWAY, relays=(_relay("a", "fra"), _relay("b", "fra")), links=links)
    graph = topology.graph(_target())
    assert graph.edges["gw", "a"]["price_usd_per_gb"] == 0.02
    assert graph.edges["a", "b"]["price_usd_per_gb"] == 0.0


@pytest.mark.parametrize("names", [("a", "a"), ("gw", "b"), ("t", "b")])
def test_names_are_unique(names: tuple[str, str]) -> None:
    """A name held twice is refused where it would make a route ambiguous."""
    with pytest.raises(TopologyInvalid):
        Topology(gateway=_GATEWAY, relays=tuple(_relay(name, "fra") for name in names), links=()).graph(_target())


def test_kinds_are_checked() -> None:
    """A target cannot be slipped in as a relay, nor a relay asked for as a target."""
    with pytest.raises(TopologyInvalid):
        Topology(gateway=_GATEWAY, relays=(_target(),), links=())
    with pytest.raises(TopologyInvalid):
        Topology(gateway=_GATEWAY, relays=(), links=()).graph(_relay("a", "fra"))


def test_an_ipv6_address_reads_unambiguously() -> None:
    """IPv6 literals are bracketed."""
    assert str(Address("::1", 22)) == "[::1]:22"
    assert str(Address("relay.example", 22)) == "relay.example:22"


def test_what_has_dialled_out_is_reached_at_its_relays_alone() -> None:
    """Links and sites neither open another way to it nor are needed for its own; graph and addresses agree."""
    gateway = Node(name="gw", kind=NodeKind.GATEWAY, site="home")
    near, far = (
        Node(name=name, kind=NodeKind.RELAY, site=name, address=Address(f"{name}.example", 22), user="r", host_key="k")
        for name in ("near", "far")
    )
    target = Node(
        name="platform/x",
        kind=NodeKind.TARGET,
        site="near",
        address=Address("10.0.0.5", 443),
        addresses_at={"far": Address("127.0.0.1", 40_000)},
    )
    links = (SiteLink(source="home", target="near"), SiteLink(source="near", target="far"))
    topology = Topology(gateway=gateway, relays=(near, far), links=links)
    assert list(topology.graph(target).predecessors("platform/x")) == ["far"]
    assert topology.dial_address(far, target) == Address("127.0.0.1", 40_000)
    with pytest.raises(TopologyInvalid):
        topology.dial_address(near, target)
