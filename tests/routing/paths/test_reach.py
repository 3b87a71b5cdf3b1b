"""How few links lead from one node to another."""

import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routing.paths.graph import LinkGraph
from routing.paths.reach import UNREACHABLE, fewest_links

_LINKS = st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda pair: pair[0] != pair[1]))


@given(links=_LINKS, removed=st.data(), backward=st.booleans(), at_most=st.none() | st.integers(0, 4))
def test_it_is_what_a_breadth_first_walk_finds(
    links: set[tuple[int, int]], removed: st.DataObject, at_most: int | None, *, backward: bool
) -> None:
    """On small graphs, forwards and backwards, networkx counts the same links; unusable ones do not count.

    What lies beyond ``at_most`` links is not found.
    """
    graph = LinkGraph.of(7, links)
    usable = np.array([removed.draw(st.booleans()) for _ in range(graph.link_count)], dtype=np.bool_)
    walked: nx.DiGraph[int] = nx.DiGraph()
    walked.add_nodes_from(range(7))
    walked.add_edges_from(zip(graph.tails[usable].tolist(), graph.heads[usable].tolist(), strict=True))
    expected = nx.single_source_shortest_path_length(walked.reverse() if backward else walked, 3, cutoff=at_most)
    found = fewest_links(graph, usable, 3, backward=backward, at_most=at_most)
    assert found.tolist() == [expected.get(node, UNREACHABLE) for node in range(7)]
