"""Candidate routes: exactly those the policy allows, most promising first, and a reason when there is none."""

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.candidates import CandidatePolicy, Route, enumerate_routes
from routing.errors import NoRoute
from routing.estimate.table import LinkTable
from routing.mesh import MeshMaker
from routing.topology import Address, Node, NodeKind, SiteLink, Topology

_ANYWHERE = Address("host.example", 22)


def _node(name: str, kind: NodeKind, risk_group: str = "none") -> Node:
    return Node(name=name, kind=kind, site=f"at-{name}", address=_ANYWHERE, risk_groups=frozenset({risk_group}))


_TARGET = _node("t", NodeKind.TARGET)


def _network(edges: set[tuple[str, str]], relays: str = "abcd", risk_group: str = "none") -> Topology:
    """Return a network of one-letter relays, each at its own site, with exactly ``edges``."""
    return Topology(
        gateway=_node("g", NodeKind.GATEWAY),
        relays=tuple(_node(name, NodeKind.RELAY, risk_group) for name in relays),
        links=tuple(SiteLink(source=f"at-{source}", target=f"at-{sink}", both_ways=False) for source, sink in edges),
    )


def _found(
    network: Topology, policy: CandidatePolicy, rtts_ms: Mapping[tuple[str, str], float] | None = None
) -> tuple[Route, ...]:
    """Return the candidate routes to the target where these links cost what ``rtts_ms`` says, the others a guess."""
    return _towards(_TARGET, network, policy, rtts_ms)


def _towards(
    target: Node, network: Topology, policy: CandidatePolicy, rtts_ms: Mapping[tuple[str, str], float] | None = None
) -> tuple[Route, ...]:
    mesh = MeshMaker(LinkTable()).mesh(network, target)
    costs_ms = mesh.guesses_ms.copy()
    for (source, sink), rtt_ms in (rtts_ms or {}).items():
        link = mesh.graph.link(mesh.index[source], mesh.index[sink])
        assert link is not None
        costs_ms[link] = rtt_ms
    return enumerate_routes(mesh, policy, costs_ms)


def _edges(text: str) -> set[tuple[str, str]]:
    return {(pair[0], pair[1]) for pair in text.split()}


def _ids(routes: tuple[Route, ...]) -> list[str]:
    return [route.id for route in routes]


def _all_simple(edges: set[tuple[str, str]], relays: str, limit: int) -> set[tuple[str, ...]]:
    """Return every loop-free relay sequence along ``edges``, found by trying all of them."""
    return {
        hops
        for count in range(limit + 1)
        for hops in itertools.permutations(relays, count)
        if all(pair in edges for pair in itertools.pairwise(("g", *hops, "t")))
    }


_SOME_EDGES = st.sets(st.sampled_from([(a, b) for a in "gabcd" for b in "abcdt" if a != b]), max_size=24)


@given(edges=_SOME_EDGES, limit=st.integers(0, 4), direct=st.booleans())
def test_all_and_only_allowed_routes_are_found(edges: set[tuple[str, str]], limit: int, *, direct: bool) -> None:
    """On small networks the result equals trying every sequence of relays, and nothing left means NoRoute."""
    policy = CandidatePolicy(relay_limit=limit, direct_allowed=direct, candidate_limit=1000)
    expected = _all_simple(edges, "abcd", limit) - (set() if direct else {()})
    try:
        found = {route.hops for route in _found(_network(edges), policy)}
    except NoRoute:
        found = set()
    assert found == expected


@given(edges=_SOME_EDGES, estimates=st.data(), limit=st.integers(1, 6))
def test_the_most_promising_come_first(edges: set[tuple[str, str]], estimates: st.DataObject, limit: int) -> None:
    """The list is the start of all routes sorted by summed estimates, with direct in front."""
    rtts = {edge: estimates.draw(st.floats(0.1, 300)) for edge in sorted(edges)}
    everything = CandidatePolicy(candidate_limit=1000)
    try:
        routes = _found(_network(edges), everything, rtts)
    except NoRoute:
        return
    relayed = [route for route in routes if route.hops]
    sums = [sum(rtts[link] for link in route.links("g")) for route in relayed]
    assert all(earlier <= later + 1e-9 for earlier, later in itertools.pairwise(sums))
    assert all(route.hops for route in routes[1:])
    cut = _found(_network(edges), CandidatePolicy(candidate_limit=limit), rtts)
    assert cut == routes[:limit]


@pytest.mark.parametrize(
    ("edges", "policy", "rule"),
    [
        pytest.param("ab bt", CandidatePolicy(), "links", id="gateway may dial nobody"),
        pytest.param("ga ab", CandidatePolicy(), "links", id="nobody may dial the target"),
        pytest.param("gt", CandidatePolicy(direct_allowed=False), "direct_allowed", id="only direct"),
        pytest.param("ga at", CandidatePolicy(avoid=frozenset({"a"})), "avoid", id="avoided by name"),
        pytest.param("ga at", CandidatePolicy(avoid=frozenset({"acme"})), "avoid", id="avoided by risk group"),
        pytest.param("ga ab bt", CandidatePolicy(relay_limit=1), "relay_limit", id="two relays needed"),
        pytest.param("ga at", CandidatePolicy(entry_limit=0), "entry_limit", id="no entries"),
        pytest.param("ga at", CandidatePolicy(exit_limit=0), "exit_limit", id="no exits"),
    ],
)
def test_no_route_names_the_rule(edges: str, policy: CandidatePolicy, rule: str) -> None:
    """The error says which rule took the last candidate away, in its text and as a field."""
    network = _network(_edges(edges), risk_group="acme")
    with pytest.raises(NoRoute) as refused:
        _found(network, policy)
    assert refused.value.rule == rule
    assert rule == "links" or rule in str(refused.value)


