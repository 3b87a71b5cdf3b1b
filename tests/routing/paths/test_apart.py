"""What two paths apart may not share."""

import pytest

from routing.paths.apart import DisjointPair, Rules, groups_of, without
from routing.paths.graph import Path
from tests.support.graphs import linked

# Relay 1 is in groups 7 and 8, relays 2 and 3 in 8 and 9; so are the ends, which are nobody's relays.
_GROUPS = (frozenset({7, 8, 9}), frozenset({7, 8}), frozenset({8}), frozenset({9}), frozenset({7, 8, 9}))
_LINKS = {(0, 4): 9.0, (0, 1): 1.0, (1, 4): 1.0, (0, 2): 1.0, (2, 4): 1.0, (0, 3): 1.0, (3, 4): 1.0, (1, 2): 1.0}


@pytest.mark.parametrize(
    ("nodes", "in_groups", "left"),
    [
        pytest.param((0, 1, 4), False, {(0, 4), (0, 2), (2, 4), (0, 3), (3, 4)}, id="no link of its relay"),
        pytest.param((0, 1, 4), True, {(0, 4), (0, 3), (3, 4)}, id="none of relay 2 either, by group 8"),
        pytest.param((0, 3, 4), True, {(0, 4), (0, 1), (1, 4), (0, 2), (2, 4), (1, 2)}, id="group 9 holds only 3"),
        pytest.param((0, 4), True, {(0, 1), (1, 4), (0, 2), (2, 4), (0, 3), (3, 4), (1, 2)}, id="direct, only itself"),
    ],
)
def test_what_is_left_for_another(nodes: tuple[int, ...], in_groups: bool, left: set[tuple[int, int]]) -> None:  # noqa: FBT001
    """Exactly the links stay finite that a path apart may go over; the costs given are not written to."""
    graph, costs = linked(5, _LINKS)
    before = costs.tolist()

    after = without(graph, costs, Path(nodes, 0.0), _GROUPS if in_groups else None)

    ends = zip(graph.tails.tolist(), graph.heads.tolist(), after.tolist(), strict=True)
    assert {(tail, head) for tail, head, cost in ends if cost < 10} == left
    assert costs.tolist() == before


def test_groups_of_a_path_are_those_of_its_relays() -> None:
    """0 > 1 > 3 > 4 has those of 1 and 3; a direct path has none, whatever its ends are in."""
    assert groups_of(Path((0, 1, 3, 4), 0.0), _GROUPS) == {7, 8, 9}
    assert groups_of(Path((0, 4), 0.0), _GROUPS) == frozenset()


def test_rules() -> None:
    """Relays 1 and 2 share group 8; two relays are more than one; without rules nothing is shared and all is short."""
    one, other, longer = Path((0, 1, 4), 2.0), Path((0, 2, 4), 2.0), Path((0, 1, 3, 4), 3.0)
    rules, none = Rules(1, _GROUPS), Rules(None, None)

    assert rules.shared(one, other) == {8}
    assert none.shared(one, other) == frozenset()
    assert [rules.keeps_to(one), rules.keeps_to(longer), none.keeps_to(longer)] == [True, False, True]


def test_a_pair_has_the_cheaper_first() -> None:
    """Whichever way they are given, the cheaper is first, of equal ones that with the smaller nodes."""
    one, other, dearer = Path((0, 1, 4), 2.0), Path((0, 2, 4), 2.0), Path((0, 4), 9.0)

    assert DisjointPair.of(dearer, one) == DisjointPair.of(one, dearer) == DisjointPair(one, dearer)
    assert DisjointPair.of(other, one) == DisjointPair(one, other)
    assert DisjointPair(one, dearer).cost == 11
