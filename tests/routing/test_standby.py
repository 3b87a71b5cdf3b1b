"""The standby of a route: apart from it in relays and risk, or why there is none."""

from collections.abc import Mapping

import numpy as np
import pytest

from routing.candidates import CandidatePolicy, Route
from routing.estimate.table import LinkTable
from routing.mesh import Mesh, MeshMaker
from routing.standby import Standby, find_standby
from routing.topology import Address, Node, NodeKind, SiteLink, Topology


def _mesh(links: str, groups: Mapping[str, str] | None = None) -> Mesh:
    """Return relays a..d with exactly these links; ``groups`` names the one shared risk that a relay is in."""

    def node(name: str, kind: NodeKind = NodeKind.RELAY) -> Node:
        fate = (groups or {}).get(name)
        return Node(
            name=name,
            kind=kind,
            site=f"at-{name}",
            address=Address(name, 22),
            risk_groups=frozenset({fate} if fate else set()),
        )

    topology = Topology(
        gateway=node("g", NodeKind.GATEWAY),
        relays=tuple(node(name) for name in "abcd"),
        links=tuple(SiteLink(source=f"at-{a}", target=f"at-{b}", both_ways=False) for a, b in links.split()),
    )
    return MeshMaker(LinkTable()).mesh(topology, node("t", NodeKind.TARGET))


def _standby(mesh: Mesh, primary: str, policy: CandidatePolicy | None = None, dead: str = "") -> Standby:
    """Return the standby where every link costs 10 ms, but those of ``dead``, which are down."""
    costs_ms = np.full(mesh.graph.link_count, 10.0)
    for tail, head in dead.split():
        link = mesh.graph.link(mesh.index[tail], mesh.index[head])
        assert link is not None
        costs_ms[link] = np.inf
    hops = () if primary == "direct" else tuple(primary.split(">"))
    return find_standby(mesh, costs_ms, Route(hops, "t"), policy or CandidatePolicy())


def test_the_best_route_apart_stands_by() -> None:
    """Beside a, the direct link costs 10 ms, 10 less; where that is forbidden, b costs as much as a."""
    mesh = _mesh("ga at gb bt gt")
    assert _standby(mesh, "a").to_json() == {"route": "direct", "cost_ms": 10.0, "extra_ms": -10.0}
    forbidden = _standby(mesh, "a", CandidatePolicy(direct_allowed=False))
    assert forbidden.to_json() == {"route": "b", "cost_ms": 20.0, "extra_ms": 0.0}


def test_a_shared_fate_is_no_standby() -> None:
    """B is in the building of a, so c over d stands by, though it is dearer."""
    mesh = _mesh("ga at gb bt gc cd dt", {"a": "hall-1", "b": "hall-1"})
    assert _standby(mesh, "a").route == Route(("c", "d"), "t")


@pytest.mark.parametrize(
    ("links", "primary", "groups", "policy", "because"),
    [
        pytest.param("ga at", "a", {}, CandidatePolicy(), "every route goes through a", id="one relay"),
        pytest.param("gt", "direct", {}, CandidatePolicy(), "the direct link is the only route", id="only direct"),
        pytest.param(
            "ga at gb bt", "a", {"a": "acme", "b": "acme"}, CandidatePolicy(), "every other route shares acme with it",
            id="one operator",
        ),
        pytest.param(
            "ga at gb bc ct", "a", {}, CandidatePolicy(relay_limit=1), "every other route needs 2 relays", id="too far"
        ),
        pytest.param(
            "ga ab bt gb at", "a>b", {}, CandidatePolicy(),
            "the route in use lies across every other; apart are a and b", id="a trap",
        ),
    ],
)  # fmt: skip
def test_no_standby_says_why(
    links: str, primary: str, groups: Mapping[str, str], policy: CandidatePolicy, because: str
) -> None:
    """The reason names relays, groups and limits as the admin declared them."""
    assert _standby(_mesh(links, groups), primary, policy).to_json() == {"route": None, "because": because}


def test_what_is_down_cannot_stand_by() -> None:
    """B leads there but is dead: then nothing is apart from a."""
    assert _standby(_mesh("ga at gb bt"), "a", dead="gb").route is None
    assert _standby(_mesh("ga at gb bt"), "b", dead="gb").route == Route(("a",), "t")


def test_a_standby_meets_what_is_required() -> None:
    """Where d is required c>d stands by, though b is cheaper; beside c>d itself nothing does."""
    mesh = _mesh("ga at gb bt gc cd dt")
    wanted = CandidatePolicy(require=frozenset({"d"}))
    assert _standby(mesh, "a").route == Route(("b",), "t")
    assert _standby(mesh, "a", wanted).route == Route(("c", "d"), "t")
    assert _standby(mesh, "c>d", wanted).because == "no route apart from it goes over a relay for each required word"
