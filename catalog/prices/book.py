"""The price book: lines are added all or none, at any moment a key has one price at most, and history stays.

A price whose end nobody named holds until the next one begins, so a newer list ends the older one by itself.
"""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from catalog.model.ids import PlatformId
from catalog.model.platform import Platform
from catalog.model.price import Price
from catalog.prices.lines import UNITS, Fault, ListRefused, PriceKind, PriceLine, per_hour, plain
from catalog.prices.ports import PublishedPrices
from catalog.store import prices as store
from catalog.store import rows, serials
from catalog.store.database import Tx
from catalog.store.prices import Valid


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a list: prices that are new, older ones that end where these begin, and lines known before."""

    added: int
    ended: int
    unchanged: int


@dataclass(slots=True)
class _Span:
    """A price with its end as it is to be; ``is_new``: it comes with this list."""

    price: Price
    end_s: float | None
    is_new: bool = False

    @property
    def begin_s(self) -> float:
        return self.price.valid_from_s


def import_lines(tx: Tx, lines: Sequence[PriceLine], now_s: float) -> Imported:
    """Add every line to the book, and return what became of them; a list that is given again changes nothing.

    Raises ListRefused, for an unknown platform or for prices of one key whose times overlap, naming every such line.
    """
    platforms = _platforms(tx, {line.platform for line in lines if line.platform})
    faults = [
        Fault(line=line.line, column="platform", message="there is no such platform", fix="its name or id")
        for line in lines
        if line.platform and line.platform not in platforms
    ]
    if faults:
        raise ListRefused(tuple(faults))
    wanted = [(line, _price(line, platforms)) for line in lines]
    keys: dict[str, list[_Span]] = {price.key: [] for _, price in wanted}
    for held in store.of_keys(tx, keys):
        keys[held.key].append(_Span(price=held, end_s=held.valid_to_s))
    for spans in keys.values():
        spans.sort(key=_begin)
    # Earlier ones first, whatever their order in the list, so that each ends the one before it.
    for line, price in sorted(wanted, key=lambda each: (each[1].valid_from_s, each[0].line)):
        if fault := _put(keys[price.key], price, line):
            faults.append(fault)
    if faults:
        raise ListRefused(tuple(sorted(faults, key=lambda fault: fault.line)))
    return _written(tx, [span for spans in keys.values() for span in spans], len(lines), now_s)


def seed(tx: Tx, published: PublishedPrices, *, provider: str, now_s: float) -> Imported:
    """Add a published list as it stood at its date; what the book says already, from then or later, stays as it is."""
    lines = [
        PriceLine(
            line=number,
            provider=provider,
            region=each.region,
            item=each.size,
            unit="hour",
            amount=each.per_hour,
            currency=each.currency,
            source=published.source,
            valid_from_s=published.as_of_s,
        )
        for number, each in enumerate(published.prices, start=1)
    ]
    known = {price.key for price in store.of_keys(tx, {_key_of(line, None) for line in lines})}
    fresh = [line for line in lines if _key_of(line, None) not in known]
    done = import_lines(tx, fresh, now_s)
    return Imported(added=done.added, ended=0, unchanged=len(lines) - len(fresh))


def remove(tx: Tx, price: Price) -> None:
    """Take a price that was never right out of the book; what ended where it began stays ended."""
    rows.delete(tx, price)
    serials.bump(tx, store.subject_of(price.platform_id, price.provider, price.region))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformPrices:
    """What holds at one platform at one moment, for items of one kind."""

    by_item: Mapping[str, Valid]

    def of(self, cloud_id: str, name: str) -> Valid | None:
        """Return the price of the item with this id or name, None when it is unknown."""
        return self.by_item.get(cloud_id) or self.by_item.get(name)


def prices_at(
    tx: Tx, platform: Platform, now_s: float, *, kind: PriceKind = PriceKind.SIZE, items: Iterable[str] | None = None
) -> PlatformPrices:
    """Return the prices at ``platform`` now: its own before its provider's, a region's before all regions'."""
    held = store.valid(tx, platform, kind, now_s, None if items is None else set(items))
    return PlatformPrices(by_item={price.item: price for price in sorted(held, key=_rank, reverse=True)})


