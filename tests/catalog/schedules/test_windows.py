"""Windows of wall-clock time: where their edges are, through both switches of the clocks."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from catalog.errors import InvalidValue
from catalog.schedules.windows import DAYS, Edge, Plan, last_edge, next_edge, plan

WEEKDAYS = ["mon", "tue", "wed", "thu", "fri"]
ALL = list(DAYS)
BERLIN = "Europe/Berlin"  # 29 March 2026: 02:00 becomes 03:00; 25 October 2026: 03:00 becomes 02:00


def utc(text: str) -> float:
    """Return ``2026-03-29 01:00`` (UTC) as a moment."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp()


def made(zone: str, *windows: tuple[list[str], str, str]) -> Plan:
    """Return the plan of these windows."""
    return plan(zone, [{"days": days, "start": start, "stop": stop} for days, start, stop in windows])


def told(edge: Edge | None) -> str:
    """Return an edge as text."""
    if edge is None:
        return "none"
    moment = datetime.fromtimestamp(edge.at_s, UTC)
    return f"{'start' if edge.runs else 'stop'} {moment:%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("planned", "now", "last", "following"),
    [
        pytest.param(
            made(BERLIN, (WEEKDAYS, "08:00", "18:00")), "2026-03-28 12:00", "stop 03-27 17:00", "start 03-30 06:00",
            id="a weekend in which the clocks go forward",
        ),
        pytest.param(
            made(BERLIN, (WEEKDAYS, "08:00", "18:00")), "2026-10-24 12:00", "stop 10-23 16:00", "start 10-26 07:00",
            id="a weekend in which they go back",
        ),
        pytest.param(
            made(BERLIN, (ALL, "02:30", "04:00")), "2026-03-29 01:00", "start 03-29 01:00", "stop 03-29 02:00",
            id="a start that is left out is at the switch",
        ),
        pytest.param(
            made(BERLIN, (ALL, "01:00", "02:30")), "2026-03-29 00:30", "start 03-29 00:00", "stop 03-29 01:00",
            id="and so is a stop",
        ),
        pytest.param(
            made(BERLIN, (ALL, "02:10", "02:20")), "2026-03-29 12:00", "stop 03-28 01:20", "start 03-30 00:10",
            id="a window that is left out is none",
        ),
        pytest.param(
            made(BERLIN, (ALL, "02:30", "05:00")), "2026-10-25 00:45", "start 10-25 00:30", "stop 10-25 04:00",
            id="of a start that there is twice the first",
        ),
        pytest.param(
            made(BERLIN, (ALL, "01:00", "02:30")), "2026-10-25 00:45", "start 10-24 23:00", "stop 10-25 01:30",
            id="of a stop the last",
        ),
        pytest.param(
            made(BERLIN, (["sat"], "22:00", "06:00")), "2026-10-25 00:00", "start 10-24 20:00", "stop 10-25 05:00",
            id="a night that is an hour longer",
        ),
        pytest.param(
            made(BERLIN, (["sat"], "22:00", "06:00")), "2026-03-29 00:00", "start 03-28 21:00", "stop 03-29 04:00",
            id="a night that is an hour shorter",
        ),
        pytest.param(
            made("Australia/Lord_Howe", (ALL, "02:15", "09:00")), "2026-10-03 16:00", "start 10-03 15:30",
            "stop 10-03 22:00", id="a switch of half an hour, on the other half of the globe",
        ),
        pytest.param(
            made("UTC", (["sun"], "23:00", "00:00")), "2026-11-25 00:00", "stop 11-23 00:00", "start 11-29 23:00",
            id="until midnight",
        ),
        pytest.param(
            made("UTC", (["mon"], "08:00", "12:00"), (["mon"], "12:00", "18:00"), (["mon"], "11:00", "13:00")),
            "2026-11-23 12:00", "start 11-23 08:00", "stop 11-23 18:00", id="windows that touch are one",
        ),
        pytest.param(made("UTC", (ALL, "06:00", "06:00")), "2026-11-25 00:00", "none", "none", id="always"),
        pytest.param(made("UTC"), "2026-11-25 00:00", "none", "none", id="never anything"),
    ],
)  # fmt: skip
def test_the_edges_around_a_moment(planned: Plan, now: str, last: str, following: str) -> None:
    """Each worked out by hand, in UTC; an edge is the last one from its very second on."""
    now_s = utc(now)
    assert (told(last_edge(planned, now_s)), told(next_edge(planned, now_s))) == (last, following)
    coming = next_edge(planned, now_s)
    if coming is not None:
        assert last_edge(planned, coming.at_s) == coming
        assert told(last_edge(planned, coming.at_s - 1)) == last


