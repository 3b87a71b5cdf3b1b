"""A second route that does not share the first one's fate: the best one, or why there is none.

Two paths are apart when they share no relay and, where groups are given, no relay of one is in a group with a relay of
the other. A direct path has no relays: it is apart from every path but itself. Names stay outside: an ``Obstacle`` says
in numbers what is in the way, and is put into words where nodes and groups have names.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from routing.paths.apart import DisjointPair, Groups, Rules, without
from routing.paths.cuts import cut_nodes
from routing.paths.graph import Floats, LinkGraph, Path
from routing.paths.k_best import k_best
from routing.paths.pairs import PairSearch
from routing.paths.reach import UNREACHABLE, fewest_links
from routing.paths.suurballe import cheapest_apart

# How many searches for a partner one question may cost: a choice. Where routes are short a handful is enough; this many
# take 0.1 s where there are 2,000 links, and below half a second where there are 250,000.
WORK_LIMIT = 100


class ObstacleKind(StrEnum):
    """What is in the way of a second path."""

    # Nothing leads to the target at all.
    NO_ROUTE = "no-route"
    # Every route goes through ``nodes``; without any, the direct link is the only route.
    ONLY_WAY = "only-way"
    # Only with ``relays`` relays, more than allowed; where ``groups`` are named, sharing those as well.
    RELAY_LIMIT = "relay-limit"
    # Only with relays of the same ``groups``.
    SHARED_RISK = "shared-risk"
    # The primary in use lies across every second path; ``pair`` would take another primary. Where it breaks a rule,
    # ``relays`` and ``groups`` say which, and whether one under the rules exists was not found out.
    PRIMARY = "primary"
    # The search for a pair was given up before it knew; ``pair`` breaks the rules and was all it found.
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why there is no second path, and what the cheapest way out would need.

    ``relays`` are so many as are enough on either path, ``groups`` those that the two paths would share. ``pair`` is
    given where it takes another primary, or, where a pair was asked for, is the cheapest without the rules in the way.
    """

    kind: ObstacleKind
    nodes: tuple[int, ...] = ()
    groups: frozenset[int] = frozenset()
    relays: int | None = None
    pair: DisjointPair | None = None


def best_disjoint_pair(
    graph: LinkGraph,
    costs: Floats,
    source: int,
    target: int,
    *,
    relay_limit: int | None = None,
    groups: Groups | None = None,
    work_limit: int = WORK_LIMIT,
) -> DisjointPair | Obstacle:
    """Return the two paths apart that cost least together, each with at most ``relay_limit`` relays, or why not.

    ``costs`` is by link, >= 0, inf where it must not be used; ``groups`` is by node. The ends differ. With rules the
    search may stop after ``work_limit`` searches for a partner: a pair then says that it is not ``proven``.
    """
    free = cheapest_apart(graph, costs, source, target)
    if free is None:
        return _only_way(graph, costs, source, target)
    rules = Rules(relay_limit, groups)
    found = _under_rules(graph, costs, free, rules, work_limit)
    if isinstance(found, DisjointPair):
        return found
    if not found:
        return Obstacle(kind=ObstacleKind.UNDECIDED, pair=free)
    return _rule_in_the_way(graph, costs, free, rules, work_limit)


def best_standby(
    graph: LinkGraph,
    costs: Floats,
    primary: Path,
    *,
    relay_limit: int | None = None,
    groups: Groups | None = None,
    work_limit: int = WORK_LIMIT,
) -> Path | Obstacle:
    """Return the cheapest path apart from ``primary`` with at most ``relay_limit`` relays, or why there is none.

    Only the nodes of ``primary`` count; it may itself cost inf. The rest is as for ``best_disjoint_pair``.
    """
    source, target = primary.nodes[0], primary.nodes[-1]
    left = without(graph, costs, primary, groups)
    found = k_best(graph, left, source, target, count=1, relay_limit=relay_limit)
    if found:
        return found[0]
    pair = best_disjoint_pair(
        graph, costs, source, target, relay_limit=relay_limit, groups=groups, work_limit=work_limit
    )
    if isinstance(pair, DisjointPair):
        return Obstacle(kind=ObstacleKind.PRIMARY, pair=pair)
    if pair.kind in {ObstacleKind.NO_ROUTE, ObstacleKind.ONLY_WAY}:
        return pair
    rules = Rules(relay_limit, groups)
    rule = _rule_in_the_standbys_way(graph, costs, primary, rules)
    if rule is None and pair.kind is ObstacleKind.UNDECIDED:
        # That the primary is in the way is certain all the same: it has no standby without the rules either.
        return replace(_broken_by(rules, pair.pair), kind=ObstacleKind.PRIMARY)
    return rule or pair


