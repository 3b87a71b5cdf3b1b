"""``name=value`` arguments. Pure."""

from collections.abc import Sequence

from gateway.cli.exits import CliError


def pairs_of(texts: Sequence[str] | None, what: str) -> dict[str, str] | None:
    """Return ``["a=1"]`` as ``{"a": "1"}``, None for None. Raises CliError naming ``what`` and the wrong text."""
    if texts is None:
        return None
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise CliError(f"{what} {text!r} is not NAME=VALUE")
        if name in pairs:
            raise CliError(f"{what} {name!r} is given twice")
        pairs[name] = value
    return pairs


def numbers_of(texts: Sequence[str] | None, what: str) -> dict[str, float]:
    """Return ``["loss=2"]`` as ``{"loss": 2.0}``. Raises CliError naming ``what`` and the wrong text."""
    numbers: dict[str, float] = {}
    for name, value in (pairs_of(texts, what) or {}).items():
        try:
            numbers[name] = float(value)
        except ValueError:
            raise CliError(f"{what} {name}={value} is not a number") from None
        if not -1e308 < numbers[name] < 1e308:  # noqa: PLR2004 - inf and nan do not exist in JSON
            raise CliError(f"{what} {name}={value} is not a finite number")
    return numbers
