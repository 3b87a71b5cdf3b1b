"""The price book through the API (admins only)."""

from typing import Any, TypedDict

from gateway.client.collection import Collection, body_of, given
from gateway.client.resources import Resource


class Price(Resource):
    """What an item costs, from when until when."""

    platform: str | None
    provider: str
    region: str
    kind: str
    item: str
    unit: str
    amount: str
    currency: str
    source: str
    valid_from: str
    valid_to: str | None


class PriceList(TypedDict):
    """What became of a list."""

    added: int
    ended: int
    unchanged: int
    source: str


class Prices(Collection[Price]):
    """Dated prices, past and future ones too."""

    def import_list(self, text: str, *, format: str, source: str | None = None) -> PriceList:  # noqa: A002 the API's word
        """Add a list in ``csv`` or ``json``: all of it, or none; the problem then names every bad line."""
        return self._posted("/v1/price-lists", given(text=text, format=format, source=source))

    def seed(self, provider: str, *, region: str | None = None) -> PriceList:
        """Add the list that comes with the gateway's release."""
        return self._posted("/v1/price-seeds", given(provider=provider, region=region))

    def remove(self, key: str) -> None:
        """Remove a price that was never right."""
        self._remove(key)

    def _posted(self, path: str, body: dict[str, Any]) -> PriceList:
        return body_of(self._wire.call("POST", path, body=body), self._wire)