def _only_way(graph: LinkGraph, costs: Floats, source: int, target: int) -> Obstacle:
    """Return why there are no two paths whatever the rules: some relay, or the direct link, is on every one."""
    found = k_best(graph, costs, source, target, count=1)
    if not found:
        return Obstacle(kind=ObstacleKind.NO_ROUTE)
    return Obstacle(kind=ObstacleKind.ONLY_WAY, nodes=cut_nodes(graph, costs, found[0]))


def _under_rules(
    graph: LinkGraph, costs: Floats, free: DisjointPair, rules: Rules, work_limit: int
) -> DisjointPair | bool:
    """Return the best pair under ``rules``, given the best without; or whether it is known that there is none."""
    if rules.keeps_to(free.first) and rules.keeps_to(free.second) and not rules.shared(free.first, free.second):
        return free
    ends = free.first.nodes[0], free.first.nodes[-1]
    search = PairSearch(graph=graph, costs=costs, source=ends[0], target=ends[1], rules=rules, work_left=work_limit)
    proven = search.run(at_least=free.cost)
    if search.best is None:
        return proven
    return DisjointPair(search.best.first, search.best.second, proven)


def _rule_in_the_way(graph: LinkGraph, costs: Floats, free: DisjointPair, rules: Rules, work_limit: int) -> Obstacle:
    """Return which rule takes the last pair: the one without which there is one, or both."""
    pair = free
    if rules.relay_limit is not None and rules.groups is not None:
        for one_rule in (Rules(rules.relay_limit, None), Rules(None, rules.groups)):
            found = _under_rules(graph, costs, free, one_rule, work_limit)
            if isinstance(found, DisjointPair):
                pair = found
                break
    return _broken_by(rules, pair)


def _rule_in_the_standbys_way(graph: LinkGraph, costs: Floats, primary: Path, rules: Rules) -> Obstacle | None:
    """Return which rule takes the last standby of ``primary``; None when it has none without rules either."""
    source, target = primary.nodes[0], primary.nodes[-1]
    left = without(graph, costs, primary, rules.groups)
    fewest = int(fewest_links(graph, np.isfinite(left), source)[target])
    if fewest != UNREACHABLE:
        return Obstacle(kind=ObstacleKind.RELAY_LIMIT, relays=fewest - 1)
    left = without(graph, costs, primary, None)
    for limit in dict.fromkeys((rules.relay_limit, None)):
        for standby in k_best(graph, left, source, target, count=1, relay_limit=limit):
            return _broken(rules, len(standby.relays), rules.shared(primary, standby), None)
    return None


def _broken_by(rules: Rules, pair: DisjointPair | None) -> Obstacle:
    """Return the obstacle that names what ``pair`` breaks."""
    assert pair is not None
    relays = max(len(pair.first.relays), len(pair.second.relays))
    return _broken(rules, relays, rules.shared(pair.first, pair.second), pair)


def _broken(rules: Rules, relays: int, shared: frozenset[int], pair: DisjointPair | None) -> Obstacle:
    """Return the obstacle that names what is broken by so many relays and these shared groups."""
    if rules.relay_limit is not None and relays > rules.relay_limit:
        return Obstacle(kind=ObstacleKind.RELAY_LIMIT, relays=relays, groups=shared, pair=pair)
    return Obstacle(kind=ObstacleKind.SHARED_RISK, groups=shared, pair=pair)
