"""gateway.cli.routes: the candidates table, checked against a decision worked out by hand."""

import pytest

from gateway.cli.routes import show_routes, summary, term_names
from gateway.client.decisions import Candidate, LinkMeasurement, RouteDecision

LINK: LinkMeasurement = {
    "source": "gateway",
    "target": "fra-1",
    "method": "icmp",
    "sent": 20,
    "lost": 1,
    "error_ms": 0.25,
    "rtt_ms": 12.34,
    "jitter_ms": 0.5,
    "loss_ratio": 0.05,
    "measured_at_s": 1_800_000_000.0,
}
DEAD_LINK: LinkMeasurement = {
    **LINK,
    "target": "sin-1",
    "sent": 19.6,
    "lost": 19.6,
    "rtt_ms": None,
    "error_ms": None,
    "note": "host-key-mismatch",
}


def candidate(route: str, cost_ms: float | None, link: LinkMeasurement = LINK, refused: str = "") -> Candidate:
    """Return a candidate as the gateway stores it; the parts of its cost besides delay are the same for all."""
    terms = {"hops": 5.0, "price": 0.0}
    if cost_ms is not None:
        terms |= {"delay": cost_ms - 15.0, "loss": 10.0, "jitter": 0.0}
    return {
        "route": route,
        "hops": route.split(">"),
        "rtt_ms": None if cost_ms is None else cost_ms - 15.0,
        "jitter_ms": 0.5,
        "loss_ratio": 1.0 if cost_ms is None else 0.05,
        "terms": terms,
        "cost_ms": cost_ms,
        "preference": 0.0 if cost_ms is None else 71.25,
        "refused": refused,
        "links": [link],
    }


DECISION: RouteDecision = {
    "decided_at": "2026-11-22T01:00:00Z",
    "weights": {"delay": 1.0, "loss": 1.0, "hops": 5.0},
    "margin_ms": 7.25,
    "winner": "fra-1>sin-1",
    "candidates": [
        candidate("ams-1", 40.0),
        candidate("fra-1>sin-1", 47.25),
        candidate("sin-1", None, DEAD_LINK, "nothing came back"),
    ],
    "refused": [{"route": "ams-1", "code": "host-key-mismatch", "reason": "the relay showed another key"}],
    "probe_methods": ["icmp"],
}


def test_the_candidates_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Each candidate is a line with what was measured, each term, the sum, the preference and why it was not taken."""
    show_routes(DECISION, with_links=False)

    table = capsys.readouterr().out.split("\n\n")[0].splitlines()
    title = "ROUTE RTT ms JITTER ms LOSS % DELAY ms LOSS ms JITTER ms HOPS ms PRICE ms COST ms PREFERENCE REFUSED"
    assert table[0].split() == title.split()
    assert table[1].split("  ")[-1] == "host-key-mismatch: the relay showed another key"
    assert " ".join(table[2].split()) == "* fra-1>sin-1 32.2 0.5 5.00 32.2 10.0 0.0 5.0 0.0 47.2 71.2"
    assert " ".join(table[3].split()) == "sin-1 - 0.5 100.00 - - - 5.0 0.0 - 0.0 nothing came back"


def test_the_winner_and_its_lead() -> None:
    """The lines under the table say who won, by how much, by which weights and how it was measured."""
    assert summary(DECISION) == [
        "winner: fra-1>sin-1; margin 7.2 ms to the next best",
        "weights: delay=1 loss=1 hops=5",
        "probed by: icmp",
    ]
    assert summary({**DECISION, "margin_ms": None})[0] == "winner: fra-1>sin-1; there is no other usable route"
    assert summary({**DECISION, "winner": None})[0] == "winner: none, no route is usable"


def test_links_show_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """With links, each link of each route has its method, packets, figures, and why it could not be probed."""
    show_routes(DECISION, with_links=True)

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "fra-1>sin-1 gateway fra-1 icmp 20 1 12.3 0.2 0.5 5.00" in lines
    # Counts fade with age and so are no whole numbers; an error that nobody stored is a dash.
    assert "sin-1 gateway sin-1 icmp 20 20 - - 0.5 5.00 host-key-mismatch" in lines


def test_a_bulk_decision_shows_what_routes_carry(capsys: pytest.CaptureFixture[str]) -> None:
    """The throughput stands beside the route, a dash where nobody knows; without bulk there is no such column."""
    carried: Candidate = {**candidate("ams-1", 40.0), "throughput_mbps": 94.04}
    bulk: RouteDecision = {**DECISION, "profile": "bulk", "candidates": [carried, candidate("fra-1>sin-1", 47.25)]}
    show_routes(bulk, with_links=False)

    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:2] == ["ROUTE", "MBIT/S"]
    assert table[1].split()[:2] == ["ams-1", "94.0"]
    assert table[2].split()[:3] == ["*", "fra-1>sin-1", "-"]


def test_before_the_first_decision(capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing measured yet the table is empty and says so."""
    nothing: RouteDecision = {
        "decided_at": None,
        "weights": {},
        "margin_ms": None,
        "winner": None,
        "candidates": [],
        "refused": [],
        "probe_methods": [],
    }
    show_routes(nothing, with_links=True)

    assert "no route was measured yet" in capsys.readouterr().out


def test_a_term_nobody_knew_has_a_column() -> None:
    """A newer gateway's term stands after the well-known ones."""
    extended = candidate("ams-1", 40.0)
    extended["terms"]["carbon"] = 1.0

    assert term_names([extended]) == ["delay", "loss", "jitter", "hops", "price", "carbon"]
