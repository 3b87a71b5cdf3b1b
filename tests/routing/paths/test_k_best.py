"""The k cheapest simple paths equal those found by trying all."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.paths.distances import distances_to
from routing.paths.graph import LinkGraph, Path
from routing.paths.k_best import cheapest_first, k_best
from tests.support.graphs import Costed, all_simple_paths, full_mesh, linked

_LIMITS = st.sampled_from([None, 0, 1, 2, 3, 4])


@st.composite
def small_graphs(draw: st.DrawFn, most_nodes: int = 7) -> Costed:
    """Return graphs with whole costs, so that sums are exact and ties are many; some links must not be used."""
    count = draw(st.integers(2, most_nodes))
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
    costs = st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0, np.inf])
    return linked(count, draw(st.dictionaries(ends, costs, max_size=count * (count - 1))))


@given(small_graphs(), _LIMITS, st.integers(1, 8), st.booleans())
def test_equals_trying_all(costed: Costed, relay_limit: int | None, count: int, bounds_given: bool) -> None:  # noqa: FBT001
    """The k best are the first k of all simple paths under the limit, ties by nodes, whoever worked the bounds out."""
    graph, costs = costed
    ends = 0, graph.node_count - 1
    to_target = distances_to(graph, costs, ends[1]) if bounds_given else None

    found = k_best(graph, costs, *ends, count=count, relay_limit=relay_limit, to_target=to_target)

    assert list(found) == all_simple_paths(graph, costs, *ends, relay_limit)[:count]


@given(small_graphs(), _LIMITS)
def test_there_is_an_end(costed: Costed, relay_limit: int | None) -> None:
    """Taken to the end, every simple path comes exactly once."""
    graph, costs = costed

    found = list(cheapest_first(graph, costs, 0, 1, relay_limit=relay_limit))

    assert found == all_simple_paths(graph, costs, 0, 1, relay_limit)


@pytest.mark.parametrize("relay_limit", [None, 2])
@pytest.mark.parametrize("seed", range(5))
def test_equals_trying_all_where_a_node_has_many_ways(seed: int, relay_limit: int | None) -> None:
    """Among 40 nodes each with 39 ways on, more than are put in order at first, the 30 best of two relays are right.

    Without a limit there may be better ones, but none of the best is dearer.
    """
    graph, costs = full_mesh(40, seed)

    found = k_best(graph, costs, 0, 39, count=30, relay_limit=relay_limit)

    wanted = all_simple_paths(graph, costs, 0, 39, 2)[:30]
    if relay_limit is None:
        assert all(path.cost <= other.cost for path, other in zip(found, wanted, strict=True))
        assert [path for path in found if len(path.relays) <= 2] == wanted[: sum(len(p.relays) <= 2 for p in found)]
    else:
        assert list(found) == wanted


@pytest.mark.parametrize(
    ("relay_limit", "expected"),
    [
        pytest.param(0, [Path((0, 3), 9.0)], id="direct only"),
        pytest.param(1, [Path((0, 2, 3), 6.0), Path((0, 3), 9.0)], id="one relay"),
        pytest.param(2, [Path((0, 1, 2, 3), 3.0), Path((0, 2, 3), 6.0), Path((0, 3), 9.0)], id="two relays"),
    ],
)
def test_the_limit_counts_relays(relay_limit: int, expected: list[Path]) -> None:
    """0 > 1 > 2 > 3 costs 1 + 1 + 1, 0 > 2 > 3 costs 5 + 1, direct 9: each further relay lets in a cheaper one."""
    graph, costs = linked(4, {(0, 1): 1, (1, 2): 1, (2, 3): 1, (0, 2): 5, (0, 3): 9})

    assert list(k_best(graph, costs, 0, 3, count=9, relay_limit=relay_limit)) == expected


def test_a_long_way_into_a_dead_end_is_not_walked_over_and_over() -> None:
    """A side arm of 40 diamonds seems to lead to the target, but only back by the way it came.

    Every partial path into the arm seems better than the one detour of cost 100, and there are 2^40 of them: a search
    over partial paths would try each. That this one comes back at all is the proof.
    """
    arm = {(0, 1): 1.0, (1, 0): 1.0}
    for here in range(1, 121, 3):
        for middle in (here + 1, here + 2):
            arm |= {(here, middle): 0.1, (middle, here): 0.1, (middle, here + 3): 0.1, (here + 3, middle): 0.1}
    graph, costs = linked(124, arm | {(0, 123): 1.0, (0, 122): 100.0, (122, 123): 0.0})

    assert list(k_best(graph, costs, 0, 123, count=3)) == [Path((0, 123), 1.0), Path((0, 122, 123), 100.0)]


@pytest.mark.parametrize("relay_limit", [None, 0, 3])
def test_from_a_node_to_itself_is_one_path(relay_limit: int | None) -> None:
    """It has no links and costs nothing."""
    graph, costs = linked(2, {(0, 1): 1.0, (1, 0): 1.0})

    assert k_best(graph, costs, 1, 1, count=3, relay_limit=relay_limit) == (Path((1,), 0.0),)


def test_paths_are_searched_only_as_far_as_they_are_taken() -> None:
    """A mesh of 60 nodes has more simple paths than could ever be listed; the first two are had at once."""
    graph, costs = full_mesh(60, 1)

    assert len(list(islice(cheapest_first(graph, costs, 0, 1), 2))) == 2


def test_no_links_no_paths() -> None:
    """Where nothing leads anywhere there is no path, under a limit or not."""
    graph = LinkGraph.of(3, [])

    assert k_best(graph, np.array([]), 0, 2, count=3) == ()
    assert k_best(graph, np.array([]), 0, 2, count=3, relay_limit=2) == ()
