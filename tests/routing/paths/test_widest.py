"""The widest path within a price, and the cheapest through required nodes: equal to trying every path."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.paths.graph import LinkGraph
from routing.paths.through import k_best_through
from routing.paths.widest import widest

_NODES = 6
_PAIRS = [(tail, head) for tail in range(_NODES) for head in range(_NODES) if tail != head]
_LINKS = st.dictionaries(
    st.sampled_from(_PAIRS), st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=len(_PAIRS)
)


def _paths(links: dict[tuple[int, int], tuple[int, int]], relay_limit: int) -> list[tuple[int, ...]]:
    """Return every simple path from 0 to the last node."""
    return [
        (0, *hops, _NODES - 1)
        for count in range(relay_limit + 1)
        for hops in itertools.permutations(range(1, _NODES - 1), count)
        if all(pair in links for pair in itertools.pairwise((0, *hops, _NODES - 1)))
    ]


def _arrays(links: dict[tuple[int, int], tuple[int, int]]) -> tuple[LinkGraph, np.ndarray, np.ndarray]:
    graph = LinkGraph.of(_NODES, links)
    told = np.array([links[int(tail), int(head)] for tail, head in zip(graph.tails, graph.heads, strict=True)], float)
    return graph, told[:, 0], told[:, 1]


@given(links=_LINKS, limit=st.integers(0, 10), relays=st.integers(0, 4))
def test_the_widest_path_within_the_price(
    links: dict[tuple[int, int], tuple[int, int]], limit: int, relays: int
) -> None:
    """Of all paths that are cheap enough none is wider, and of those as wide none is cheaper."""
    graph, widths, prices = _arrays(links)
    found = widest(graph, widths, prices, 0, _NODES - 1, price_limit=limit, relay_limit=relays)
    known = [
        (
            min(links[pair][0] for pair in itertools.pairwise(path)),
            sum(links[pair][1] for pair in itertools.pairwise(path)),
        )
        for path in _paths(links, relays)
    ]
    allowed = [(width, -price) for width, price in known if price <= limit and width > 0]
    if not allowed:
        assert found is None
        return
    assert found is not None
    width, price = max(allowed)
    assert min(links[pair][0] for pair in itertools.pairwise(found.nodes)) == width
    assert found.cost == pytest.approx(-price)


@given(links=_LINKS, marks=st.lists(st.integers(0, 3), min_size=4, max_size=4), count=st.integers(1, 6))
def test_the_cheapest_paths_with_every_mark(
    links: dict[tuple[int, int], tuple[int, int]], marks: list[int], count: int
) -> None:
    """They are the cheapest of all simple paths on whose relays every mark that there is occurs."""
    graph, costs, _ = _arrays(links)
    by_node = np.array([0, *marks, 0])
    wanted = int(np.bitwise_or.reduce(by_node))
    expected = sorted(
        sum(links[pair][0] for pair in itertools.pairwise(path))
        for path in _paths(links, 3)
        if int(np.bitwise_or.reduce(by_node[list(path)])) == wanted
    )[:count]
    found = k_best_through(graph, costs, 0, _NODES - 1, by_node, count=count, relay_limit=3)
    assert [path.cost for path in found] == pytest.approx(expected)
    assert all(len(set(path.nodes)) == len(path.nodes) for path in found)
