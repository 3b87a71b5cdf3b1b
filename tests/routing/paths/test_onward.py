"""The ways on from a node: the best first, and only as many put in order as are asked for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routing.paths.graph import LinkGraph
from routing.paths.onward import Onward, Ways


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.5, np.inf]), max_size=80))
def test_all_ways_come_in_order_however_many(totals: list[float]) -> None:
    """Asked for one place after the other, ways come by total, equal ones by head; those of inf never come.

    Five values over up to 80 ways make ties wherever the order is continued, which is where one could be lost.
    """
    heads = np.arange(len(totals))
    ways = Ways(heads, np.array(totals) / 2, np.array(totals))
    found = []
    while ways.reach(len(found)):
        place = len(found)
        found.append((ways.totals[place], ways.heads[place], ways.steps[place]))

    assert found == sorted((total, head, total / 2) for head, total in enumerate(totals) if np.isfinite(total))


def test_a_total_is_the_link_and_what_is_left_after_it() -> None:
    """From 0, the link to 1 costs 4 and 1 more are left there: 5; to 2 it costs 2 and 7 are left: 9."""
    graph = LinkGraph.of(3, [(0, 1), (0, 2)])
    onward = Onward(graph, np.array([4.0, 2.0]), [np.array([0.0, 1.0, 7.0]), np.array([0.0, 9.0, 0.0])])

    ways = onward.ways(0)
    assert ways.reach(1)
    assert (ways.heads, ways.steps, ways.totals) == ([1, 2], [4.0, 2.0], [5.0, 9.0])


def test_each_bound_has_its_own_order() -> None:
    """By the second bound, 9 are left from 1 and none from 2: now 2 comes first."""
    graph = LinkGraph.of(3, [(0, 1), (0, 2)])
    onward = Onward(graph, np.array([4.0, 2.0]), [np.array([0.0, 1.0, 7.0]), np.array([0.0, 9.0, 0.0])])

    assert onward.ways(0, 0).reach(1)
    assert onward.ways(0, 1).reach(1)
    assert onward.ways(0, 1).heads == [2, 1]


def test_a_node_without_links_has_no_ways() -> None:
    """There is no first way."""
    assert not Onward(LinkGraph.of(2, [(0, 1)]), np.array([1.0]), [np.zeros(2)]).ways(1).reach(0)
