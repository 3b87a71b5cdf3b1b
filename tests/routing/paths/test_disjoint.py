"""The best standby and the best disjoint pair equal those found by trying all; where there is none, it is said why."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.paths.apart import DisjointPair
from routing.paths.disjoint import Obstacle, ObstacleKind, best_disjoint_pair, best_standby
from routing.paths.graph import Path
from tests.support.graphs import Costed, all_simple_paths, are_apart, full_mesh, linked, operator_network, random_groups

_LIMITS = st.sampled_from([None, 0, 1, 2, 3])
Groups = tuple[frozenset[int], ...] | None

# Three ways from 0 to 5: over 1, over 2 and 3, and direct, which costs most.
_THREE_WAYS = {(0, 1): 2.0, (1, 5): 2.0, (0, 2): 1.0, (2, 3): 1.0, (3, 5): 1.0, (0, 5): 9.0}
_OVER_1, _OVER_2_AND_3, _DIRECT = Path((0, 1, 5), 4.0), Path((0, 2, 3, 5), 3.0), Path((0, 5), 9.0)
# The cheapest path, 0 > 1 > 2 > 5, lies across both others: 0 > 1 > 4 > 5 and 0 > 3 > 2 > 5.
_TRAP = {(0, 1): 1.0, (1, 2): 1.0, (2, 5): 1.0, (1, 4): 4.0, (4, 5): 1.0, (0, 3): 1.0, (3, 2): 4.0}
_AROUND = DisjointPair(Path((0, 1, 4, 5), 6.0), Path((0, 3, 2, 5), 6.0))


@st.composite
def _networks(draw: st.DrawFn) -> tuple[Costed, Groups]:
    """Return small graphs with whole costs, so that sums are exact, with and without groups."""
    count = draw(st.integers(2, 7))
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
    costs = st.sampled_from([0.0, 1.0, 2.0, 5.0, np.inf])
    costed = linked(count, draw(st.dictionaries(ends, costs, max_size=count * (count - 1))))
    group = st.frozensets(st.integers(0, 3), max_size=2)
    return costed, draw(st.none() | st.tuples(*[group] * count))


@given(_networks(), _LIMITS)
def test_the_pair_equals_trying_all_pairs(network: tuple[Costed, Groups], relay_limit: int | None) -> None:
    """A pair is found exactly where there is one; it keeps to the rules and none costs less."""
    (graph, costs), groups = network
    paths = all_simple_paths(graph, costs, 0, 1, relay_limit)
    pairs = [pair for pair in itertools.combinations(paths, 2) if are_apart(*pair, groups)]

    found = best_disjoint_pair(graph, costs, 0, 1, relay_limit=relay_limit, groups=groups)

    if isinstance(found, Obstacle):
        assert not pairs
        assert found.kind is not ObstacleKind.UNDECIDED
    else:
        assert found.proven
        assert are_apart(found.first, found.second, groups)
        assert {found.first, found.second} <= set(paths)
        assert found.cost == min(one.cost + other.cost for one, other in pairs)


@given(_networks(), _LIMITS)
def test_the_standby_equals_trying_all(network: tuple[Costed, Groups], relay_limit: int | None) -> None:
    """For every path in use, the standby is the first of all others, cheapest first, that is apart from it."""
    (graph, costs), groups = network
    paths = all_simple_paths(graph, costs, 0, 1, relay_limit)
    for primary in paths:
        others = [path for path in paths if are_apart(primary, path, groups)]
        found = best_standby(graph, costs, primary, relay_limit=relay_limit, groups=groups)
        assert (None if isinstance(found, Obstacle) else found) == (others[0] if others else None)


@given(_networks(), _LIMITS)
def test_what_is_said_to_be_in_the_way_is(network: tuple[Costed, Groups], relay_limit: int | None) -> None:
    """What an obstacle says holds: on every route, needed beyond the limit, shared, or a pair with another primary."""
    (graph, costs), groups = network
    for primary in all_simple_paths(graph, costs, 0, 1, relay_limit):
        found = best_standby(graph, costs, primary, relay_limit=relay_limit, groups=groups)
        if not isinstance(found, Obstacle):
            continue
        every = all_simple_paths(graph, costs, 0, 1)
        match found.kind:
            case ObstacleKind.ONLY_WAY:
                assert set(found.nodes) == set(primary.relays).intersection(*(path.relays for path in every))
                assert found.nodes or len(every) == 1
            case ObstacleKind.RELAY_LIMIT:
                assert relay_limit is not None
                assert found.relays is not None
                assert found.relays > relay_limit
            case ObstacleKind.SHARED_RISK:
                assert found.groups
            case ObstacleKind.PRIMARY:
                assert found.pair is not None
                assert primary not in {found.pair.first, found.pair.second}
            case _:
                pytest.fail(f"{found} where a route exists and the search is small")


@pytest.mark.parametrize("kind", [full_mesh, operator_network])
@pytest.mark.parametrize("seed", range(8))
def test_pairs_in_larger_networks(kind: Callable[[int, int], Costed], seed: int) -> None:
    """With 12 nodes, at most two relays and groups, the pair costs what the best of all pairs does, up to rounding."""
    graph, costs = kind(12, seed)
    groups = random_groups(12, seed, groups=6)
    pairs = itertools.combinations(all_simple_paths(graph, costs, 0, 11, 2), 2)
    wanted = min((one.cost + other.cost for one, other in pairs if are_apart(one, other, groups)), default=None)

    found = best_disjoint_pair(graph, costs, 0, 11, relay_limit=2, groups=groups)

    assert (None if isinstance(found, Obstacle) else found.cost) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("primary", "relay_limit", "expected"),
    [
        pytest.param(_OVER_2_AND_3, None, _OVER_1, id="the next best"),
        pytest.param(_OVER_1, None, _OVER_2_AND_3, id="the best, when another is in use"),
        pytest.param(_DIRECT, None, _OVER_2_AND_3, id="for direct, the best over relays"),
        pytest.param(_OVER_1, 1, _DIRECT, id="direct, when the better is too long"),
    ],
)
def test_standbys_by_hand(primary: Path, relay_limit: int | None, expected: Path) -> None:
    """The standby is the cheapest of the other ways that is short enough."""
    assert best_standby(*linked(6, _THREE_WAYS), primary, relay_limit=relay_limit) == expected


def test_a_primary_that_is_down_has_a_standby_still() -> None:
    """Only the nodes of the path in use count: its first link may be gone."""
    graph, costs = linked(6, _THREE_WAYS | {(0, 1): np.inf})

    assert best_standby(graph, costs, Path((0, 1, 5), np.inf)) == _OVER_2_AND_3


def _groups_of_six(**groups: int) -> tuple[frozenset[int], ...]:
    """Return six nodes' groups; ``n1=4`` puts node 1 into group 4."""
    return tuple(frozenset({groups[f"n{node}"]} if f"n{node}" in groups else ()) for node in range(6))


