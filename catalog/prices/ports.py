"""What the price book needs from the world."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPrice:
    """The price per hour of one size in one region, "" for all, as somebody published it; never 0 for unknown."""

    region: str
    size: str
    per_hour: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPrices:
    """A list of prices, who published it (with its date), and when it was so."""

    source: str
    as_of_s: float
    prices: Sequence[PublishedPrice]


class PublishedPriceLists(Protocol):
    """Price lists that come with the software: a place to begin from, and as old as it."""

    def __call__(self, provider: str, region: str) -> PublishedPrices:
        """Return what is published for ``provider`` in ``region`` ("": in every one). Reads a file, may be repeated.

        Raises NotFound when nothing is.
        """
        ...
