"""The network joined with what is believed of it: promised costs are the ranking's, and the dead come last."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.candidates import Route
from routing.errors import TopologyInvalid
from routing.estimate.costs import Weights, throughput_mbps, transfer_ms_per_mb
from routing.estimate.table import LinkRound, LinkTable
from routing.mesh import Mesh, MeshMaker
from routing.ranking import Aim, Profile, score
from routing.survey import alive_costs_ms, contest, dead_rows, is_alive, measure, promised_costs_ms
from routing.topology import Address, Node, NodeKind, SiteLink, Topology

_ROUTES = [Route(hops, "t") for count in range(3) for hops in itertools.permutations("ab", count)]


def _mesh(table: LinkTable) -> Mesh:
    """Return two relays, fully linked with gateway and target; going on to the target costs 0.05 USD/GB."""

    def node(name: str, kind: NodeKind = NodeKind.RELAY) -> Node:
        return Node(name=name, kind=kind, site=f"at-{name}", address=Address(name, 22), risk=2.0 if name == "b" else 0)

    links = tuple(
        SiteLink(source=f"at-{a}", target=f"at-{b}", price_usd_per_gb=0.05 if "t" in {a, b} else None)
        for a, b in itertools.combinations("gabt", 2)
    )
    topology = Topology(gateway=node("g", NodeKind.GATEWAY), relays=(node("a"), node("b")), links=links)
    return MeshMaker(table).mesh(topology, node("t", NodeKind.TARGET))


def _tell(table: LinkTable, name: str, *samples_ms: float | None) -> None:
    table.absorb_rounds([LinkRound(name=(name[0], name[1]), samples_ms=samples_ms, method="icmp")], 0.0)


@given(
    rtts=st.lists(st.lists(st.floats(1, 300), min_size=1, max_size=4), min_size=7, max_size=7),
    weights=st.builds(
        Weights,
        delay=st.floats(0.1, 5),
        loss=st.floats(0, 5),
        jitter=st.floats(0, 5),
        hops=st.floats(0, 50),
        price=st.floats(0, 500),
        risk=st.floats(0, 50),
    ),
)
def test_promised_costs_are_those_of_the_ranking(rtts: list[list[float]], weights: Weights) -> None:
    """Where every link was measured, the links of a route cost together what its score says, term by term."""
    table = LinkTable()
    mesh = _mesh(table)
    for row, samples_ms in zip(mesh.rows, rtts, strict=True):
        _tell(table, "".join(table.names[row]), *samples_ms)
    costs_ms = promised_costs_ms(mesh, table, Aim(weights=weights), 0.0)
    for route, measured in zip(_ROUTES, measure(mesh, table, _ROUTES, 0.0), strict=True):
        links = mesh.links(route.hops)
        assert links is not None
        assert score(measured, Aim(weights=weights)).cost_ms == pytest.approx(costs_ms[links].sum())


def test_a_guess_stands_in_and_the_dead_come_last() -> None:
    """Nobody measured: 50 ms a link and 5 a relay. Dead: dearer than anything alive, but still a way; and told of."""
    table = LinkTable()
    mesh = _mesh(table)
    costs_ms = promised_costs_ms(mesh, table, Aim(), 0.0)
    relayed = mesh.links(("a",))
    assert relayed is not None
    assert costs_ms[relayed].tolist() == [55.0, 50.0]
    _tell(table, "ga", None, None, None)
    costs_ms = promised_costs_ms(mesh, table, Aim(), 0.0)
    assert 1e6 < costs_ms[relayed[0]] < np.inf
    assert [is_alive(mesh, route, costs_ms) for route in _ROUTES] == [True, False, True, False, True]
    assert np.isinf(alive_costs_ms(costs_ms)[relayed[0]])
    assert [table.names[row] for row in dead_rows(mesh, table, 0.0)] == [("g", "a")]


def test_a_contest_names_links_and_what_else_costs() -> None:
    """Through b: its two links, padded; 5 ms for a relay, 2 points of risk at 3 ms, 0.05 USD/GB at 100 ms."""
    table = LinkTable()
    mesh = _mesh(table)
    weights = Weights(risk=3.0, price=100.0)
    routes = [Route(("b",), "t"), Route(("a", "b"), "t")]
    found = contest(mesh, routes, weights, routes[1])
    assert [table.names[row] for row in found.links[0, 0] if row >= 0] == [("g", "b"), ("b", "t")]
    assert found.extra_ms[0].tolist() == pytest.approx([5 + 6 + 5, 10 + 6 + 5])
    assert found.in_use.tolist() == [1]
    with pytest.raises(TopologyInvalid):
        contest(mesh, [Route(("nobody",), "t")], weights, None)


def test_bulk_promises_by_throughput() -> None:
    """At 100 ms and without loss the window of 8 MiB allows 671 Mbit/s: 11.9 ms a megabyte."""
    assert float(throughput_mbps(100.0, 0.0)) == pytest.approx(671.1, abs=0.1)
    assert float(throughput_mbps(100.0, 0.01)) == pytest.approx(1.42, abs=0.01)
    assert float(throughput_mbps(100.0, 0.0, 50.0)) == 50.0
    assert float(transfer_ms_per_mb(80.0)) == 100.0
    table = LinkTable()
    mesh = _mesh(table)
    _tell(table, "gt", 100.0)
    direct = mesh.links(())
    assert direct is not None
    promised = promised_costs_ms(mesh, table, Aim(profile=Profile.BULK), 0.0)[direct]
    (measured,) = measure(mesh, table, [Route((), "t")], 0.0)
    assert score(measured, Aim(profile=Profile.BULK)).cost_ms == pytest.approx(float(promised[0]))
