"""Preference values: absolute, additive, monotone, and the same in every process."""

import dataclasses
import itertools
import math
from random import Random

import networkx as nx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from routing.candidates import Route
from routing.probe.summary import LinkMeasurement, MeasuredRoute, measured_route, summarize
from routing.ranking import MarginPolicy, Weights, choose, rank, score

_MS = st.floats(0, 1000)


def _measured(
    name: str, rtt_ms: float | None, *, loss: float = 0.0, jitter_ms: float = 0.0, price: float = 0.0
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
        links=(),
    )


_ROUTES = st.builds(
    _measured,
    st.sampled_from(["direct", "a", "b", "c", "a>b", "b>a", "a>b>c"]),
    st.one_of(st.none(), _MS),
    loss=st.floats(0, 0.9),
    jitter_ms=_MS,
    price=st.floats(0, 1),
)
_CANDIDATES = st.lists(_ROUTES, min_size=1, max_size=7, unique_by=lambda each: each.route)
_WEIGHTS = st.builds(
    Weights,
    delay=st.floats(0.1, 10),
    loss=st.floats(0, 10),
    jitter=st.floats(0, 10),
    hops=st.floats(0, 100),
    price=st.floats(0, 1000),
)


def test_the_cost_can_be_checked_on_paper() -> None:
    """40 ms, 10 % loss, 3 ms jitter, two relays, 0.5 USD/GB at 20 ms each.

    40 + 200 * 0.10536 + 2 * 3 + 2 * 5 + 20 * 0.5 = 87.072 ms; preference 100 * 2 ** -0.87072 = 54.69.
    """
    scored = score(_measured("a>b", 40, loss=0.1, jitter_ms=3, price=0.5), Weights(price=20))
    assert scored.terms == pytest.approx({"delay": 40, "loss": 21.0721, "jitter": 6, "hops": 10, "price": 10}, abs=1e-3)
    assert scored.cost_ms == pytest.approx(87.0721, abs=1e-3)
    assert scored.preference == pytest.approx(54.69, abs=0.01)


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


@given(_ROUTES, _WEIGHTS, st.sampled_from(["rtt_ms", "jitter_ms", "price_usd_per_gb", "loss", "relays"]))
def test_worse_is_never_better(measured: MeasuredRoute, weights: Weights, what: str) -> None:
    """Raising any one of delay, jitter, price, loss or relays never raises the preference."""
    assume(measured.rtt_ms is not None)
    if what == "loss":
        ratio = measured.loss_ratio + (1 - measured.loss_ratio) / 2
        worse = dataclasses.replace(measured, loss_ratio=ratio, loss_cost=-math.log1p(-ratio))
    else:
        worse = dataclasses.replace(measured, **{what: getattr(measured, what) + 1})
    assert score(worse, weights).preference <= score(measured, weights).preference


@pytest.mark.parametrize(
    ("weight", "term"),
    [("loss", "loss"), ("jitter", "jitter"), ("hops", "hops"), ("price", "price"), ("delay", "delay")],
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


@given(rtts=st.lists(st.tuples(st.floats(1, 300), st.integers(0, 2), st.floats(0, 20)), min_size=13, max_size=13))
def test_the_best_path_is_the_cheapest_sum_of_links(rtts: list[tuple[float, int, float]]) -> None:
    """On a full mesh of three relays, ranking all 16 routes finds what Dijkstra finds on per-link costs.

    Each link leads to a relay (5 ms) or to the target; so costs are additive, and brute force and a shortest
    path agree on the cost of the winner.
    """
    pairs = [(a, b) for a in "gabc" for b in "abct" if a != b]
    links = {
        pair: _one_link(*pair, rtt_ms, lost, jitter_ms)
        for pair, (rtt_ms, lost, jitter_ms) in zip(pairs, rtts, strict=True)
    }
    weights = Weights(loss_limit_ratio=1.0)
    routes = [Route(hops, "t") for count in range(4) for hops in itertools.permutations("abc", count)]
    best = rank([measured_route(each, links.values(), gateway="g") for each in routes], weights).scores[0]
    graph: nx.DiGraph[str] = nx.DiGraph()
    for (source, sink), link in links.items():
        alone = score(measured_route(Route((), sink), [link], gateway=source), weights)
        assert alone.cost_ms is not None
        graph.add_edge(source, sink, cost=alone.cost_ms + (weights.hops if sink != "t" else 0))
    assert best.cost_ms == pytest.approx(nx.dijkstra_path_length(graph, "g", "t", weight="cost"))


def _one_link(source: str, target: str, rtt_ms: float, lost: int, jitter_ms: float) -> LinkMeasurement:
    samples = [rtt_ms, rtt_ms + jitter_ms, rtt_ms + 2 * jitter_ms, *[None] * lost]
    return summarize(samples, source=source, target=target, method="icmp", measured_at_s=0)


_A, _B = Route(("a",), "t"), Route(("b",), "t")


@pytest.mark.parametrize(
    ("a_ms", "b_ms", "in_use", "expected"),
    [
        pytest.param(50, 45, None, _B, id="nothing in use: the best"),
        pytest.param(50, 45, _A, _A, id="5 ms is less than 10 ms"),
        pytest.param(300, 285, _A, _A, id="15 ms is less than a tenth of 305"),
        pytest.param(100, 85, _A, _B, id="15 ms and a seventh is clearly better"),
        pytest.param(None, 900, _A, _B, id="a dead route is left at once"),
        pytest.param(50, None, _B, _A, id="the same the other way round"),
        pytest.param(50, 45, Route(("gone",), "t"), _B, id="an unmeasured route is left"),
        pytest.param(None, None, _A, None, id="nothing usable"),
        pytest.param(50, 50, _B, _B, id="a tie keeps the tunnel"),
    ],
)
def test_choose(a_ms: float | None, b_ms: float | None, in_use: Route | None, expected: Route | None) -> None:
    """The route in use is kept unless another is clearly better, or it is dead. Each relay costs 5 ms on top."""
    ranking = rank([_measured("a", a_ms), _measured("b", b_ms)], Weights())
    assert choose(ranking, in_use, MarginPolicy()) == expected


def test_the_margin_is_the_distance_to_the_runner_up() -> None:
    """30 ms direct against 40 ms over one relay (5 ms): the margin is 15 ms."""
    assert rank([_measured("a", 40), _measured("direct", 30)], Weights()).margin_ms == 15


@given(_CANDIDATES, _WEIGHTS)
def test_choosing_again_changes_nothing(candidates: list[MeasuredRoute], weights: Weights) -> None:
    """On unchanged measurements the choice stays what it was: no flapping."""
    ranking = rank(candidates, weights)
    first = choose(ranking, None, MarginPolicy())
    assert choose(ranking, first, MarginPolicy(ratio=0, absolute_ms=0)) == first
