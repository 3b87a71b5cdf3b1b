"""Data on stdout as a table, JSON or YAML; everything else on stderr.

Tables are plain aligned text unless they go to a terminal that wants colour: only then is rich loaded. What a
gateway sends may have been written by strangers (names, reasons), so no control character reaches a terminal.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """How data is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and the field it shows or a function that makes the text."""

    title: str
    source: str | Callable[[Mapping[str, object]], str]

    def cell(self, item: Mapping[str, object]) -> str:
        """Return the text of ``item`` in this column."""
        return cell(item.get(self.source)) if isinstance(self.source, str) else self.source(item)


Row = tuple[str, ...]
_LONGEST_WRITTEN_OUT = 1e15

# Words that mean an end, good or bad; every other state is on its way.
_GOOD = frozenset({"established", "fulfilled", "offered", "accepted", "approved", "idle", "in-use", "ok", "done"})
_BAD = frozenset({"failed", "lost", "denied", "refused", "revoked", "expired", "withdrawn", "degraded", "cancelled"})


def show(value: object, format_: Format, columns: Sequence[Column] = ()) -> None:
    """Write ``value``: a list becomes a table of ``columns``, a mapping one line per field."""
    match format_:
        case Format.JSON:
            # JSON has a way to write what a terminal would obey; the line breaks between the lines stay.
            print("\n".join(map(printable, json.dumps(value, indent=2, ensure_ascii=False).split("\n"))))
        case Format.YAML:
            import yaml  # noqa: PLC0415 - most commands never need it

            text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
            if any(printable(line) != line for line in text.splitlines()):
                text = yaml.safe_dump(value, sort_keys=False)
            sys.stdout.write(text)
        case Format.TABLE if isinstance(value, Mapping):
            show_table(("FIELD", "VALUE"), [(name, cell(each)) for name, each in value.items()])
        case Format.TABLE if isinstance(value, Sequence):
            show_table([each.title for each in columns], [tuple(c.cell(item) for c in columns) for item in value])


def show_table(titles: Sequence[str], rows: Sequence[Row], *, marked: int | None = None) -> None:
    """Write one table; the row with index ``marked`` stands out where there is colour."""
    if wants_colour():
        _show_rich(titles, rows, marked)
        return
    for line in aligned([tuple(titles), *rows]):
        print(line)


def note(*lines: str) -> None:
    """Tell a human something that is not data."""
    for line in lines:
        print(printable(line), file=sys.stderr)


def wants_colour() -> bool:
    """Return whether stdout is a terminal whose user did not say no (NO_COLOR, TERM=dumb)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def cell(value: object) -> str:
    """Return one value as a short text on one line; what is absent or empty is a dash."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return _number(value)
        case list() | dict():
            return printable(_joined(value))
    return printable(str(value))


def printable(text: str) -> str:
    """Return ``text`` with every control and invisible formatting character made visible, as JSON would escape it."""
    if text.isprintable():
        return text
    return "".join(each if unicodedata.category(each)[0] != "C" else json.dumps(each)[1:-1] for each in text)


def width_of(text: str) -> int:
    """Return how many terminal cells ``text`` takes: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def aligned(rows: Iterable[Row]) -> list[str]:
    """Return the rows as lines with their columns under each other, two blanks apart."""
    table = list(rows)
    widths = [max(map(width_of, column)) for column in zip(*table, strict=True)]
    return ["  ".join(_padded(text, width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _number(value: float) -> str:
    short = f"{value:g}"
    # Amounts of seconds and bytes are read, not computed with: 2592000, not 2.592e+06.
    return f"{value:.0f}" if "e+" in short and abs(value) < _LONGEST_WRITTEN_OUT else short


def _joined(value: list[object] | dict[object, object]) -> str:
    if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
        return ", ".join(str(each) for each in value) or "-"
    return json.dumps(value, ensure_ascii=False) if value else "-"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))


def _show_rich(titles: Sequence[str], rows: Sequence[Row], marked: int | None) -> None:
    from rich.console import Console  # noqa: PLC0415 - 0.2 s that only a terminal is worth
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        # Ids are there to be copied: they may wrap, but are never cut.
        table.add_column(Text(title), overflow="fold")
    for index, row in enumerate(rows):
        cells = [Text(text, style="green" if text in _GOOD else "red" if text in _BAD else "") for text in row]
        table.add_row(*cells, style="bold green" if index == marked else None)
    Console().print(table)
