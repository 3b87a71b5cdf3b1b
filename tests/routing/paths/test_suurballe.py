"""The cheapest two paths that share no node."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.paths.apart import DisjointPair
from routing.paths.graph import Path
from routing.paths.suurballe import cheapest_apart
from tests.support.graphs import Costed, all_simple_paths, are_apart, linked, operator_network, sparse


@st.composite
def _graphs(draw: st.DrawFn) -> Costed:
    """Return graphs of up to seven nodes with whole costs, so that sums are exact."""
    ends = st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda pair: pair[0] != pair[1])
    return linked(7, draw(st.dictionaries(ends, st.sampled_from([0.0, 1.0, 2.0, 5.0, np.inf]), max_size=30)))


def _cheapest_by_trial(graph_and_costs: Costed, source: int, target: int) -> float | None:
    pairs = itertools.combinations(all_simple_paths(*graph_and_costs, source, target), 2)
    return min((one.cost + other.cost for one, other in pairs if are_apart(one, other, None)), default=None)


@given(_graphs())
def test_equals_trying_all_pairs(costed: Costed) -> None:
    """The pair found is apart and costs what the best of all pairs does; where there is none, none is found."""
    found = cheapest_apart(*costed, 0, 6)

    assert (None if found is None else found.cost) == _cheapest_by_trial(costed, 0, 6)
    assert found is None or are_apart(found.first, found.second, None)


@pytest.mark.parametrize("kind", [sparse, operator_network])
@pytest.mark.parametrize("seed", range(10))
def test_equals_trying_all_pairs_in_networks(kind: Callable[[int, int], Costed], seed: int) -> None:
    """The same on networks of 11 nodes with costs that are not whole, up to rounding."""
    costed = kind(11, seed)

    found = cheapest_apart(*costed, 0, 10)

    assert (None if found is None else found.cost) == pytest.approx(_cheapest_by_trial(costed, 0, 10))


def test_a_trap() -> None:
    """The cheapest path 0 > 1 > 2 > 3 (3) lies across both others, which together are the answer (6 each).

    0 > 1 > 4 > 3 costs 1 + 4 + 1, 0 > 5 > 2 > 3 costs 1 + 4 + 1: the second search goes back from 2 to 1.
    """
    across = {(0, 1): 1.0, (1, 2): 1.0, (2, 3): 1.0}
    graph, costs = linked(6, across | {(1, 4): 4.0, (4, 3): 1.0, (0, 5): 1.0, (5, 2): 4.0})

    assert cheapest_apart(graph, costs, 0, 3) == DisjointPair(Path((0, 1, 4, 3), 6.0), Path((0, 5, 2, 3), 6.0))


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        pytest.param({(0, 2): 5.0}, None, id="direct is apart from all but itself"),
        pytest.param({(0, 1): 1.0, (1, 2): 1.0}, None, id="a chain"),
        pytest.param({(0, 1): 1.0}, None, id="no way at all"),
        pytest.param({(0, 2): 5.0, (0, 1): 1.0, (1, 2): 1.0}, [(0, 1, 2), (0, 2)], id="direct and one relay"),
    ],
)
def test_the_direct_link(links: dict[tuple[int, int], float], expected: list[tuple[int, ...]] | None) -> None:
    """A direct link is one path, and only one."""
    found = cheapest_apart(*linked(3, links), 0, 2)

    assert (None if found is None else [found.first.nodes, found.second.nodes]) == expected
