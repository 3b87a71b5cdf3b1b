"""Windows of time as people write them: ``weekdays 08:00-18:00``, ``mon,wed,fri-sun 22:00-06:00``. Pure."""

import re

from gateway.cli.exits import CliError
from gateway.client.schedules import Window

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NAMED = {"daily": _DAYS, "weekdays": _DAYS[:5], "weekends": _DAYS[5:]}
_WRITTEN = re.compile(r"(\S+)\s+(\d{1,2}:\d{2})\s*-\s*(\d{1,2}:\d{2})", re.ASCII)
_FIX = "such as 'weekdays 08:00-18:00', 'daily 22:00-06:00' or 'mon,wed,fri-sun 9:00-17:30'"


def window_of(text: str) -> Window:
    """Return the window. Raises CliError."""
    found = _WRITTEN.fullmatch(text.strip().lower())
    if found is None:
        raise CliError(f"'{text}' is no window of time", fix=_FIX)
    days = [day for part in found[1].split(",") for day in _days(part)]
    return Window(days=sorted(set(days), key=_DAYS.index), start=found[2].zfill(5), stop=found[3].zfill(5))


def text_of(window: Window) -> str:
    """Return the window as it is written."""
    days = tuple(window["days"])
    named = next((name for name, each in _NAMED.items() if each == days), ",".join(days))
    return f"{named} {window['start']}-{window['stop']}"


def _days(part: str) -> tuple[str, ...]:
    first, apart, last = part.partition("-")
    if part in _NAMED:
        return _NAMED[part]
    if first in _DAYS and not apart:
        return (first,)
    if first in _DAYS and last in _DAYS:
        begin, length = _DAYS.index(first), (_DAYS.index(last) - _DAYS.index(first)) % 7 + 1
        return tuple(_DAYS[(begin + each) % 7] for each in range(length))
    raise CliError(f"'{part}' are no days", fix=_FIX)
