"""The price lists that libcloud brings along, read as they are: dated, partial, and 0 where it knows nothing."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import libcloud
from libcloud.pricing import DEFAULT_PRICING_FILE_PATH

from catalog.errors import NotFound
from catalog.prices.ports import PublishedPrice, PublishedPrices

# Which of its lists is whose: size -> {region: price}, or size -> price where there is one region. In US dollars.
_LISTS: Final[Mapping[str, str]] = {"ec2": "ec2_linux", "azure": "azure_linux", "azure_arm": "azure_linux"}
_CURRENCY: Final = "USD"


def published_prices(provider: str, region: str) -> PublishedPrices:
    """Return libcloud's list for ``provider`` in ``region`` ("": in every one). Raises NotFound when it has none."""
    known = json.loads(Path(DEFAULT_PRICING_FILE_PATH).read_text(encoding="utf-8"), parse_float=Decimal)
    told = known["compute"].get(_LISTS.get(provider, provider), {})
    prices = tuple(each for each in _prices(told) if region in ("", each.region))
    if not prices:
        raise NotFound(f"no prices are published with this release for '{provider}' in '{region or 'any region'}'")
    as_of_s = float(known["updated"])
    day = datetime.fromtimestamp(as_of_s, UTC).date().isoformat()
    return PublishedPrices(source=f"libcloud {libcloud.__version__}, {day}", as_of_s=as_of_s, prices=prices)


def _prices(told: Mapping[str, Any]) -> Iterator[PublishedPrice]:
    for size, by_region in sorted(told.items()):
        for region, value in sorted(by_region.items()) if isinstance(by_region, Mapping) else (("", by_region),):
            amount = _amount(value)
            if amount:
                yield PublishedPrice(region=region, size=size, per_hour=amount, currency=_CURRENCY)


def _amount(value: object) -> Decimal | None:
    """Return a price, None for what is none: 0 is how this list says that it does not know."""
    try:
        amount = Decimal(value) if isinstance(value, Decimal | int | str) else Decimal(0)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount > 0 else None
