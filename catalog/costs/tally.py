"""Add up what machines cost in a month: so far, and by its end if nothing changes. Pure.

A machine costs from the moment it was handed over until it is gone, by the price its order keeps. What has no price, or
one that is not of time, is told in hours and never as 0. Months are UTC's.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self

from catalog.errors import InvalidValue
from catalog.prices.lines import per_hour
from catalog.store.costs import Use

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_HOUR_S = Decimal(3600)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A month, called ``2026-11``."""

    name: str
    begin_s: float
    end_s: float

    @classmethod
    def at(cls, at_s: float) -> Self:
        """Return the month that ``at_s`` is in."""
        return cls.named(datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m"))

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the month. Raises InvalidValue."""
        found = _MONTH.fullmatch(name)
        if found is None or found[1] in {"0000", "9999"}:
            raise InvalidValue(f"'{name}' is no month", field="month", fix="such as 2026-11")
        year, month = int(found[1]), int(found[2])
        begin = datetime(year, month, 1, tzinfo=UTC)
        end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        return cls(name=name, begin_s=begin.timestamp(), end_s=end.timestamp())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """An amount so far, and by the end of the month if what is there stays as long as it is lent."""

    spent: Decimal = ZERO
    forecast: Decimal = ZERO

    def __add__(self, other: "Cost") -> "Cost":
        """Return both together."""
        return Cost(spent=self.spent + other.spent, forecast=self.forecast + other.forecast)

    def __mul__(self, factor: Decimal) -> "Cost":
        """Return so many times of it."""
        return Cost(spent=self.spent * factor, forecast=self.forecast * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What machines cost in a month, by currency; ``unknown`` are the hours of those without an hourly price."""

    by_currency: Mapping[str, Cost] = field(default_factory=dict)
    hours_by_currency: Mapping[str, Cost] = field(default_factory=dict)
    unknown: Cost = field(default_factory=Cost)

    def other_hours(self, currency: str) -> Cost:
        """Return the hours of everything that has no price in ``currency``."""
        others = (hours for each, hours in self.hours_by_currency.items() if each != currency)
        return sum(others, self.unknown)


def tally(uses: Iterable[Use], month: Month, now_s: float) -> Tally:
    """Return what ``uses`` cost in ``month``, seen from ``now_s``."""
    amounts: dict[str, Cost] = {}
    hours: dict[str, Cost] = {}
    unknown = Cost()
    for use in uses:
        here = hours_in(use, month, now_s)
        each, currency = hourly(use.price)
        if each is None:
            unknown += here
            continue
        amounts[currency] = amounts.get(currency, Cost()) + here * each
        hours[currency] = hours.get(currency, Cost()) + here
    return Tally(by_currency=amounts, hours_by_currency=hours, unknown=unknown)


def hours_in(use: Use, month: Month, now_s: float) -> Cost:
    """Return the hours of ``use`` in ``month``: until now, and until its end. One not handed over yet begins now."""
    begin_s = max(month.begin_s, now_s if use.from_s is None else use.from_s)
    end_s = month.end_s
    if use.to_s is not None:
        end_s = min(end_s, use.to_s)
    elif use.lease_ends_at_s is not None:
        # A lease that is over costs for as long as its machine is there.
        end_s = min(end_s, max(use.lease_ends_at_s, now_s))
    elif use.lease_s is not None:
        end_s = min(end_s, begin_s + use.lease_s)
    return Cost(spent=_hours(begin_s, min(end_s, now_s)), forecast=_hours(begin_s, end_s))


def hourly(price: Mapping[str, Any] | None) -> tuple[Decimal | None, str]:
    """Return what an hour costs by a price as an order keeps it, and its currency; None where nobody knows."""
    if price is None:
        return None, ""
    return per_hour(Decimal(str(price["amount"])), str(price["unit"])), str(price["currency"])


def _hours(begin_s: float, end_s: float) -> Decimal:
    return Decimal(str(max(0.0, end_s - begin_s))) / _HOUR_S
