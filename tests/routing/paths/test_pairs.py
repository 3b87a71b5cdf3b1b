"""The search for the cheapest pair under rules; that it is right is tested where it is asked (``disjoint``)."""

import pytest

from routing.paths.apart import DisjointPair, Rules
from routing.paths.graph import Path
from routing.paths.pairs import PairSearch
from tests.support.graphs import Costed, linked

_NO_GROUP: frozenset[int] = frozenset()


def _search(costed: Costed, rules: Rules, work_left: int) -> PairSearch:
    graph, costs = costed
    return PairSearch(graph=graph, costs=costs, source=0, target=graph.node_count - 1, rules=rules, work_left=work_left)


def _ladder_of_shared_groups(rungs: int) -> tuple[Costed, tuple[frozenset[int], ...]]:
    """Return relays 1 .. ``rungs``, each of cost 1 + 1 and in the one group, and as many of cost 9 + 9 in none."""
    count = 2 * rungs + 2
    links = {}
    for relay in range(1, count - 1):
        links[0, relay] = links[relay, count - 1] = 1.0 if relay <= rungs else 9.0
    groups = tuple(frozenset({0}) if 1 <= node <= rungs else _NO_GROUP for node in range(count))
    return linked(count, links), groups


def test_a_shared_group_is_paid_for() -> None:
    """Of five cheap relays in one group only one may be used; the other path costs 18: 2 + 18."""
    costed, groups = _ladder_of_shared_groups(5)
    search = _search(costed, Rules(None, groups), 100)

    assert search.run(at_least=4.0)
    assert search.best == DisjointPair(Path((0, 1, 11), 2.0), Path((0, 6, 11), 18.0))


def test_what_is_found_before_the_work_is_used_up_stays() -> None:
    """After one search for a partner the pair is there, but not known to be the best."""
    costed, groups = _ladder_of_shared_groups(5)
    search = _search(costed, Rules(None, groups), 1)

    assert not search.run(at_least=4.0)
    assert search.best is not None
    assert search.best.cost == 20
    assert search.work_left <= 0


def test_a_bound_that_is_met_ends_the_search() -> None:
    """Told that no pair costs less than 20, the first that does is the best: one search for a partner is enough."""
    costed, groups = _ladder_of_shared_groups(5)
    search = _search(costed, Rules(None, groups), 10)

    assert search.run(at_least=20.0)
    assert search.work_left == 9


@pytest.mark.parametrize("arms", [2, 40])
def test_a_relay_that_leaves_nobody_a_partner_is_tried_once(arms: int) -> None:
    """Relay 1 shares a group with each of the two relays beside it; ``arms`` cheap paths go on from it, all in vain.

    One path over 1 has no partner, nor has 1 alone, though its arm alone has: 3 searches; then relay 2 finds relay 3.
    So 4 are enough whatever the number of arms, and the pair costs 20 + 20.
    """
    target = arms + 4
    links = {(0, 1): 1.0, (0, 2): 10.0, (2, target): 10.0, (0, 3): 10.0, (3, target): 10.0}
    for arm in range(4, target):
        links |= {(1, arm): 1.0, (arm, target): 1.0}
    groups = (_NO_GROUP, frozenset({0, 1}), frozenset({0}), frozenset({1}), *[_NO_GROUP] * (arms + 1))
    search = _search(linked(target + 1, links), Rules(None, groups), 5)

    assert search.run(at_least=0.0)
    assert search.best == DisjointPair(Path((0, 2, target), 20.0), Path((0, 3, target), 20.0))
    assert search.work_left == 1


def test_without_a_pair_the_search_knows() -> None:
    """Two relays in one group: there is no pair, and that is known, not guessed."""
    costed = linked(4, {(0, 1): 1.0, (1, 3): 1.0, (0, 2): 1.0, (2, 3): 1.0})
    search = _search(costed, Rules(1, (_NO_GROUP, frozenset({0}), frozenset({0}), _NO_GROUP)), 10)

    assert search.run(at_least=4.0)
    assert search.best is None
