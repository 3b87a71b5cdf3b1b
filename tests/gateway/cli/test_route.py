"""gateway.cli.route: explain and what-if, against the real API over a stored decision."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog import connections
from catalog.model.connection import ConnectionEvent
from catalog.model.ids import ConnectionId
from gateway.cli.route import ranks, verdict
from gateway.client.decisions import Candidate, RouteDecision
from tests.gateway.cli.conftest import Crossway, Run
from tests.support.decisions import document
from tests.support.served_api import ServedApi, served_api


def candidate(route: str, delay_ms: float, loss_ms: float) -> Candidate:
    """Return a usable candidate of two terms."""
    return {
        "route": route,
        "hops": [route],
        "rtt_ms": delay_ms,
        "jitter_ms": 0.0,
        "loss_ratio": 0.0,
        "terms": {"delay": delay_ms, "loss": loss_ms},
        "cost_ms": delay_ms + loss_ms,
        "preference": 80.0,
        "links": [],
    }


STORED = document(reason="first", before="")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    """Serve an API whose connection has one decision."""
    with served_api(tmp_path) as served:
        served.write(lambda tx: connections.record_decision(tx, served.ids["connection"], STORED, 1_800_000_000.0))
        yield served


def test_explain_says_it_in_words_and_then_in_numbers(run: Run, api: ServedApi) -> None:
    """The paragraph comes first, broken to readable lines, then the candidates table with its winner marked."""
    shown = run.result("route", "explain", api.ids["connection"])
    words, table = shown.stdout.split("\n\n")[:2]
    assert " ".join(words.split()).startswith(
        "The route is fra-1, of 2 candidates; it costs 30.0 ms. No other route was in use before it."
    )
    assert max(map(len, words.splitlines())) <= 100
    assert table.splitlines()[1].split()[:2] == ["*", "fra-1"]


def test_explain_is_data_too(run: Run, api: ServedApi) -> None:
    """As JSON the words stand beside everything they were made of."""
    told = json.loads(run.result("route", "explain", api.ids["connection"], "-o", "json").stdout)
    assert told["explanation"].startswith("The route is fra-1")
    assert (told["winner"], told["standby"]["route"], len(told["candidates"])) == ("fra-1", "sin-1", 2)


def test_what_if_shows_both_ranks(run: Run, api: ServedApi) -> None:
    """With loss worth three times as much fra-1 would cost 50 ms and come second after sin-1 with 35."""
    shown = run.result("route", "whatif", api.ids["connection"], "--weight", "loss=3")
    table, words = shown.stdout.split("\n\n")
    rows = [line.split() for line in table.splitlines()[1:]]
    assert rows == [["sin-1", "2", "1", "35.0", "35.0"], ["*", "fra-1", "1", "2", "30.0", "50.0"]]
    assert words.splitlines()[0].startswith("the winner changes from fra-1 to sin-1, by 15.0 ms")
    assert words.splitlines()[-1] == "changed: loss 1 -> 3"
    kept = json.loads(run.result("connection", "routes", api.ids["connection"], "-o", "json").stdout)
    assert (kept["winner"], kept["weights"]["loss"]) == ("fra-1", 1.0)


def test_what_if_is_data_too(run: Run, api: ServedApi) -> None:
    """As JSON: both decisions whole, and whether the winner changes."""
    words = ("route", "whatif", api.ids["connection"], "-o", "json")
    same = json.loads(run.result(*words, "--profile", "bulk").stdout)
    assert (same["winner_changes"], same["then"]["profile"], same["now"]["profile"]) == (False, "bulk", "interactive")
    other = json.loads(run.result(*words, "--weight", "loss=3").stdout)
    assert (other["winner_changes"], other["now"]["winner"], other["then"]["winner"]) == (True, "fra-1", "sin-1")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(("--weight", "speed=1"), 2, id="unknown weight"),
        pytest.param(("--weight", "loss=much"), 2, id="not a number"),
        pytest.param(("--weight", "loss=-1"), 2, id="negative"),
    ],
)
def test_a_weight_that_is_none_is_refused(run: Run, api: ServedApi, words: tuple[str, ...], code: int) -> None:
    """What is no weight ends with exit code 2 and no data."""
    result = run.result("route", "whatif", api.ids["connection"], *words)
    assert (result.exit_code, result.stdout) == (code, "")


def told(winner: str | None, *candidates: Candidate, **changes: Any) -> RouteDecision:
    """Return a decision."""
    return {
        "decided_at": None,
        "weights": {"delay": 1.0},
        "margin_ms": None,
        "winner": winner,
        "candidates": list(candidates),
        "refused": [],
        "probe_methods": [],
        **changes,  # type: ignore[typeddict-item]
    }


FIRST, SECOND = candidate("fra-1", 20.0, 0.0), candidate("sin-1", 30.0, 0.0)
DEAD: Candidate = {**candidate("tok-1", 0.0, 0.0), "cost_ms": None}


def test_what_cannot_be_used_has_no_rank() -> None:
    """A dead candidate stands last with dashes; one that is dead then only has its rank of now."""
    rows = ranks(told("fra-1", FIRST, SECOND, DEAD), told("fra-1", FIRST, {**SECOND, "cost_ms": None}, DEAD))
    assert [row[2:4] for row in rows] == [("1", "1"), ("2", "-"), ("-", "-")]
    assert rows[1][4:] == ("30.0", "-")


@pytest.mark.parametrize(
    ("now", "then", "lines"),
    [
        pytest.param(
            told("fra-1", FIRST, SECOND),
            told("fra-1", FIRST, SECOND, margin_ms=10.0),
            ["the winner stays fra-1, by 10.0 ms", "changed: nothing"],
            id="stays",
        ),
        pytest.param(
            told("sin-1", FIRST, SECOND),
            told("fra-1", FIRST, SECOND, margin_ms=10.0),
            [
                "the winner stays fra-1, by 10.0 ms",
                "in use is sin-1: it was kept although fra-1 is first already",
                "changed: nothing",
            ],
            id="kept though not first",
        ),
        pytest.param(
            told("fra-1", FIRST, DEAD, profile="interactive"),
            told("fra-1", FIRST, DEAD, profile="bulk"),
            ["the winner stays fra-1, with no other usable route", "changed: profile interactive -> bulk"],
            id="the only one",
        ),
        pytest.param(
            told("fra-1", FIRST),
            told(None, DEAD, weights={"delay": 2.0}),
            ["no route would be usable", "changed: delay 1 -> 2"],
            id="none",
        ),
    ],
)
def test_the_verdict(now: RouteDecision, then: RouteDecision, lines: list[str]) -> None:
    """It is said whether another would be first, which is in use though it is not first, and what was changed."""
    assert verdict(now, then) == lines


def test_where_nothing_was_measured_the_connection_says_why(tmp_path: Path, crossway: Crossway) -> None:
    """A request that failed before any probe is explained by its reason, not by an empty table alone."""
    why = "no route to north: nothing the gateway may dial leads there"
    with served_api(tmp_path) as api:
        connection = ConnectionId(api.ids["connection"])
        api.write(
            lambda tx: connections.move(
                tx, connection, ConnectionEvent.FAIL, 1_800_000_000.0, code="no-route", reason=why
            )
        )
        shown = crossway("route", "explain", connection, CROSSWAY_SERVER=api.server, CROSSWAY_TOKEN=api.tokens["admin"])
    assert " ".join(shown.stdout.split("\n\n")[0].split()) == f"No route was measured yet. {why}"
