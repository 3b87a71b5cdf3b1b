"""gateway.cli.picture.history: a step per change, at its time and in its route's row."""

import itertools
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import pytest

from gateway.cli.picture.history import ESCAPE, drawn, height, rows_of, ticks
from gateway.cli.picture.journey import Journey
from gateway.cli.picture.projection import Frame
from gateway.client.decisions import Decision
from tests.support.network_status import decision

EIGHT_S = 1_800_000_000.0  # 2027-01-15 08:00:00
STORY = (
    decision(0, "direct", "first"),
    decision(600, "direct", "kept"),
    decision(1200, "fra-1", "moved"),
    decision(2400, "direct", "escaped-dead"),
)


def parts(decisions: Sequence[Decision]) -> list[ET.Element]:
    """Return the chart's elements in a frame whose chart begins at x = 210 and is 1000 wide."""
    journey = Journey(title="a to b", target="b", route="direct", decisions=decisions)
    frame = Frame(left=0, top=0, width=1220, height=height(journey))
    return [ET.fromstring(each) for each in drawn(journey, frame, "#000000")]


def test_the_line_steps_where_routes_changed() -> None:
    """40 minutes and 4 % more make 2,496 s over 1,000 px: changes at 210 + 480.8 and 210 + 961.5; rows at 42 and 66."""
    [line] = [each.attrib["d"] for each in parts(STORY) if each.tag == "path"]
    assert line == "M210.0 42.0H450.4V42.0H690.8V66.0H1171.5V42.0H1210.0"


def test_changes_are_marked_by_what_they_were() -> None:
    """The first is hollow, a move has the journey's colour, an escape is red; a route kept is a stroke only."""
    circles = [each for each in parts(STORY) if each.tag == "circle"]
    assert [each.attrib["fill"] for each in circles] == ["#ffffff", "#000000", ESCAPE]
    [kept] = [each for each in parts(STORY) if each.tag == "line" and len(each)]
    assert kept[0].text == "2027-01-15T08:10:00Z: direct, 42.5 ms kept"


def test_rows_are_routes_in_order_of_their_first_win() -> None:
    """Each once; a decision that found nothing usable has a row too, and room grows with rows."""
    story = [*STORY, decision(2500, None, "nothing-usable")]
    assert rows_of(story) == ["direct", "fra-1", "none usable"]
    journeys = [Journey(title="", target="", route="", decisions=told) for told in (STORY[:1], STORY, story)]
    heights = [height(each) for each in journeys]
    assert [b - a for a, b in itertools.pairwise(heights)] == [24.0, 24.0]


def test_one_decision_is_a_line_from_then_on() -> None:
    """A single decision has no span; the chart shows ten minutes and a little from it on."""
    [line] = [each.attrib["d"] for each in parts(STORY[:1]) if each.tag == "path"]
    assert line == "M210.0 42.0H1210.0"


def test_no_decision_is_said() -> None:
    """Without a history there are words in place of a chart."""
    assert "no decision yet" in [each.text for each in parts(())]


@pytest.mark.parametrize(
    ("span_s", "names"),
    [
        pytest.param(
            30.0, ["08:00:00", "08:00:05", "08:00:10", "08:00:15", "08:00:20", "08:00:25", "08:00:30"], id="s"
        ),
        pytest.param(3 * 3600.0, ["08:00", "08:30", "09:00", "09:30", "10:00", "10:30", "11:00"], id="h"),
        pytest.param(3 * 86_400.0, ["12:00", "00:00", "12:00", "00:00", "12:00", "00:00"], id="days"),
        pytest.param(5 * 86_400.0, [f"2027-01-{day}" for day in (16, 17, 18, 19, 20)], id="week"),
    ],
)
def test_ticks_are_round_and_few(span_s: float, names: list[str]) -> None:
    """They stand at whole steps of UTC, at most nine of them, and say no more than they need."""
    assert [name for _, name in ticks(EIGHT_S, span_s)] == names


@pytest.mark.parametrize("span_s", [1.0, 7.0, 100.0, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9])
def test_any_span_has_a_few_ticks(span_s: float) -> None:
    """From a second to decades there are at least one and at most 33, inside the span."""
    found = [at_s for at_s, _ in ticks(EIGHT_S, span_s)]
    assert 1 <= len(found) <= 33
    assert all(EIGHT_S <= at_s <= EIGHT_S + span_s for at_s in found)
