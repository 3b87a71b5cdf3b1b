"""Read a price list, CSV or JSON, into lines; every line that cannot be one is named by its number. Pure.

CSV has a header with the names of ``COLUMNS`` in any order; JSON is an array of objects with these names. Either has
one price a line or object: ``amount`` of ``currency`` per ``unit`` of ``item``, at a ``platform`` (its name or id) or
at a ``provider`` (in a ``region``, or in all). Left out, ``kind`` is "size", ``valid_from`` is now and ``valid_to`` is
when the next one begins.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from catalog.errors import InvalidValue
from catalog.prices.currencies import CURRENCIES

LINE_LIMIT = 20_000
FAULT_LIMIT = 100
HOURS_PER_MONTH = 730  # of a year of 8,760: how clouds bill a month
COLUMNS: Final = (
    "platform",
    "provider",
    "region",
    "kind",
    "item",
    "unit",
    "amount",
    "currency",
    "valid_from",
    "valid_to",
    "source",
)


class ListFormat(StrEnum):
    """How a price list is written."""

    CSV = "csv"
    JSON = "json"


class PriceKind(StrEnum):
    """What has a price."""

    SIZE = "size"
    IMAGE = "image"  # what its system costs beside the machine
    VOLUME = "volume"
    TRAFFIC = "traffic"


_TIMES: Final = ("hour", "second", "month", "year")  # what a price is looked for in, first to last
UNITS: Final[Mapping[PriceKind, tuple[str, ...]]] = {
    PriceKind.SIZE: _TIMES,
    PriceKind.IMAGE: _TIMES,
    PriceKind.VOLUME: ("GiB-month", "GiB-hour", *_TIMES),
    PriceKind.TRAFFIC: ("GiB",),
}
_PER_HOUR: Final[Mapping[str, tuple[int, int]]] = {  # unit -> (times, over)
    "hour": (1, 1),
    "second": (3600, 1),
    "month": (1, HOURS_PER_MONTH),
    "year": (1, 8760),
}
_AMOUNT: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
_WORD_LENGTH = 256


class ListRefused(InvalidValue):
    """A price list was not taken, and nothing of it was; ``faults`` say why, each naming its line."""

    def __init__(self, faults: "tuple[Fault, ...]") -> None:
        """Describe all ``faults``; ``field`` and ``fix`` are those of the first."""
        words = "1 line" if len(faults) == 1 else f"{len(faults)} lines"
        first = faults[0]
        super().__init__(
            f"{words} cannot be taken, so none was: {first.field}: {first.message}", field=first.field, fix=first.fix
        )
        self.faults = tuple(
            {"field": fault.field, "message": fault.message, "fix": fault.fix} for fault in faults[:FAULT_LIMIT]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong in which line, and what would be right."""

    line: int
    column: str
    message: str
    fix: str

    @property
    def field(self) -> str:
        """Return the place as people name it."""
        return f"line {self.line}" + (f", {self.column}" if self.column else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLine:
    """One price as it was given; ``platform`` is a name or an id, "" when a provider's."""

    line: int
    platform: str = ""
    provider: str = ""
    region: str = ""
    kind: PriceKind = PriceKind.SIZE
    item: str
    unit: str
    amount: Decimal
    currency: str
    source: str
    valid_from_s: float
    valid_to_s: float | None = None


def read(text: str, written: ListFormat, *, source: str, now_s: float) -> list[PriceLine]:
    """Return the lines of the list ``text``; ``source`` is that of lines that name none. Raises ListRefused."""
    found: list[PriceLine] = []
    faults: list[Fault] = []
    for line, told in _csv(text) if written is ListFormat.CSV else _json(text):
        if line > LINE_LIMIT + 1:
            raise ListRefused((Fault(line=line, column="", message=f"more than {LINE_LIMIT} lines", fix="send parts"),))
        given = {"source": source, **{name: value for name, value in told.items() if value}}
        try:
            found.append(_line(line, given, now_s))
        except _BadLineError as error:
            faults.append(error.fault)
    if faults:
        raise ListRefused(tuple(faults))
    if not found:
        raise ListRefused((Fault(line=1, column="", message="there is no price", fix="one price a line"),))
    return found


def per_hour(amount: Decimal, unit: str) -> Decimal | None:
    """Return the price of an hour, None for a unit that is not one of time."""
    if unit not in _PER_HOUR:
        return None
    times, over = _PER_HOUR[unit]
    return amount * times / over


def plain(amount: Decimal) -> str:
    """Return ``amount`` as text without an exponent or needless zeros: 0.10 is "0.1"."""
    return f"{amount.normalize():f}"


class _BadLineError(Exception):
    def __init__(self, line: int, column: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.fault = Fault(line=line, column=column, message=message, fix=fix)


def _csv(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            told = [cell.strip() for cell in cells]
            if not any(told) or told[0].startswith("#"):
                continue
            if header is None:
                header = _header(reader.line_num, told)
            elif len(told) != len(header):
                fix = f"{len(header)} of them, as in the header"
                yield reader.line_num, {"": f"{len(told)} values", " ": fix}
            else:
                yield reader.line_num, dict(zip(header, told, strict=True))
    except csv.Error as error:
        fault = Fault(line=reader.line_num, column="", message="this is not CSV", fix="close every quote")
        raise ListRefused((fault,)) from error


def _header(line: int, names: list[str]) -> list[str]:
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or len(set(names)) < len(names):
        message = "the header names no known column twice" if not unknown else "the header names an unknown column"
        raise ListRefused((Fault(line=line, column="", message=message, fix=", ".join(COLUMNS)),))
    return names


def _json(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    try:
        told = json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        fault = Fault(
            line=getattr(error, "lineno", 1), column="", message="this is not JSON", fix="an array of objects"
        )
        raise ListRefused((fault,)) from error
    if not isinstance(told, list):
        raise ListRefused((Fault(line=1, column="", message="this is no array", fix="an array of objects"),))
    for number, each in enumerate(told, start=1):
        if not isinstance(each, dict):
            yield number, {"": "no object", " ": "an object with item, unit, amount, currency"}
            continue
        texts = {name: value for name, value in each.items() if value is not None}
        odd = [name for name, value in texts.items() if not isinstance(value, str)]
        yield number, {odd[0]: "\0"} if odd else texts


def _line(line: int, told: Mapping[str, str], now_s: float) -> PriceLine:
    for column, message, fix in _wrong(told):
        raise _BadLineError(line, column, message, fix)
    begins_s, ends_s = _moment(line, "valid_from", told), _moment(line, "valid_to", told)
    begins_s = now_s if begins_s is None else begins_s
    if ends_s is not None and ends_s <= begins_s:
        raise _BadLineError(line, "valid_to", "it ends before it begins", "a later moment, or nothing")
    return PriceLine(
        line=line,
        platform=told.get("platform", ""),
        provider=told.get("provider", ""),
        region=told.get("region", ""),
        kind=PriceKind(told.get("kind", PriceKind.SIZE)),
        item=told["item"],
        unit=told["unit"],
        amount=Decimal(told["amount"]),
        currency=told["currency"],
        source=told["source"],
        valid_from_s=begins_s,
        valid_to_s=ends_s,
    )


def _wrong(told: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield column, message and fix of what stands against a line; only the first is meant to be looked at."""
    if "" in told:
        yield "", f"it has {told['']}", told[" "]
    yield from _wrong_words(told)
    for name in ("item", "unit", "amount", "currency", "source"):
        if not told.get(name):
            yield name, "it is required", f"give {name}"
    kind = told.get("kind", PriceKind.SIZE.value)
    if kind not in set(PriceKind):
        yield "kind", "this has no prices", ", ".join(PriceKind)
    if told["unit"] not in UNITS[PriceKind(kind)]:
        yield "unit", f"this is no unit of a {kind}", ", ".join(UNITS[PriceKind(kind)])
    if not _AMOUNT.fullmatch(told["amount"]):
        yield "amount", "this is no amount", "digits with a decimal point, such as 0.0416"
    if told["currency"] not in CURRENCIES:
        yield "currency", "this is no currency", "its ISO 4217 code, such as EUR"
    yield from _wrong_place(told)


def _wrong_words(told: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, value in told.items():
        if name not in COLUMNS:
            yield "", "it names an unknown column", ", ".join(COLUMNS)
        if len(value) > _WORD_LENGTH or not value.isprintable():
            yield name, "this cannot be a value", f"up to {_WORD_LENGTH} printable characters"


def _wrong_place(told: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    if bool(told.get("platform")) == bool(told.get("provider")):
        yield "platform", "a price is either a platform's or a provider's", "give one of them"
    if told.get("platform") and told.get("region"):
        yield "region", "a platform is in one region already", "leave region out, or name the provider"


def _moment(line: int, column: str, told: Mapping[str, str]) -> float | None:
    text = told.get(column)
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        fix = "a date such as 2026-01-01, or a moment such as 2026-01-01T00:00:00Z"
        raise _BadLineError(line, column, "this is no date", fix) from error