@pytest.mark.parametrize("switch", ["2026-03-25 00:00", "2026-10-21 00:00"], ids=["spring", "autumn"])
@pytest.mark.parametrize("start", ["00:00", "01:45", "02:00", "02:30", "03:00", "22:00"])
@pytest.mark.parametrize("stop", ["02:00", "02:15", "03:00", "07:30", "23:00"])
def test_whenever_the_clock_shows_it_the_machine_runs(switch: str, start: str, stop: str) -> None:
    """Every quarter of an hour of nine days around each switch: what the clock on the wall says is what happens.

    On the day of the switch back a machine may run while the clock shows an hour for the second time.
    """
    planned, begin = made(BERLIN, (ALL, start, stop)), utc(switch)
    for quarter in range(9 * 24 * 4):
        now_s = begin + quarter * 900
        wall = datetime.fromtimestamp(now_s, planned.zone)
        shown = f"{wall:%H:%M}"
        inside = start <= shown < stop if start < stop else not stop <= shown < start
        edge = last_edge(planned, now_s)
        if edge is None:
            assert start == stop  # all day, every day
            return
        if inside or (wall.month, wall.day) != (10, 25):
            assert edge.runs == inside, wall


def test_edges_alternate_and_none_is_skipped() -> None:
    """From edge to edge through a year: starts and stops in turn, 261 of each for the weekdays of 2026, at 8 and 18."""
    planned = made(BERLIN, (WEEKDAYS, "08:00", "18:00"))
    edges = [next_edge(planned, utc("2026-01-01 00:00"))]
    while edges[-1] is not None and edges[-1].at_s < utc("2026-12-31 23:00"):
        edges.append(next_edge(planned, edges[-1].at_s))
    walked = [edge for edge in edges[:-1] if edge is not None]
    assert len(walked) == 2 * 261
    assert all(one.runs != other.runs for one, other in pairwise(walked))
    hours = {datetime.fromtimestamp(edge.at_s, planned.zone).hour for edge in walked if edge.runs}
    assert hours == {8}
    lengths = {timedelta(seconds=stop.at_s - start.at_s) for start, stop in zip(walked[::2], walked[1::2], strict=True)}
    assert lengths == {timedelta(hours=10)}


@pytest.mark.parametrize(
    ("zone", "window", "field"),
    [
        pytest.param("Europe/Atlantis", {}, "zone", id="no such place"),
        pytest.param("../etc/passwd", {}, "zone", id="no name of a place"),
        pytest.param("Europe", {}, "zone", id="a continent"),
        pytest.param("UTC", {"days": []}, "windows", id="no day"),
        pytest.param("UTC", {"days": ["noday"]}, "windows", id="an unknown day"),
        pytest.param("UTC", {"start": "8:00"}, "windows", id="no time"),
        pytest.param("UTC", {"stop": "24:00"}, "windows", id="no time of a day"),
    ],
)
def test_what_cannot_be_read_is_refused(zone: str, window: dict[str, Any], field: str) -> None:
    """The refusal names what is wrong."""
    with pytest.raises(InvalidValue) as refused:
        plan(zone, [{"days": ["mon"], "start": "08:00", "stop": "18:00", **window}])
    assert refused.value.field == field
    with pytest.raises(InvalidValue):
        made("UTC", *[(["mon"], "08:00", "09:00")] * 22)
