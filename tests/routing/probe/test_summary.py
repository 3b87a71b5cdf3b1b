"""What samples say about a link, and links about a route."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.candidates import Route
from routing.errors import LinkUnmeasured
from routing.probe.summary import LinkMeasurement, measured_route, summarize


def _link(source: str, target: str, samples: list[float | None], at_s: float = 0.0) -> LinkMeasurement:
    return summarize(samples, source=source, target=target, method="icmp", measured_at_s=at_s)


@pytest.mark.parametrize(
    ("samples", "rtt_ms", "jitter_ms", "loss"),
    [
        pytest.param([10.0, 12.0, 11.0], 11.0, 2 / 3, 0.0, id="median and mean deviation"),
        pytest.param([10.0, 10.0, 500.0], 10.0, 490 / 3, 0.0, id="one late sample moves the median by nothing"),
        pytest.param([10.0, None, 20.0, None], 15.0, 5.0, 0.5, id="half lost"),
        pytest.param([None, None], None, 0.0, 1.0, id="all lost is a measurement"),
        pytest.param([], None, 0.0, 1.0, id="nothing sent, nothing known"),
    ],
)
def test_a_link_is_summed_up(samples: list[float | None], rtt_ms: float | None, jitter_ms: float, loss: float) -> None:
    """Median round trip, mean deviation from it, and the share that never came back."""
    link = _link("g", "a", samples)
    assert link.rtt_ms == rtt_ms
    assert link.jitter_ms == pytest.approx(jitter_ms)
    assert link.loss_ratio == loss
    assert link.sent == len(samples)


def test_links_compose_to_a_route() -> None:
    """10 + 30 ms; losses of 0.2 and 0.5 leave 0.8 * 0.5 = 0.4; the loss cost is -ln 0.8 - ln 0.5 = -ln 0.4."""
    links = [
        _link("g", "a", [10.0] * 4 + [None]),
        _link("a", "t", [25.0, 35.0, None, None]),
        _link("g", "t", [1.0]),
    ]
    route = measured_route(Route(("a",), "t"), links, gateway="g", price_usd_per_gb=0.1)
    assert route.rtt_ms == 40.0
    assert route.jitter_ms == 5.0
    assert route.loss_ratio == pytest.approx(0.6)
    assert route.loss_cost == pytest.approx(-math.log(0.4))
    assert route.relays == 1
    assert route.links == tuple(links[:2])


def test_one_dead_link_kills_the_route() -> None:
    """Nothing gets through a dead link, so there is no round trip to tell, and the loss is total."""
    links = [_link("g", "a", [10.0]), _link("a", "t", [None])]
    route = measured_route(Route(("a",), "t"), links, gateway="g")
    assert route.rtt_ms is None
    assert route.loss_cost is None
    assert route.loss_ratio == 1.0


def test_the_newest_measurement_counts() -> None:
    """Of two measurements of one link the later one is used, wherever it stands."""
    links = [_link("g", "t", [7.0], at_s=20), _link("g", "t", [5.0], at_s=10)]
    assert measured_route(Route((), "t"), links, gateway="g").rtt_ms == 7.0


def test_an_unmeasured_link_is_named() -> None:
    """A route cannot be judged by half of its links."""
    with pytest.raises(LinkUnmeasured) as refused:
        measured_route(Route(("a",), "t"), [_link("g", "a", [10.0])], gateway="g")
    assert refused.value.link == ("a", "t")


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 49)), min_size=1, max_size=4))
def test_the_two_forms_of_loss_agree(counts: list[tuple[int, int]]) -> None:
    """exp(-loss_cost) is the share that gets through: additive cost and composed ratio tell one story."""
    names = ["g", *"abc"[: len(counts) - 1], "t"]
    links = [
        _link(names[place], names[place + 1], [1.0] * back + [None] * lost) for place, (back, lost) in enumerate(counts)
    ]
    route = measured_route(Route(tuple(names[1:-1]), "t"), links, gateway="g")
    assert route.loss_cost is not None
    assert math.exp(-route.loss_cost) == pytest.approx(1 - route.loss_ratio)
