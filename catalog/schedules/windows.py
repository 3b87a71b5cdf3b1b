"""Windows of wall-clock time, and the moments at which something has to change. Pure: no I/O, no clock.

Times are those of a zone (IANA), through every switch of its clocks. A time that there is twice begins a window the
first time and ends one the second, and one that is left out is the moment of the switch: between start and stop, as
somebody reads them off a clock there, a machine runs.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from catalog.errors import InvalidValue

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WINDOWS_LIMIT: Final = 21
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}", re.ASCII)
_AROUND = 8  # days: a week, and one more for windows over midnight


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From ``start`` to ``stop`` on each of ``days``; a stop that is not later than the start is on the next day."""

    days: frozenset[int]  # 0 is Monday
    start: time
    stop: time


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the clock says: in any of the windows a machine runs. Without windows nothing is ever done."""

    zone: ZoneInfo
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A moment at which machines start (``runs``) or stop."""

    at_s: float
    runs: bool


def plan(zone: str, windows: Iterable[Mapping[str, object]]) -> Plan:
    """Return the plan that is written as {"days": ["mon"], "start": "08:00", "stop": "18:00"}.

    Raises InvalidValue naming the field.
    """
    found = tuple(_window(each) for each in windows)
    if len(found) > WINDOWS_LIMIT:
        raise InvalidValue("these are too many windows", field="windows", fix=f"at most {WINDOWS_LIMIT}")
    return Plan(zone=_zone(zone), windows=found)


def is_within(planned: Plan, now_s: float) -> bool:
    """Return whether one of the windows is open now."""
    return any(begin_s <= now_s < end_s for begin_s, end_s in _spans(planned, now_s))


def last_edge(planned: Plan, now_s: float) -> Edge | None:
    """Return the newest edge up to ``now_s``; None when the windows leave nothing out, or there are none."""
    spans = _spans(planned, now_s)
    past = [edge for edge in _edges(spans) if edge.at_s <= now_s]
    return max(past, key=lambda edge: edge.at_s, default=None)


def next_edge(planned: Plan, now_s: float) -> Edge | None:
    """Return the first edge after ``now_s``; None when there will be none."""
    coming = [edge for edge in _edges(_spans(planned, now_s)) if edge.at_s > now_s]
    return min(coming, key=lambda edge: edge.at_s, default=None)


def _edges(spans: Sequence[tuple[float, float]]) -> list[Edge]:
    """Return where the union of ``spans`` begins and ends; the outermost ones are the horizon and no edges."""
    joined: list[tuple[float, float]] = []
    for begin_s, end_s in sorted(spans):
        if joined and begin_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_s))
        else:
            joined.append((begin_s, end_s))
    moments = [Edge(at_s=at_s, runs=runs) for span in joined for at_s, runs in zip(span, (True, False), strict=True)]
    return moments[1:-1]


def _spans(planned: Plan, now_s: float) -> list[tuple[float, float]]:
    today = datetime.fromtimestamp(now_s, planned.zone).date()
    days = [today + timedelta(days=offset) for offset in range(-_AROUND, _AROUND + 1)]
    spans = [
        _span(planned.zone, window, day) for window in planned.windows for day in days if day.weekday() in window.days
    ]
    return [(begin_s, end_s) for begin_s, end_s in spans if begin_s < end_s]


def _span(zone: ZoneInfo, window: Window, day: date) -> tuple[float, float]:
    ends_on = day if window.stop > window.start else day + timedelta(days=1)
    begin_s = moment(zone, datetime.combine(day, window.start), is_end=False)
    return begin_s, moment(zone, datetime.combine(ends_on, window.stop), is_end=True)


def moment(zone: ZoneInfo, wall: datetime, *, is_end: bool) -> float:
    """Return when the clocks of ``zone`` show ``wall``: the first time, or the last one when ``is_end``.

    Where they never do, because they are put forward over it, that is the moment at which they are.
    """
    seen = [wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)]
    if datetime.fromtimestamp(seen[0], zone).replace(tzinfo=None) == wall:
        return seen[1] if is_end else seen[0]
    before_s, after_s = min(seen), max(seen)  # the offset changes between them
    before = datetime.fromtimestamp(before_s, zone).utcoffset()
    while after_s - before_s > 1:
        middle_s = (before_s + after_s) // 2
        if datetime.fromtimestamp(middle_s, zone).utcoffset() == before:
            before_s = middle_s
        else:
            after_s = middle_s
    return after_s


def _window(told: Mapping[str, object]) -> Window:
    days = told.get("days")
    if not isinstance(days, list) or not days or not set(days) <= set(DAYS):
        raise InvalidValue("a window is on some days of the week", field="windows", fix=f"some of {', '.join(DAYS)}")
    start, stop = _time(told.get("start"), "start"), _time(told.get("stop"), "stop")
    return Window(days=frozenset(DAYS.index(day) for day in days), start=start, stop=stop)


def _time(text: object, what: str) -> time:
    found = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise InvalidValue(f"this is no time to {what}", field="windows", fix="such as 08:00")
    return time(int(found[1]), int(found[2]))


def _zone(name: str) -> ZoneInfo:
    fix = "a name of the IANA database, such as Europe/Berlin or UTC"
    if not _ZONE.fullmatch(name):
        raise InvalidValue("this is no time zone", field="zone", fix=fix)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # unknown, no zone file, or a folder of them
        raise InvalidValue(f"there is no time zone '{name}'", field="zone", fix=fix) from error
