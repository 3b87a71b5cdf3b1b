"""Distances: over any number of links, over few, and in a table that follows changes."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.paths.distances import DistanceTable, distances_from, distances_to, distances_within
from tests.support.graphs import Costed, all_simple_paths, full_mesh, linked, operator_network, sparse

# 0 > 1 > 2 > 3 costs 1 each, 0 > 3 costs 9; nothing leads out of 3, and 4 is alone.
_CHAIN = {(0, 1): 1.0, (1, 2): 1.0, (2, 3): 1.0, (0, 3): 9.0}


def test_distances_by_links_allowed() -> None:
    """To 3: over no link only from itself; over one from 0 (9) and 2 (1); over two from 1 (2); over three 0 has 3."""
    graph, costs = linked(5, _CHAIN)
    far = np.inf

    found = [by_node.tolist() for by_node in distances_within(graph, costs, 3, 3)]

    assert found == [[far, far, far, 0, far], [9, far, 1, 0, far], [9, 2, 1, 0, far], [3, 2, 1, 0, far]]


def test_distances_over_any_number_of_links() -> None:
    """To 3 from 0 it is 3, from 4 there is no way; from 0 to 2 it is 2, and to 0 itself 0."""
    graph, costs = linked(5, _CHAIN)

    assert distances_to(graph, costs, 3).tolist() == [3, 2, 1, 0, np.inf]
    assert distances_from(graph, costs, 0).tolist() == [0, 1, 2, 3, np.inf]


def test_free_and_forbidden_links() -> None:
    """A link that costs nothing is a link, and one that costs inf is none."""
    graph, costs = linked(3, {(0, 1): 0.0, (1, 2): 0.0, (0, 2): np.inf})

    assert distances_to(graph, costs, 2).tolist() == [0, 0, 0]
    assert distances_to(graph, np.array([np.inf, 5.0, 0.0]), 2).tolist() == [5, 0, 0]


@pytest.mark.parametrize("seed", range(20))
def test_distances_equal_the_cheapest_path(seed: int) -> None:
    """Whatever the limit, a distance is the cost of the cheapest path; without one, that of enough links."""
    graph, costs = sparse(8, seed, near=1)
    by_links = distances_within(graph, costs, 0, 7)
    for node in range(1, 8):
        for links in range(1, 8):
            paths = all_simple_paths(graph, costs, node, 0, links - 1)
            assert by_links[links][node] == pytest.approx(paths[0].cost if paths else np.inf)
    assert distances_to(graph, costs, 0) == pytest.approx(by_links[-1])


_COSTS = st.sampled_from([0.0, 0.1, 0.3, 1.0, 3.7, 50.0, np.inf])


@given(
    st.sampled_from([full_mesh, sparse, operator_network]),
    st.integers(0, 50),
    st.lists(st.tuples(st.integers(0, 10_000), _COSTS), max_size=12),
)
def test_a_table_that_follows_equals_a_new_one(
    kind: Callable[[int, int], Costed], seed: int, changes: list[tuple[int, float]]
) -> None:
    """After each of any changes of links, dearer, cheaper, gone and back, the table equals one made anew."""
    graph, costs = kind(9, seed)
    table = DistanceTable(graph, costs)
    for number, cost in changes:
        link = number % graph.link_count
        costs[link] = cost
        table.change(link, cost)

        anew = DistanceTable(graph, costs)
        for target in range(graph.node_count):
            assert table.to(target) == pytest.approx(anew.to(target), rel=1e-9, abs=0)


def test_the_table_by_hand() -> None:
    """Link 1 > 2 from 1 to 20: from 0 the direct way (9) wins, from 1 it is 21. Gone, 1 has no way; at 0.5 all gain."""
    graph, costs = linked(5, _CHAIN)
    link = graph.link(1, 2)
    assert link is not None
    table = DistanceTable(graph, costs)
    assert table.to(3).tolist() == [3, 2, 1, 0, np.inf]

    table.change(link, 20.0)
    assert table.to(3).tolist() == [9, 21, 1, 0, np.inf]
    table.change(link, np.inf)
    assert table.to(3).tolist() == [9, np.inf, 1, 0, np.inf]
    table.change(link, 0.5)
    assert table.to(3).tolist() == [2.5, 1.5, 1, 0, np.inf]


def test_what_is_handed_out_does_not_change() -> None:
    """Distances that somebody holds stay as they were, and the costs that were given are not written to."""
    graph, costs = linked(3, {(0, 1): 1.0, (1, 2): 1.0})
    table = DistanceTable(graph, costs)
    held = table.to(2)

    table.change(0, 7.0)

    assert held.tolist() == [2, 1, 0]
    assert costs.tolist() == [1, 1]