_NO_DIRECT = {ends: cost for ends, cost in _THREE_WAYS.items() if ends != (0, 5)}
_SAME = _groups_of_six(n1=4, n3=4)


@pytest.mark.parametrize(
    ("links", "primary", "relay_limit", "groups", "expected"),
    [
        pytest.param(
            {(0, 1): 1.0, (1, 2): 1.0, (2, 5): 1.0, (1, 3): 1.0, (3, 2): 1.0},
            Path((0, 1, 2, 5), 3.0),
            None,
            None,
            Obstacle(kind=ObstacleKind.ONLY_WAY, nodes=(1, 2)),
            id="every route goes through 1 and 2, though not through 3",
        ),
        pytest.param({(0, 5): 9.0}, _DIRECT, None, None, Obstacle(kind=ObstacleKind.ONLY_WAY), id="direct is all"),
        pytest.param({(0, 1): 1.0}, _OVER_1, None, None, Obstacle(kind=ObstacleKind.NO_ROUTE), id="nothing is left"),
        pytest.param(
            _NO_DIRECT, _OVER_1, 1, None, Obstacle(kind=ObstacleKind.RELAY_LIMIT, relays=2), id="over 2 and 3 is long"
        ),
        pytest.param(
            _NO_DIRECT,
            _OVER_1,
            None,
            _SAME,
            Obstacle(kind=ObstacleKind.SHARED_RISK, groups=frozenset({4})),
            id="3 shares a group with 1",
        ),
        pytest.param(
            _NO_DIRECT,
            _OVER_1,
            1,
            _SAME,
            Obstacle(kind=ObstacleKind.RELAY_LIMIT, relays=2, groups=frozenset({4})),
            id="it is long, and shares a group as well",
        ),
        pytest.param(
            _TRAP,
            Path((0, 1, 2, 5), 3.0),
            2,
            None,
            Obstacle(kind=ObstacleKind.PRIMARY, pair=_AROUND),
            id="the path in use lies across both others",
        ),
        pytest.param(
            _TRAP,
            Path((0, 1, 2, 5), 3.0),
            1,
            None,
            Obstacle(kind=ObstacleKind.RELAY_LIMIT, relays=2, pair=_AROUND),
            id="another path and longer ones",
        ),
    ],
)
def test_obstacles_to_a_standby(
    links: dict[tuple[int, int], float], primary: Path, relay_limit: int | None, groups: Groups, expected: Obstacle
) -> None:
    """Each obstacle is named by its kind and its numbers."""
    graph, costs = linked(6, links)

    assert best_standby(graph, costs, primary, relay_limit=relay_limit, groups=groups) == expected


