"""Simple paths of any length, each next one leaving those before it."""

from hypothesis import given
from hypothesis import strategies as st

from routing.paths.deviations import deviations
from routing.paths.distances import distances_to
from routing.paths.graph import Path
from tests.support.graphs import Costed, all_simple_paths, linked


@st.composite
def _meshes_of_equals(draw: st.DrawFn) -> Costed:
    """Return complete graphs of five nodes in which links cost 1 or 2: 16 paths a pair, nearly all of them ties."""
    ends = [(tail, head) for tail in range(5) for head in range(5) if tail != head]
    return linked(5, {pair: draw(st.sampled_from([1.0, 2.0])) for pair in ends})


@given(_meshes_of_equals())
def test_ties_come_by_their_nodes(costed: Costed) -> None:
    """All 1 + 3 + 6 + 6 = 16 simple paths between two of five nodes come once each, by cost, then by nodes."""
    graph, costs = costed

    found = list(deviations(graph, costs, 0, 4, distances_to(graph, costs, 4)))

    assert len(found) == 16
    assert found == all_simple_paths(graph, costs, 0, 4)


def test_each_path_leaves_the_ones_before() -> None:
    """A ladder: 0 > 1 > 3 costs 2; leaving it at 1, over 2, costs 3; leaving it at 0, over 2, costs 4."""
    graph, costs = linked(4, {(0, 1): 1, (1, 3): 1, (1, 2): 1, (2, 3): 1, (0, 2): 3})

    found = list(deviations(graph, costs, 0, 3, distances_to(graph, costs, 3)))

    assert found == [Path((0, 1, 3), 2.0), Path((0, 1, 2, 3), 3.0), Path((0, 2, 3), 4.0)]
