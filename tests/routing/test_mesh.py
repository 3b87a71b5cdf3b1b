"""The network as arrays: the same links as the topology's graph, with everything that is known of each."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import TopologyInvalid
from routing.estimate.table import LinkTable
from routing.mesh import Mesh, MeshMaker
from routing.topology import Address, Node, NodeKind, SiteLink, Topology

_SITES = ("home", "fra", "nyc", "cloud")
_LINKS = st.lists(
    st.builds(
        SiteLink,
        source=st.sampled_from(_SITES),
        target=st.sampled_from(_SITES),
        price_usd_per_gb=st.sampled_from([None, 0.01, 0.09]),
        capacity_mbps=st.sampled_from([None, 100.0]),
        both_ways=st.booleans(),
    ),
    max_size=8,
)


def _relay(name: str, site: str, **facts: float) -> Node:
    return Node(name=name, kind=NodeKind.RELAY, site=site, address=Address(name, 22), **facts)  # type: ignore[arg-type]


def _target(site: str = "cloud") -> Node:
    return Node(name="t", kind=NodeKind.TARGET, site=site, address=Address("api.example", 443))


def _topology(*links: SiteLink) -> Topology:
    return Topology(
        gateway=Node(name="gw", kind=NodeKind.GATEWAY, site="home"),
        relays=(_relay("a", "fra"), _relay("b", "fra"), _relay("c", "nyc", risk=3.0)),
        links=links,
    )


def _edges(mesh: Mesh) -> dict[tuple[str, str], float]:
    names = [node.name for node in mesh.nodes]
    ends = zip(mesh.graph.tails, mesh.graph.heads, mesh.prices, strict=True)
    return {(names[tail], names[head]): float(price) for tail, head, price in ends}


@given(links=_LINKS, site=st.sampled_from(_SITES), at=st.sets(st.sampled_from(["a", "c", "unknown"])))
def test_what_has_dialled_out_is_reached_at_its_relays_alone(links: list[SiteLink], site: str, at: set[str]) -> None:
    """Arrays and networkx agree on it too: each of its relays that is known, whatever is declared, and no other."""
    topology = _topology(*links)
    target = replace(_target(site), addresses_at={name: Address("127.0.0.1", 40_000) for name in at})
    graph = topology.graph(target)
    mesh = MeshMaker(LinkTable()).mesh(topology, target)
    assert _edges(mesh) == {(a, b): facts["price_usd_per_gb"] for a, b, facts in graph.edges(data=True)}
    assert set(graph.predecessors("t")) == at - {"unknown"}


@given(links=_LINKS, site=st.sampled_from(_SITES))
def test_the_mesh_has_the_links_of_the_topology(links: list[SiteLink], site: str) -> None:
    """Whatever is declared, arrays and networkx agree on who may dial whom and at which price."""
    topology = _topology(*links)
    graph = topology.graph(_target(site))
    mesh = MeshMaker(LinkTable()).mesh(topology, _target(site))
    assert _edges(mesh) == {(a, b): facts["price_usd_per_gb"] for a, b, facts in graph.edges(data=True)}


def test_links_know_their_rows_risks_and_capacities() -> None:
    """A link's row names it in the table; it bears its head's risk and what was declared of its sites."""
    table = LinkTable()
    links = (SiteLink(source="home", target="nyc", capacity_mbps=50.0), SiteLink(source="nyc", target="cloud"))
    mesh = MeshMaker(table).mesh(_topology(*links), _target())
    found = mesh.links(("c",))
    assert found is not None
    assert [table.names[row] for row in mesh.rows[found]] == [("gw", "c"), ("c", "t")]
    assert mesh.risks[found].tolist() == [3.0, 0.0]
    assert mesh.capacities_mbps[found].tolist() == [50.0, np.inf]
    assert mesh.links(("a",)) is None
    assert mesh.links(("nobody",)) is None


def test_rows_are_shared_between_targets() -> None:
    """Two targets of one topology, and the topology declared anew, speak of the same links by the same rows."""
    table = LinkTable()
    link = SiteLink(source="home", target="fra")
    one = MeshMaker(table).mesh(_topology(link), _target("fra"))
    other = MeshMaker(table).mesh(_topology(link), Node(name="u", kind=NodeKind.TARGET, site="fra", address=None))
    shared = {table.names[row] for row in one.rows} & {table.names[row] for row in other.rows}
    assert ("gw", "a") in shared
    assert len(table.names) == len({*one.rows.tolist(), *other.rows.tolist()})


def test_distance_stands_in_for_measurement() -> None:
    """A quarter of the way round the earth is 10,008 km: 150 ms at 200 km/ms, with half again for detours.

    Where a place is unknown it is 50 ms, and nothing within a site.
    """
    topology = Topology(
        gateway=Node(name="gw", kind=NodeKind.GATEWAY, site="home", latitude=0, longitude=0),
        relays=(_relay("far", "fra", latitude=0, longitude=90), _relay("lost", "nyc"), _relay("near", "home")),
        links=(SiteLink(source="home", target="fra"), SiteLink(source="home", target="nyc")),
    )
    mesh = MeshMaker(LinkTable()).mesh(topology, _target("home"))
    guess = {
        name: mesh.guesses_ms[mesh.graph.link(mesh.gateway, mesh.index[name])] for name in ("far", "lost", "near", "t")
    }
    assert guess == {"far": pytest.approx(150.1, abs=0.1), "lost": 50.0, "near": 0.0, "t": 0.0}


def test_a_target_is_a_target() -> None:
    """Neither a relay nor a name that is taken can be reached for."""
    maker = MeshMaker(LinkTable())
    with pytest.raises(TopologyInvalid):
        maker.mesh(_topology(), _relay("x", "fra"))
    with pytest.raises(TopologyInvalid):
        maker.mesh(_topology(), Node(name="a", kind=NodeKind.TARGET, site="cloud"))
