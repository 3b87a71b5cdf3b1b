"""Preference values: absolute, additive, monotone, and the same in every process."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from random import Random

import networkx as nx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from routing.candidates import Route
from routing.estimate.costs import Weights
from routing.estimate.route import MeasuredRoute, measured_route
from routing.ranking import Aim, Profile, Ranking, Score
from routing.ranking import rank as rank_by
from routing.ranking import score as score_by
from tests.routing.links import link_estimate

_MS = st.floats(0, 1000)


def _measured(
    name: str, rtt_ms: float | None, *, loss: float = 0.0, jitter_ms: float = 0.0, price: float = 0.0, risk: float = 0.0
) -> MeasuredRoute:
    """Return a route measured end to end; relays are counted from its name (``a>b`` has two, ``direct`` none)."""
    hops = () if name == "direct" else tuple(name.split(">"))
    return MeasuredRoute(
        route=Route(hops, "t"),
        rtt_ms=rtt_ms,
        jitter_ms=jitter_ms,
        loss_ratio=1.0 if rtt_ms is None else loss,
        loss_cost=None if rtt_ms is None else -math.log1p(-loss),
        relays=len(hops),
        price_usd_per_gb=price,
        risk=risk,
        throughput_mbps=0.0 if rtt_ms is None else 10.0,
        links=(),
    )


def score(measured: MeasuredRoute, weights: Weights) -> Score:
    """Return the score for interactive use."""
    return score_by(measured, Aim(weights=weights))


def rank(measured: Sequence[MeasuredRoute], weights: Weights) -> Ranking:
    """Return the ranking for interactive use."""
    return rank_by(measured, Aim(weights=weights))


_ROUTES = st.builds(
    _measured,
    st.sampled_from(["direct", "a", "b", "c", "a>b", "b>a", "a>b>c"]),
    st.one_of(st.none(), _MS),
    loss=st.floats(0, 0.9),
    jitter_ms=_MS,
    price=st.floats(0, 1),
    risk=st.floats(0, 10),
)
_CANDIDATES = st.lists(_ROUTES, min_size=1, max_size=7, unique_by=lambda each: each.route)
_WEIGHTS = st.builds(
    Weights,
    delay=st.floats(0.1, 10),
    loss=st.floats(0, 10),
    jitter=st.floats(0, 10),
    hops=st.floats(0, 100),
    price=st.floats(0, 1000),
    risk=st.floats(0, 100),
)


def test_the_cost_can_be_checked_on_paper() -> None:
    """40 ms, 10 % loss, 3 ms jitter, two relays, 0.5 USD/GB at 20 ms each, 3 points of risk at 4 ms each.

    40 + 200 * 0.10536 + 2 * 3 + 2 * 5 + 20 * 0.5 + 4 * 3 = 99.072 ms; preference 100 * 2 ** -0.99072 = 50.32.
    """
    scored = score(_measured("a>b", 40, loss=0.1, jitter_ms=3, price=0.5, risk=3), Weights(price=20, risk=4))
    terms = {"delay": 40, "loss": 21.0721, "jitter": 6, "hops": 10, "price": 10, "risk": 12}
    assert scored.terms == pytest.approx(terms, abs=1e-3)
    assert scored.cost_ms == pytest.approx(99.0721, abs=1e-3)
    assert scored.preference == pytest.approx(50.32, abs=0.01)


@given(_CANDIDATES, _WEIGHTS, st.data())
def test_irrelevant_candidates_change_nothing(
    candidates: list[MeasuredRoute], weights: Weights, data: st.DataObject
) -> None:
    """Dropping any candidate leaves the others' scores and their order as they were."""
    dropped = data.draw(st.sampled_from(candidates))
    whole = rank(candidates, weights)
    rest = rank([each for each in candidates if each is not dropped], weights)
    assert rest.scores == tuple(each for each in whole.scores if each.route != dropped.route)


@given(_CANDIDATES, _WEIGHTS, st.randoms())
def test_order_of_arrival_changes_nothing(candidates: list[MeasuredRoute], weights: Weights, random: Random) -> None:
    """However the candidates come in, the ranking is the same; ties go to the smaller id."""
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert rank(shuffled, weights) == rank(candidates, weights)


@given(_ROUTES, _WEIGHTS, st.sampled_from(["rtt_ms", "jitter_ms", "price_usd_per_gb", "risk", "loss", "relays"]))
def test_worse_is_never_better(measured: MeasuredRoute, weights: Weights, what: str) -> None:
    """Raising any one of delay, jitter, price, risk, loss or relays never raises the preference."""
    assume(measured.rtt_ms is not None)
    if what == "loss":
        ratio = measured.loss_ratio + (1 - measured.loss_ratio) / 2
        worse = dataclasses.replace(measured, loss_ratio=ratio, loss_cost=-math.log1p(-ratio))
    else:
        worse = dataclasses.replace(measured, **{what: getattr(measured, what) + 1})
    assert score(worse, weights).preference <= score(measured, weights).preference


@pytest.mark.parametrize(
    ("weight", "term"),
    [(name, name) for name in ("loss", "jitter", "hops", "price", "risk", "delay")],
)
@given(measured=_ROUTES, weights=_WEIGHTS)
def test_a_weight_of_zero_removes_its_term(weight: str, term: str, measured: MeasuredRoute, weights: Weights) -> None:
    """With a weight of 0 its term is 0 and the cost is the sum of the others."""
    without = score(measured, dataclasses.replace(weights, **{weight: 0.0}))
    full = score(measured, weights)
    assume(full.cost_ms is not None)
    assert full.cost_ms is not None
    assert without.terms[term] == 0
    assert without.cost_ms == pytest.approx(full.cost_ms - full.terms[term])


