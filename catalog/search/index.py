"""The columns of all offers, kept in memory and true to the transaction that asks.

What the rows of an offer follow from (its scope, the inventory, the prices) carries numbers that grow with every change
in the transaction of that change. A copy is used only while all its numbers are those that the asking transaction
sees, so a search never shows what is no longer so, whichever process changed it.
"""

import hashlib
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from catalog import allowance
from catalog.messages.handshake import Capability
from catalog.model.ids import OfferId
from catalog.model.platform import Platform
from catalog.prices import book
from catalog.search.columns import Columns, Shelf, Words, columns_of, joined
from catalog.store import prices, rows, search, serials
from catalog.store.database import Tx
from catalog.store.search import Standing

_KIND_OF = {Capability.MACHINE: "size", Capability.IMAGE: "image"}

# offer, grant, platform and inventory; the prices that count there, and until when they are the same
Stamp = tuple[int, int, int, int, tuple[int, ...], float]
Names = tuple[tuple[OfferId, Stamp], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Every offer that is not withdrawn and within its grant's scope, with the rows of all of them."""

    offers: Sequence[Standing]
    shelves: Sequence[Shelf]
    columns: Columns
    starts: Sequence[int]  # where each offer's rows begin, and where the last one's end


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """When the prices of each subject change next, in a price book that changed so often."""

    counted: Mapping[str, int]
    changes_s: Mapping[str, float]

    def holds(self, counted: Mapping[str, int], now_s: float) -> bool:
        """Whether it says the same of the book as it is, now."""
        return self.counted == counted and now_s < min(self.changes_s.values(), default=math.inf)

    def of(self, subjects: Sequence[str]) -> tuple[tuple[int, ...], float]:
        """Return how often what counts for somebody changed, and until when it stays so by itself."""
        until_s = min((self.changes_s.get(each, math.inf) for each in subjects), default=math.inf)
        return tuple(self.counted.get(each, 0) for each in subjects), until_s


@dataclass(slots=True)
class SearchIndex:
    """One process's copy; threads may share it."""

    words: Words = field(default_factory=Words)
    _shelves: dict[OfferId, tuple[Stamp, Shelf]] = field(default_factory=dict)
    _joined: tuple[Names, Columns] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _coming: Coming | None = None

    def whole(self, tx: Tx, now_s: float) -> Whole:
        """Return what can be ordered as ``tx`` sees it."""
        found, stamps = self._standing(tx, now_s)
        names = tuple((each.id, stamp) for each, stamp in zip(found, stamps, strict=True))
        shelves = [self._shelf(tx, each, stamp, now_s) for each, stamp in zip(found, stamps, strict=True)]
        starts = [0, *accumulate(len(shelf.columns) for shelf in shelves)]
        return Whole(offers=found, shelves=shelves, columns=self._columns(names, shelves), starts=starts)

    def load(self, tx: Tx, now_s: float, limit: int) -> bool:
        """Load the rows of up to ``limit`` offers that a search would have to load; return whether there are more."""
        missing = [
            (each, stamp)
            for each, stamp in zip(*self._standing(tx, now_s), strict=True)
            if (held := self._shelves.get(each.id)) is None or held[0] != stamp
        ]
        for each, stamp in missing[:limit]:
            self._shelf(tx, each, stamp, now_s)
        return len(missing) > limit

    def _standing(self, tx: Tx, now_s: float) -> tuple[Sequence[Standing], Sequence[Stamp]]:
        """Return the offers that can be ordered, and beside each what its rows follow from."""
        found = [
            each for each in search.standing(tx) if allowance.has_place(tx, each.scope, each.platform_id, each.region)
        ]
        coming = self._prices(tx, now_s)
        return found, [
            (
                each.version,
                each.grant_version,
                each.platform_version,
                each.inventory_serial or 0,
                *coming.of(_priced(each)),
            )
            for each in found
        ]

    def _prices(self, tx: Tx, now_s: float) -> Coming:
        coming, counted = self._coming, serials.counts(tx, prices.SUBJECTS)
        if coming is None or not coming.holds(counted, now_s):
            coming = self._coming = Coming(counted=counted, changes_s=prices.next_changes_s(tx, now_s))
        return coming

    def _shelf(self, tx: Tx, each: Standing, stamp: Stamp, now_s: float) -> Shelf:
        """Return the offer's rows. What is missing is loaded with the lock free: one who loads holds up nobody else."""
        held = self._shelves.get(each.id)
        if held is None or held[0] != stamp:
            held = stamp, _loaded(tx, each, self.words, now_s)
            with self._lock:
                self._shelves[each.id] = held
        return held[1]

    def _columns(self, names: Names, shelves: Sequence[Shelf]) -> Columns:
        held = self._joined
        if held is None or held[0] != names:
            held = names, joined([shelf.columns for shelf in shelves])
            with self._lock:
                self._joined = held
                self._shelves = {offer: self._shelves[offer] for offer, _ in names if offer in self._shelves}
        return held[1]


def _priced(each: Standing) -> Sequence[str]:
    """Return whose prices count for the offer's rows, as the price book counts their changes."""
    if _KIND_OF.get(Capability(each.capability)) != "size":
        return ()
    whose = ((each.platform_id, "", ""), (None, each.provider, each.region), (None, each.provider, ""))
    return [prices.subject_of(*subject) for subject in whose]


def _loaded(tx: Tx, each: Standing, words: Words, now_s: float) -> Shelf:
    kind = _KIND_OF.get(Capability(each.capability))
    if kind is None:
        return Shelf(columns=columns_of([{"key": offer_key(each.id)}], "offer", words), systems=frozenset())
    images = _admitted(tx, each, "image")
    systems = frozenset(
        (str(item["os_family"]), str(item["os_version"] or ""), str(item["architecture"] or ""))
        for item in images
        if item["os_family"]
    )
    if kind == "image":
        return Shelf(columns=columns_of(images, kind, words), systems=systems)
    held = book.prices_at(tx, rows.by_id(tx, Platform, each.platform_id), now_s)
    sizes = _admitted(tx, each, "size")
    for size in sizes:
        price = held.of(str(size["cloud_id"]), str(size["name"]))
        if price is not None:
            size |= {"price": book.hourly(price), "price_id": price.id, "currency": price.currency}
    return Shelf(columns=columns_of(sizes, kind, words), systems=systems)


def _admitted(tx: Tx, each: Standing, kind: str) -> list[dict[str, object]]:
    return [
        {**item._asdict(), "key": item.id, "gpu": item.gpu_count}
        for item in search.items(tx, each.platform_id, kind)
        if allowance.admits(each.scope, f"{kind}s", (item.cloud_id, item.name))
    ]


def offer_key(offer: str) -> int:
    """Return what tells an offer itself apart from others for ever: a number below 0 that follows from its id."""
    return -1 - int.from_bytes(hashlib.sha256(offer.encode()).digest()[:7])