def test_entries_and_exits_are_the_nearest() -> None:
    """With one entry and one exit allowed, the nearest of each is kept: a at 10 ms, b at 10 ms before the target."""
    edges = _edges("ga gb ab ba at bt")
    rtts = {("g", "a"): 10.0, ("g", "b"): 90.0, ("a", "t"): 90.0, ("b", "t"): 10.0}
    policy = CandidatePolicy(entry_limit=1, exit_limit=1)
    assert _ids(_found(_network(edges), policy, rtts)) == ["a>b"]


def test_a_near_dead_end_does_not_use_up_the_entries() -> None:
    """Relay a is nearest but leads nowhere; with one entry allowed the route through b is still found."""
    rtts = {("g", "a"): 1.0, ("g", "b"): 90.0}
    policy = CandidatePolicy(entry_limit=1)
    assert _ids(_found(_network(_edges("ga gb bt")), policy, rtts)) == ["b"]


def test_entries_and_exits_that_need_too_many_relays_are_none() -> None:
    """Relay a is nearest to both ends but belongs to no route of two relays; b and c, which do, are entry and exit."""
    near_entry, near_exit = {("g", "a"): 1.0, ("g", "b"): 90.0}, {("a", "t"): 1.0, ("c", "t"): 90.0}
    entry, leave = CandidatePolicy(entry_limit=1, relay_limit=2), CandidatePolicy(exit_limit=1, relay_limit=2)
    assert _ids(_found(_network(_edges("ga ac cd db bt gb")), entry, near_entry)) == ["b"]
    assert _ids(_found(_network(_edges("gb bc cd da at ct")), leave, near_exit)) == ["b>c"]


def test_a_large_mesh_is_cut_before_it_is_walked() -> None:
    """A hundred fully meshed relays give the twelve best quickly; among them the best one-relay route by estimate.

    Each relay's two links cost its own number, so through relay n a route costs 2n, and 50 ms more per link
    between relays.
    """
    names = [f"r{number:03}" for number in range(100)]
    site_links = tuple(SiteLink(source="hub", target=name) for name in [*names, "t"]) + tuple(
        SiteLink(source=one, target=other) for one, other in itertools.combinations([*names, "t"], 2)
    )
    topology = Topology(
        gateway=Node(name="g", kind=NodeKind.GATEWAY, site="hub"),
        relays=tuple(Node(name=name, kind=NodeKind.RELAY, site=name, address=_ANYWHERE) for name in names),
        links=site_links,
    )
    target = Node(name="t", kind=NodeKind.TARGET, site="t", address=_ANYWHERE)
    rtts = {("g", name): float(place) for place, name in enumerate(names)}
    rtts |= {(name, "t"): float(place) for place, name in enumerate(names)}
    routes = _towards(target, topology, CandidatePolicy(), rtts)
    assert _ids(routes)[:4] == ["direct", "r000", "r001", "r002"]
    assert len(routes) == 12


@pytest.mark.parametrize(
    ("require", "expected"),
    [
        pytest.param({"b"}, ["b", "b>a", "a>b", "b>c", "c>b"], id="one relay by name"),
        pytest.param({"eu"}, ["a", "c", "b>a", "a>b", "a>c", "b>c", "c>b", "c>a"], id="one of a group"),
        pytest.param({"b", "eu"}, ["b>a", "a>b", "b>c", "c>b"], id="both"),
    ],
)
def test_required_words_are_each_met(require: set[str], expected: list[str]) -> None:
    """Of all routes over at most two relays exactly those remain that meet every word, never the direct one.

    a and c are in group eu; all relays are equally near, so one relay comes before two.
    """
    groups = {"a": {"eu"}, "b": {"us"}, "c": {"eu"}}
    network = Topology(
        gateway=_node("g", NodeKind.GATEWAY),
        relays=tuple(
            Node(name=name, kind=NodeKind.RELAY, site=f"at-{name}", address=_ANYWHERE, labels=frozenset(words))
            for name, words in groups.items()
        ),
        links=tuple(
            SiteLink(source=f"at-{source}", target=f"at-{sink}", both_ways=False)
            for source, sink in _edges("ga gb gc at bt ct ab ba ac ca bc cb gt")
        ),
    )
    policy = CandidatePolicy(relay_limit=2, candidate_limit=20, require=frozenset(require))
    found = _ids(_found(network, policy))
    assert sorted(found) == sorted(expected)
    assert [len(each) for each in found] == sorted(len(each) for each in found)


def test_what_cannot_be_met_names_the_rule() -> None:
    """A word that no relay bears, or that no allowed route bears, is to blame, not the links."""
    for require in ({"nowhere"}, {"a", "b"}):
        with pytest.raises(NoRoute) as refused:
            _found(_network(_edges("ga gb at bt")), CandidatePolicy(require=frozenset(require)))
        assert refused.value.rule == "require"


def test_a_route_reads_well() -> None:
    """The id is stable and readable; links run from the gateway to the target."""
    route = Route(("fra-1", "nyc-1"), "moon")
    assert route.id == "fra-1>nyc-1"
    assert route.links("gw") == (("gw", "fra-1"), ("fra-1", "nyc-1"), ("nyc-1", "moon"))
    assert Route((), "moon").id == "direct"