@pytest.mark.parametrize(
    ("links", "relay_limit", "groups", "expected"),
    [
        pytest.param(_TRAP, None, None, _AROUND, id="a trap is none for a pair"),
        pytest.param(_THREE_WAYS, 1, None, DisjointPair(_OVER_1, _DIRECT), id="short ones"),
        pytest.param(_THREE_WAYS, None, _SAME, DisjointPair(_OVER_2_AND_3, _DIRECT), id="without a common group"),
        pytest.param(
            _NO_DIRECT,
            1,
            None,
            Obstacle(kind=ObstacleKind.RELAY_LIMIT, relays=2, pair=DisjointPair(_OVER_2_AND_3, _OVER_1)),
            id="one of the two is long",
        ),
        pytest.param(
            _NO_DIRECT,
            None,
            _SAME,
            Obstacle(kind=ObstacleKind.SHARED_RISK, groups=frozenset({4}), pair=DisjointPair(_OVER_2_AND_3, _OVER_1)),
            id="the two share a group",
        ),
        pytest.param(
            _NO_DIRECT | {(2, 5): 9.0},
            1,
            _SAME,
            DisjointPair(_OVER_1, Path((0, 2, 5), 10.0)),
            id="dearer, but neither long nor in the group",
        ),
        pytest.param(
            _NO_DIRECT | {(2, 5): 9.0},
            1,
            _groups_of_six(n1=4, n2=4),
            Obstacle(
                kind=ObstacleKind.SHARED_RISK,
                groups=frozenset({4}),
                pair=DisjointPair(_OVER_1, Path((0, 2, 5), 10.0)),
            ),
            id="under both rules, the limit alone could be kept",
        ),
        pytest.param(
            {(0, 1): 1.0, (1, 5): 1.0}, 2, None, Obstacle(kind=ObstacleKind.ONLY_WAY, nodes=(1,)), id="a chain"
        ),
    ],
)
def test_pairs_by_hand(
    links: dict[tuple[int, int], float], relay_limit: int | None, groups: Groups, expected: DisjointPair | Obstacle
) -> None:
    """The cheapest pair under the rules, or which of them is in the way and what it would be without."""
    graph, costs = linked(6, links)

    assert best_disjoint_pair(graph, costs, 0, 5, relay_limit=relay_limit, groups=groups) == expected


def test_a_search_that_is_given_up_says_so() -> None:
    """Without any work allowed nothing is claimed: neither a pair nor that there is none."""
    graph, costs = linked(6, _NO_DIRECT)

    found = best_disjoint_pair(graph, costs, 0, 5, groups=_SAME, work_limit=0)

    assert found == Obstacle(kind=ObstacleKind.UNDECIDED, pair=DisjointPair(_OVER_2_AND_3, _OVER_1))


@pytest.mark.parametrize(
    ("work_limit", "kind"),
    [
        pytest.param(0, ObstacleKind.PRIMARY, id="given up"),
        pytest.param(100, ObstacleKind.SHARED_RISK, id="known that no other primary helps"),
    ],
)
def test_a_primary_in_the_way_is_seen_without_a_pair_under_the_rules(work_limit: int, kind: ObstacleKind) -> None:
    """In the trap 3 and 4 share group 1: no standby for 0 > 1 > 2 > 5, and a pair only with the group on both."""
    graph, costs = linked(6, _TRAP)
    groups = _groups_of_six(n3=1, n4=1)

    found = best_standby(graph, costs, Path((0, 1, 2, 5), 3.0), groups=groups, work_limit=work_limit)

    assert found == Obstacle(kind=kind, groups=frozenset({1}), pair=_AROUND)


def test_a_pair_that_is_not_proven_says_so() -> None:
    """After one search for a partner there is a pair, but a cheaper one could still come.

    0 > 2 > 3 > 5 (3) may go with direct (9), 0 > 1 > 5 (4) shares group 4 with it: 12. That 4 + 9 is no better is seen
    only after another search.
    """
    graph, costs = linked(6, _THREE_WAYS)

    found = best_disjoint_pair(graph, costs, 0, 5, groups=_SAME, work_limit=1)

    assert found == DisjointPair(_OVER_2_AND_3, _DIRECT, proven=False)
