"""Lengths of time as people write them: ``90``, ``30m``, ``12h``, ``7d``, ``1d12h``. Pure."""

import re

from gateway.cli.exits import CliError

_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_WRITTEN = re.compile(r"(?:\d{1,6}d)?(?:\d{1,6}h)?(?:\d{1,6}m)?(?:\d{1,9}s?)?", re.ASCII)


def seconds_of(text: str) -> float:
    """Return ``1d12h`` in seconds; a bare number is seconds. Raises CliError."""
    if not text or not _WRITTEN.fullmatch(text):
        raise CliError(f"'{text}' is no length of time", fix="such as 30m, 12h, 7d or 1d12h")
    return sum(float(count) * _UNITS[unit or "s"] for count, unit in re.findall(r"(\d+)([dhms]?)", text))


def seconds_if_given(text: str | None) -> float | None:
    """Return the same, None for an option that was left out. Raises CliError."""
    return None if text is None else seconds_of(text)


def limit_of(text: str) -> float | None:
    """Return the same, None for ``none``. Raises CliError."""
    return None if text == "none" else seconds_of(text)
