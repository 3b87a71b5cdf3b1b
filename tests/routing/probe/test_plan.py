"""The probe plan: each link that deserves it once, reached by the shortest way that leads to its source."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routing.candidates import Route
from routing.estimate.table import LinkRound, LinkTable
from routing.mesh import Mesh, MeshMaker
from routing.probe.attention import Attention
from routing.probe.plan import PlannedLink, plan_probes
from routing.topology import Address, Node, NodeKind, SiteLink, Topology

_HOPS = st.lists(st.sampled_from("abcde"), unique=True, max_size=3).map(tuple)


def _node(name: str, kind: NodeKind = NodeKind.RELAY) -> Node:
    return Node(name=name, kind=kind, site=f"at-{name}", address=Address(name, 22))


def _mesh(table: LinkTable, links: str) -> Mesh:
    """Return relays a..e with exactly these links, such as ``ga ab bt``."""
    topology = Topology(
        gateway=_node("g", NodeKind.GATEWAY),
        relays=tuple(_node(name) for name in "abcde"),
        links=tuple(SiteLink(source=f"at-{a}", target=f"at-{b}", both_ways=False) for a, b in links.split()),
    )
    return MeshMaker(table).mesh(topology, _node("t", NodeKind.TARGET))


def _attention(table: LinkTable, links: list[tuple[str, str]]) -> Attention:
    rows = table.rows(links)
    return Attention(rows=rows, samples=np.arange(1, len(rows) + 1))


@given(hops=st.lists(_HOPS, unique=True, min_size=1, max_size=12))
def test_links_are_reached_along_routes(hops: list[tuple[str, ...]]) -> None:
    """Every link asked for is planned once with its packets, standing where one of the routes leads."""
    routes = [Route(each, "t") for each in hops]
    pairs = sorted({pair for route in routes for pair in route.links("g")})
    table = LinkTable()
    mesh = _mesh(table, " ".join("".join(pair) for pair in pairs))
    plan = plan_probes(_attention(table, pairs), table, mesh, routes)
    assert [(link.source, link.target) for link in plan.links] == pairs
    assert [link.samples for link in plan.links] == list(range(1, len(pairs) + 1))
    for link in plan.links:
        assert (link.via[-1] if link.via else "g") == link.source
        assert any(route.hops[: len(link.via)] == link.via for route in routes)


def test_the_shortest_way_to_a_source_is_taken() -> None:
    """Link b-t lies on a>b and on b; it is probed from b reached directly."""
    table = LinkTable()
    mesh = _mesh(table, "ga gb ab bt")
    routes = [Route(("a", "b"), "t"), Route(("b",), "t")]
    plan = plan_probes(_attention(table, [("b", "t")]), table, mesh, routes)
    assert plan.links == (PlannedLink(source="b", target="t", via=("b",)),)


def test_a_link_of_no_route_is_reached_straight_or_left_out() -> None:
    """A dead link may be on no route: from a, whom the gateway reaches, it is probed; from c, whom it does not, not."""
    table = LinkTable()
    mesh = _mesh(table, "ga ab bc ct gt")
    plan = plan_probes(_attention(table, [("a", "b"), ("c", "t"), ("g", "a")]), table, mesh, [Route((), "t")])
    assert [(link.source, link.target, link.via) for link in plan.links] == [("a", "b", ("a",)), ("g", "a", ())]


def test_nothing_is_asked_over_a_link_that_is_down() -> None:
    """Relay a is down: the link to it is asked, those beyond it are not, and b's are; when it is back, all are."""
    table = LinkTable()
    mesh = _mesh(table, "ga gb ab bt at")
    asked = [("g", "a"), ("a", "b"), ("a", "t"), ("b", "t")]
    down = LinkRound(name=("g", "a"), samples_ms=[None] * 3, method="icmp")
    table.absorb_rounds([down], 0.0)
    plan = plan_probes(_attention(table, asked), table, mesh, [])
    assert [(link.source, link.target) for link in plan.links] == [("g", "a"), ("b", "t")]
    table.absorb_rounds([LinkRound(name=("g", "a"), samples_ms=[9.0], method="icmp")], 1.0)
    assert len(plan_probes(_attention(table, asked), table, mesh, []).links) == len(asked)
