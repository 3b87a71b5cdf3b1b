"""What can be ordered, as columns: one row per size of a machine offer, per image of an image offer, else per offer.

A hundred thousand rows are filtered, counted and ranked in a few milliseconds this way, and hold some ten megabytes.
Unknown numbers are NaN, unknown words -1. Pure.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int32]
Keys = NDArray[np.int64]

NUMBERS = ("vcpu", "memory_gib", "disk_gib", "gpu", "price")
KINDS = ("size", "image", "offer")
UNKNOWN = -1


@dataclass(slots=True)
class Words:
    """Every word once, by a number; it only grows. Threads may share it."""

    texts: list[str] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def code(self, text: str | None) -> int:
        """Return the number of ``text``, UNKNOWN for None and for ""."""
        if not text:
            return UNKNOWN
        if text not in self.codes:
            with self._lock:
                if text not in self.codes:
                    self.texts.append(text)
                    self.codes[text] = len(self.texts) - 1
        return self.codes[text]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Rows of one offer, or of all. ``key`` tells rows apart for ever: the item's id, below 0 for an offer itself."""

    key: Keys
    numbers: Mapping[str, Floats]
    price_id: Keys  # 0: unknown
    currency: Codes
    architecture: Codes
    os_family: Codes
    os_version: Codes
    kind: NDArray[np.int8]
    offer: Codes  # the place of the row's offer among all offers; 0 in the columns of one

    def __len__(self) -> int:
        return len(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What one offer has to order, and the systems of the images there: (family, version, architecture)."""

    columns: Columns
    systems: frozenset[tuple[str, str, str]]


def columns_of(rows: Sequence[Mapping[str, Any]], kind: str, words: Words) -> Columns:
    """Return ``rows`` ({"key", "price_id", "currency", "architecture", …, NUMBERS}; absent: unknown) as columns."""

    def coded(name: str) -> Codes:
        return np.array([words.code(row.get(name)) for row in rows], dtype=np.int32)

    return Columns(
        key=np.array([row["key"] for row in rows], dtype=np.int64),
        numbers={name: np.array([_number(row.get(name)) for row in rows], dtype=np.float64) for name in NUMBERS},
        price_id=np.array([row.get("price_id") or 0 for row in rows], dtype=np.int64),
        currency=coded("currency"),
        architecture=coded("architecture"),
        os_family=coded("os_family"),
        os_version=coded("os_version"),
        kind=np.full(len(rows), KINDS.index(kind), dtype=np.int8),
        offer=np.zeros(len(rows), dtype=np.int32),
    )


def joined(parts: Sequence[Columns]) -> Columns:
    """Return all rows of ``parts``, the columns of the first offer, of the second, and so on."""
    parts = parts or [columns_of([], "offer", Words())]

    def both(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    places = [np.full(len(part), place, dtype=np.int32) for place, part in enumerate(parts)]
    return Columns(
        key=both("key"),
        numbers={name: np.concatenate([part.numbers[name] for part in parts]) for name in NUMBERS},
        price_id=both("price_id"),
        currency=both("currency"),
        architecture=both("architecture"),
        os_family=both("os_family"),
        os_version=both("os_version"),
        kind=both("kind"),
        offer=np.concatenate(places),
    )


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
