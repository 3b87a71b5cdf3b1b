"""The graph as arrays: links in order, found by their ends; paths along them."""

import math

import numpy as np

from routing.paths.graph import LinkGraph, Path

# 0 has two ways on, 2 has one, 1 and 3 have none.
_GRAPH = LinkGraph.of(4, [(2, 1), (0, 2), (0, 1), (0, 2)])
_COSTS = np.array([5.0, 1.0, 2.0])


def test_links_are_ordered_by_tail_then_head() -> None:
    """Whatever order they come in, links lie by tail, then head, and one given twice is there once."""
    assert list(zip(_GRAPH.tails.tolist(), _GRAPH.heads.tolist(), strict=True)) == [(0, 1), (0, 2), (2, 1)]
    assert _GRAPH.link_count == 3


def test_the_links_of_a_node_lie_side_by_side() -> None:
    """``starts`` bounds each node's links; a node without any has an empty stretch."""
    assert _GRAPH.starts.tolist() == [0, 2, 2, 3, 3]


def test_a_link_is_found_by_its_ends() -> None:
    """Each link's number is found by its ends; the way back, and a node without links, have none."""
    assert [_GRAPH.link(0, 1), _GRAPH.link(0, 2), _GRAPH.link(2, 1)] == [0, 1, 2]
    assert [_GRAPH.link(1, 0), _GRAPH.link(1, 2), _GRAPH.link(0, 3)] == [None, None, None]


def test_arrays_are_put_into_order() -> None:
    """A graph from arrays is the same as one from pairs."""
    made = LinkGraph.from_arrays(4, np.array([2, 0, 0]), np.array([1, 2, 1]))

    assert made.tails.tolist() == _GRAPH.tails.tolist()
    assert made.heads.tolist() == _GRAPH.heads.tolist()
    assert made.starts.tolist() == _GRAPH.starts.tolist()


def test_a_graph_without_links() -> None:
    """Nodes alone make a graph, too."""
    assert LinkGraph.of(3, []).starts.tolist() == [0, 0, 0, 0]


def test_a_path_costs_the_sum_of_its_links() -> None:
    """0 > 2 > 1 costs 1 + 2 = 3; a node alone costs nothing; a path over a link that is not there costs inf."""
    assert Path.along(_GRAPH, _COSTS, (0, 2, 1)) == Path((0, 2, 1), 3.0)
    assert Path.along(_GRAPH, _COSTS, (3,)) == Path((3,), 0.0)
    assert math.isinf(Path.along(_GRAPH, _COSTS, (0, 1, 2)).cost)


def test_the_relays_are_what_lies_between() -> None:
    """The ends are no relays."""
    assert Path((4, 2, 7), 1.0).relays == (2,)
    assert Path((4, 7), 1.0).relays == ()
