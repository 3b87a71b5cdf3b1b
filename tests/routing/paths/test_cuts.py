"""The relays that every path goes through."""

from collections.abc import Set as AbstractSet

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.paths.cuts import cut_nodes
from tests.support.graphs import all_simple_paths, linked


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda pair: pair[0] != pair[1]), min_size=1))
def test_equals_what_all_paths_share(links: AbstractSet[tuple[int, int]]) -> None:
    """Along whichever path it is walked, the cuts are the relays that all simple paths have in common, in order."""
    graph, costs = linked(7, dict.fromkeys(links, 1.0))
    paths = all_simple_paths(graph, costs, 0, 6)
    for path in paths:
        shared = set(path.relays).intersection(*(other.relays for other in paths))
        assert cut_nodes(graph, costs, path) == tuple(relay for relay in path.relays if relay in shared)


@pytest.mark.parametrize(
    ("around", "expected"),
    [
        pytest.param({}, (1, 2, 3), id="a chain is cut anywhere"),
        pytest.param({(1, 5): 1, (5, 3): 1}, (1, 3), id="a way round the middle"),
        pytest.param({(0, 5): 1, (5, 2): 1}, (2, 3), id="a way round the start"),
        pytest.param({(3, 5): 1, (5, 1): 1}, (1, 2, 3), id="a way back is no way round"),
        pytest.param({(0, 4): 1}, (), id="a direct link"),
        pytest.param({(0, 4): float("inf")}, (1, 2, 3), id="a direct link that is down"),
    ],
)
def test_cuts_of_a_chain(around: dict[tuple[int, int], float], expected: tuple[int, ...]) -> None:
    """0 > 1 > 2 > 3 > 4 with a further way somewhere is cut exactly where that leads nowhere round."""
    graph, costs = linked(6, {(0, 1): 1.0, (1, 2): 1.0, (2, 3): 1.0, (3, 4): 1.0} | around)

    chain = next(path for path in all_simple_paths(graph, costs, 0, 4) if path.nodes == (0, 1, 2, 3, 4))
    assert cut_nodes(graph, costs, chain) == expected
