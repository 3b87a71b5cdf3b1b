"""The probe plan: each link of any route once, unless something fresh is known about it."""

from hypothesis import given
from hypothesis import strategies as st

from routing.candidates import Route
from routing.probe.plan import PlannedLink, ProbePolicy, plan_probes
from routing.probe.summary import LinkMeasurement, summarize

_POLICY = ProbePolicy(max_age_s=30)
_HOPS = st.lists(st.sampled_from("abcde"), unique=True, max_size=3).map(tuple)


def _measured(source: str, target: str, at_s: float, loss: float = 0.0) -> LinkMeasurement:
    samples = [None] if loss == 1.0 else [1.0]
    return summarize(samples, source=source, target=target, method="connect", measured_at_s=at_s)


@given(hops=st.lists(_HOPS, unique=True, max_size=12))
def test_shared_links_are_probed_once(hops: list[tuple[str, ...]]) -> None:
    """The plan holds exactly the links of the routes, each once, and reaches each source by one of those routes."""
    routes = [Route(each, "t") for each in hops]
    plan = plan_probes(routes, (), _POLICY, gateway="g", now_s=0)
    pairs = [(link.source, link.target) for link in plan.links]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == {pair for route in routes for pair in route.links("g")}
    for link in plan.links:
        assert (link.via[-1] if link.via else "g") == link.source
        assert any(route.hops[: len(link.via)] == link.via for route in routes)


def test_the_shortest_way_to_a_source_is_taken() -> None:
    """Link b-t lies on a>b and on b; it is probed from b reached directly."""
    routes = [Route(("a", "b"), "t"), Route(("b",), "t")]
    plan = plan_probes(routes, (), _POLICY, gateway="g", now_s=0)
    assert PlannedLink(source="b", target="t", via=("b",)) in plan.links


def test_fresh_measurements_are_kept_and_stale_ones_repeated() -> None:
    """At 100 s with a limit of 30 s: 70 s old is fresh, 69 s is not, the future is not, and lost links never are."""
    routes = [Route((), "t"), Route(("a",), "t"), Route(("b",), "t")]
    last = [
        _measured("g", "t", 70),
        _measured("g", "a", 69),
        _measured("a", "t", 101),
        _measured("g", "b", 99, loss=1.0),
        _measured("b", "t", 10),
        _measured("b", "t", 90),
        _measured("x", "y", 99),
    ]
    plan = plan_probes(routes, last, _POLICY, gateway="g", now_s=100)
    assert plan.fresh == (last[0], last[5])
    assert [(link.source, link.target) for link in plan.links] == [("g", "a"), ("a", "t"), ("g", "b")]


def test_a_newer_loss_outweighs_an_older_success() -> None:
    """A link that answered 10 s ago and was dead 5 s ago is probed again, whatever order the rows come in."""
    last = [_measured("g", "t", 95, loss=1.0), _measured("g", "t", 90)]
    plan = plan_probes([Route((), "t")], last, _POLICY, gateway="g", now_s=100)
    assert plan.fresh == ()
    assert len(plan.links) == 1
