"""What estimates of links add up to for a route."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.candidates import Route
from routing.errors import LinkUnmeasured
from routing.estimate.route import measured_route
from routing.estimate.table import LinkEstimate, LinkName
from tests.routing.links import link_estimate


def _links(*links: LinkEstimate) -> dict[LinkName, LinkEstimate]:
    return {(link.source, link.target): link for link in links}


def test_links_compose_to_a_route() -> None:
    """10 + 30 ms; losses of 0.2 and 0.5 leave 0.8 * 0.5 = 0.4; the loss cost is -ln 0.8 - ln 0.5 = -ln 0.4."""
    links = _links(
        link_estimate("g", "a", 10, loss=0.2, jitter_ms=1),
        link_estimate("a", "t", 30, loss=0.5, jitter_ms=4),
        link_estimate("g", "t", 1),
    )
    route = measured_route(Route(("a",), "t"), links, gateway="g", price_usd_per_gb=0.1, risk=2)
    assert route.rtt_ms == 40.0
    assert route.jitter_ms == 5.0
    assert route.loss_ratio == pytest.approx(0.6)
    assert route.loss_cost == pytest.approx(-math.log(0.4))
    assert (route.relays, route.price_usd_per_gb, route.risk) == (1, 0.1, 2)
    assert [(link.source, link.target) for link in route.links] == [("g", "a"), ("a", "t")]


@pytest.mark.parametrize("bad", [link_estimate("a", "t", 5, dead=True), link_estimate("a", "t", None)])
def test_one_dead_or_unknown_link_kills_the_route(bad: LinkEstimate) -> None:
    """Nothing gets through a dead link, so there is no round trip to tell, and the loss is total."""
    route = measured_route(Route(("a",), "t"), _links(link_estimate("g", "a", 10), bad), gateway="g")
    assert (route.rtt_ms, route.loss_cost, route.loss_ratio) == (None, None, 1.0)


def test_an_unmeasured_link_is_named() -> None:
    """A route cannot be judged by half of its links."""
    with pytest.raises(LinkUnmeasured) as refused:
        measured_route(Route(("a",), "t"), _links(link_estimate("g", "a", 10)), gateway="g")
    assert refused.value.link == ("a", "t")


@given(st.lists(st.floats(0, 0.99), min_size=1, max_size=4))
def test_the_two_forms_of_loss_agree(losses: list[float]) -> None:
    """exp(-loss_cost) is the share that gets through: additive cost and composed ratio tell one story."""
    names = ["g", *"abc"[: len(losses) - 1], "t"]
    links = [link_estimate(names[place], names[place + 1], 1, loss=loss) for place, loss in enumerate(losses)]
    route = measured_route(Route(tuple(names[1:-1]), "t"), _links(*links), gateway="g")
    assert route.loss_cost is not None
    assert math.exp(-route.loss_cost) == pytest.approx(1 - route.loss_ratio)
