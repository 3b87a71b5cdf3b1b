"""gateway.cli.explain: a decision in words, against decisions worked out by hand."""

from typing import Any, cast

import pytest

from gateway.cli.explain import paragraph, runner_up
from gateway.client.decisions import Candidate, LinkMeasurement, RouteDecision


def link(source: str, target: str, error_ms: float) -> LinkMeasurement:
    """Return a link of which 50 packets were sent and one was lost, measured at 07:59:56."""
    return {
        "source": source,
        "target": target,
        "method": "icmp",
        "sent": 50.0,
        "lost": 1.0,
        "rtt_ms": 15.0,
        "jitter_ms": 0.5,
        "loss_ratio": 0.02,
        "measured_at_s": 1_799_999_996.0,
        "error_ms": error_ms,
    }


def candidate(route: str, **terms: float) -> Candidate:
    """Return a usable candidate whose cost is the sum of ``terms``."""
    return {
        "route": route,
        "hops": route.split(">"),
        "rtt_ms": 30.0,
        "jitter_ms": 0.5,
        "loss_ratio": 0.0,
        "terms": terms,
        "cost_ms": sum(terms.values()),
        "preference": 75.0,
        "links": [],
    }


FRANKFURT: Candidate = {
    **candidate("fra-1", delay=30.0, hops=5.0, loss=4.0),
    "links": [link("gateway", "fra-1", 0.3), link("fra-1", "platform/vault", 0.4)],
}
DIRECT = candidate("direct", delay=36.0, hops=0.0, loss=9.0)
DEAD: Candidate = {**candidate("tok-1"), "cost_ms": None, "preference": 0.0, "refused": "nothing came back"}


def decision(**changes: Any) -> RouteDecision:
    """Return the decision for fra-1 at 08:00:00, with ``changes``."""
    told = {
        "decided_at": "2027-01-15T08:00:00Z",
        "weights": {"delay": 1.0},
        "margin_ms": 6.0,
        "winner": "fra-1",
        "candidates": [FRANKFURT, DIRECT, DEAD],
        "refused": [],
        "probe_methods": ["icmp"],
        "reason": "moved",
        "before": "direct",
        "profile": "interactive",
        "standby": {"route": "sin-1", "cost_ms": 46.5, "extra_ms": 7.5, "because": ""},
    }
    return cast("RouteDecision", {**told, **changes})


def test_the_whole_story_in_one_paragraph() -> None:
    """39 ms against 45; delay +6, loss +5, hops -5; errors 0.3 and 0.4 make 0.5; measured 4 s before."""
    assert paragraph(decision()) == (
        "The route is fra-1, of 3 candidates; it costs 39.0 ms. "
        "It took over from direct, because it was clearly better for long enough. "
        "The runner-up, direct, would cost 45.0 ms, 6.0 more; it loses most by delay (+6.0 ms); "
        "it gains most by hops (-5.0 ms). "
        "Should it fail, sin-1 stands by, which costs 7.5 ms more; the two share no relay and no declared fate. "
        "Its 2 links were measured by icmp: 100 packets, 2 lost, a round trip of 30.0 ± 0.5 ms, "
        "the oldest 4 s before the decision."
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"reason": "first", "before": ""}, "No other route was in use before it.", id="first"),
        pytest.param({"reason": "kept", "before": "fra-1"}, "It was kept. The runner-up", id="kept and still the best"),
        pytest.param(
            {"reason": "kept", "winner": "direct"},
            "It was kept, because no other was clearly better for long enough. "
            "The runner-up, fra-1, would cost 39.0 ms, 6.0 less; it gains most by delay (-6.0 ms); "
            "it loses most by hops (+5.0 ms).",
            id="kept though beaten",
        ),
        pytest.param({"reason": "escaped-dead"}, "from direct at once, because nothing came back", id="dead"),
        pytest.param(
            {"reason": "escaped-worse"}, "from direct at once, because that had become much dearer", id="worse"
        ),
        pytest.param(
            {"reason": "escaped-dead", "before": ""}, "from the route in use before at once", id="before unknown"
        ),
        pytest.param({"reason": "moonlit"}, "The reason is: moonlit.", id="a newer gateway's reason"),
        pytest.param({"candidates": [FRANKFURT, DEAD]}, "No other candidate is usable.", id="no rival"),
        pytest.param(
            {"standby": {"route": None, "cost_ms": None, "extra_ms": None, "because": "all pass hall-7"}},
            "There is no standby, because all pass hall-7.",
            id="no standby",
        ),
        pytest.param(
            {"refused": [{"route": "ams-1", "code": "host-key-mismatch", "reason": "another key"}]},
            "Tried before and not built: ams-1 (host-key-mismatch: another key).",
            id="not built",
        ),
        pytest.param(
            {"profile": "bulk", "candidates": [{**FRANKFURT, "throughput_mbps": 94.04}, DIRECT]},
            "it costs 39.0 ms a megabyte. It was chosen for bulk, by its narrowest hop: about 94.0 Mbit/s.",
            id="bulk",
        ),
        pytest.param(
            {"winner": None, "candidates": [DEAD, DEAD]},
            "None of 2 candidate routes is usable (nothing came back).",
            id="none usable",
        ),
        pytest.param({"candidates": []}, "No route was measured yet.", id="nothing yet"),
    ],
)
def test_what_is_said(changes: dict[str, Any], said: str) -> None:
    """Each reason, standby, refusal and profile has its sentence."""
    assert said in paragraph(decision(**changes))


def test_a_decision_of_an_older_gateway_is_explained_too() -> None:
    """Without reason, standby, profile and errors the rest is said, and nothing is made up."""
    old = decision()
    for name in ("reason", "before", "profile", "standby"):
        del old[name]  # type: ignore[misc]  # what an older gateway leaves out
    old["candidates"] = [{**FRANKFURT, "links": [{**link("gateway", "fra-1", 0.3), "error_ms": None}]}]
    text = paragraph(old)
    assert "took over" not in text
    assert "standby" not in text
    assert "a round trip of 30.0 ms" in text


def test_the_runner_up_is_the_cheapest_of_the_others() -> None:
    """Of equals the smaller name; the unusable never."""
    twin = candidate("aaa-1", delay=45.0)
    assert runner_up(decision(candidates=[FRANKFURT, DIRECT, twin, DEAD])) == twin
    assert runner_up(decision(candidates=[FRANKFURT, DEAD])) is None