@given(_CANDIDATES, _WEIGHTS, st.floats(0.001, 1000))
def test_units_do_not_matter(candidates: list[MeasuredRoute], weights: Weights, factor: float) -> None:
    """Counting time in another unit (and the weights that are times with it) scales every cost and keeps the winner."""
    scaled = [
        dataclasses.replace(
            each,
            rtt_ms=None if each.rtt_ms is None else each.rtt_ms * factor,
            jitter_ms=each.jitter_ms * factor,
        )
        for each in candidates
    ]
    theirs = dataclasses.replace(
        weights,
        hops=weights.hops * factor,
        price=weights.price * factor,
        risk=weights.risk * factor,
        loss_scale_ms=weights.loss_scale_ms * factor,
    )
    costs = {each.route: each.cost_ms for each in rank(candidates, weights).scores}
    for each in rank(scaled, theirs).scores:
        ours = costs[each.route]
        assert each.cost_ms == (None if ours is None else pytest.approx(ours * factor))


@given(_ROUTES, _WEIGHTS)
def test_one_candidate_is_enough(measured: MeasuredRoute, weights: Weights) -> None:
    """A single candidate wins if it is usable, with no margin to speak of; its preference lies in [0, 100]."""
    ranking = rank([measured], weights)
    usable = measured.rtt_ms is not None and measured.loss_ratio <= weights.loss_limit_ratio
    assert ranking.winner == (measured.route if usable else None)
    assert ranking.margin_ms is None
    assert 0 <= ranking.scores[0].preference <= 100


@pytest.mark.parametrize(
    "dead",
    [
        pytest.param(_measured("a", None), id="lost everything"),
        pytest.param(_measured("a", 1, loss=0.6), id="beyond the loss limit"),
    ],
)
def test_a_path_that_delivers_nothing_never_wins(dead: MeasuredRoute) -> None:
    """A dead or hopeless route has preference 0 and says why, even where loss has no weight."""
    ranking = rank([dead, _measured("b", 10_000)], Weights(loss=0))
    assert ranking.winner == Route(("b",), "t")
    assert ranking.scores[-1].preference == 0
    assert ranking.scores[-1].cost_ms is None
    assert ranking.scores[-1].refused
    assert rank([dead], Weights(loss=0)).winner is None


@given(
    links=st.lists(st.tuples(st.floats(1, 300), st.floats(0, 0.4), st.floats(0, 20)), min_size=13, max_size=13),
    weights=_WEIGHTS,
)
def test_the_best_path_is_the_cheapest_sum_of_links(links: list[tuple[float, float, float]], weights: Weights) -> None:
    """On a full mesh of three relays, ranking all 16 routes finds what Dijkstra finds on per-link costs.

    Each link leads to a relay or to the target; so costs are additive, and brute force and a shortest path agree on
    the cost of the winner.
    """
    weights = dataclasses.replace(weights, loss_limit_ratio=1.0)
    pairs = [(a, b) for a in "gabc" for b in "abct" if a != b]
    known = {
        pair: link_estimate(*pair, rtt_ms, loss=loss, jitter_ms=jitter_ms)
        for pair, (rtt_ms, loss, jitter_ms) in zip(pairs, links, strict=True)
    }
    routes = [Route(hops, "t") for count in range(4) for hops in itertools.permutations("abc", count)]
    best = rank([measured_route(each, known, gateway="g") for each in routes], weights).scores[0]
    graph: nx.DiGraph[str] = nx.DiGraph()
    for (source, sink), link in known.items():
        alone = score(measured_route(Route((), sink), {(source, sink): link}, gateway=source), weights)
        assert alone.cost_ms is not None
        graph.add_edge(source, sink, cost=alone.cost_ms + (weights.hops if sink != "t" else 0))
    assert best.cost_ms == pytest.approx(nx.dijkstra_path_length(graph, "g", "t", weight="cost"))


def test_the_margin_is_the_distance_to_the_runner_up() -> None:
    """30 ms direct against 40 ms over one relay (5 ms): the margin is 15 ms."""
    assert rank([_measured("a", 40), _measured("direct", 30)], Weights()).margin_ms == 15


def _bulk(name: str, mbps: float, *, price: float = 0.0) -> MeasuredRoute:
    return dataclasses.replace(_measured(name, 50, price=price), throughput_mbps=mbps)


def test_bulk_takes_the_widest_within_its_price() -> None:
    """800, 400 and 80 Mbit/s are 10, 20 and 100 ms a megabyte; at most 0.05 USD/GB rules the widest out."""
    routes = [_bulk("a", 80), _bulk("b", 800, price=0.09), _bulk("c", 400, price=0.05)]
    free = rank_by(routes, Aim(profile=Profile.BULK))
    assert [(each.route.id, each.cost_ms) for each in free.scores] == [("b", 10), ("c", 20), ("a", 100)]
    limited = rank_by(routes, Aim(profile=Profile.BULK, price_limit_usd_per_gb=0.05))
    assert [each.route.id for each in limited.scores] == ["c", "a", "b"]
    assert limited.scores[-1].refused