def kept(price: Price | Valid | None) -> dict[str, object] | None:
    """Return what an order keeps of ``price`` for ever, None for an unknown one."""
    if price is None:
        return None
    return {
        "amount": price.amount,
        "currency": price.currency,
        "unit": price.unit,
        "source": price.source,
        "valid_from_s": price.valid_from_s,
    }


def hourly(price: Price | Valid | None) -> float | None:
    """Return the price of an hour, to be compared by; None for an unknown one or one that is not of time."""
    amount = None if price is None else per_hour(Decimal(price.amount), price.unit)
    return None if amount is None else float(amount)


def _rank(price: Valid) -> tuple[bool, bool, int]:
    """Return what sorts the price that counts first."""
    units = UNITS[PriceKind(price.kind)]
    return price.platform_id is None, not price.region, units.index(price.unit)


def _platforms(tx: Tx, named: Iterable[str]) -> Mapping[str, PlatformId]:
    wanted = frozenset(named)
    by_name = {row.name: row.id for row in rows.where(tx, Platform, name=wanted)}
    return {row.id: row.id for row in rows.where(tx, Platform, id=wanted)} | by_name


def _price(line: PriceLine, platforms: Mapping[str, PlatformId]) -> Price:
    platform = platforms[line.platform] if line.platform else None
    return Price(
        key=_key_of(line, platform),
        platform_id=platform,
        provider=line.provider,
        region=line.region,
        kind=line.kind.value,
        item=line.item,
        unit=line.unit,
        amount=plain(line.amount),
        currency=line.currency,
        source=line.source,
        valid_from_s=line.valid_from_s,
        valid_to_s=line.valid_to_s,
    )


def _key_of(line: PriceLine, platform: PlatformId | None) -> str:
    return json.dumps([platform or "", line.provider, line.region, line.kind.value, line.item, line.unit])


def _put(spans: list[_Span], price: Price, line: PriceLine) -> Fault | None:
    """Put ``price`` among those of its key, by their beginnings, whose open ends give way.

    Return what stands against it.
    """
    place = bisect_right(spans, price.valid_from_s, key=_begin)
    before = spans[place - 1] if place else None
    after = spans[place] if place < len(spans) else None
    if before is not None:
        if _is_same(before, price):
            return None
        if before.begin_s == price.valid_from_s:
            return _overlap(line, before, "another price begins at the same moment")
        # An end where the next one begins may be nobody's word: now this one begins before.
        ends_by_the_next = after is not None and before.end_s == after.begin_s
        if before.end_s is not None and before.end_s > price.valid_from_s and not ends_by_the_next:
            return _overlap(line, before, "it begins before another one ends")
    end_s = price.valid_to_s
    if after is not None:
        if end_s is not None and end_s > after.begin_s:
            return _overlap(line, after, "it ends after another one begins")
        end_s = after.begin_s if end_s is None else end_s
    if before is not None and (before.end_s is None or before.end_s > price.valid_from_s):
        before.end_s = price.valid_from_s
    spans.insert(place, _Span(price=price, end_s=end_s, is_new=True))
    return None


def _begin(span: _Span) -> float:
    return span.begin_s


def _is_same(span: _Span, told: Price) -> bool:
    # An end that nobody named is where the next one begins, so a list that names none is still the same.
    names = ("valid_from_s", "amount", "currency", "source")
    if any(rows.value(span.price, name) != rows.value(told, name) for name in names):
        return False
    return told.valid_to_s is None or told.valid_to_s == span.end_s


def _overlap(line: PriceLine, other: _Span, message: str) -> Fault:
    held = other.price
    fix = f"this item is {held.amount} {held.currency} by '{held.source}' then: end or remove one of them"
    return Fault(line=line.line, column="valid_from", message=message, fix=fix)


def _written(tx: Tx, spans: Sequence[_Span], lines: int, now_s: float) -> Imported:
    fresh = [span for span in spans if span.is_new]
    ended = [span for span in spans if not span.is_new and span.end_s != span.price.valid_to_s]
    for span in ended:
        rows.update(tx, span.price, {"valid_to_s": span.end_s}, now_s)
    for span in fresh:
        span.price.valid_to_s = span.end_s
    store.add(tx, [span.price for span in fresh], now_s)
    changed = (span.price for span in (*fresh, *ended))
    for subject in sorted({store.subject_of(each.platform_id, each.provider, each.region) for each in changed}):
        serials.bump(tx, subject)
    return Imported(added=len(fresh), ended=len(ended), unchanged=lines - len(fresh))
