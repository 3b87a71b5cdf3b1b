"""Searching the catalog through the API, and searches that are saved."""

from collections.abc import Mapping
from typing import Any, TypedDict

from gateway.client.collection import Collection, body_of
from gateway.client.resources import Named
from gateway.client.wire import Wire


class Hit(TypedDict):
    """Something that can be ordered; what is not known is None."""

    id: str
    offer: str
    kind: str
    capability: str
    item: str | None
    name: str
    platform: str
    state: str
    labels: dict[str, str]
    price: dict[str, Any] | None
    room: int | None
    reachability: dict[str, Any] | None
    score: float
    terms: list[dict[str, Any]]


class SearchPage(TypedDict):
    """One page of what was found."""

    items: list[Hit]
    next_page_token: str | None
    total: int
    facets: dict[str, dict[str, int]]
    currency: str


class SavedSearch(Named):
    """A search by name."""

    query: dict[str, str]


class SavedSearches(Collection[SavedSearch]):
    """The caller's own."""

    def create(self, name: str, query: Mapping[str, str]) -> SavedSearch:
        """Keep a search under ``name``."""
        return self._create({"name": name, "query": dict(query)})

    def remove(self, key: str) -> None:
        """Forget it."""
        self._remove(key)


class Search:
    """What can be ordered, by ``query``: names and texts as GET /v1/search has them."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def page(self, query: Mapping[str, str], *, limit: int = 50, token: str | None = None) -> SearchPage:
        """Return one page; the first one has the facets."""
        told: dict[str, str | int] = {**query, "limit": limit}
        if token is not None:
            told["page_token"] = token
        return body_of(self._wire.call("GET", "/v1/search", query=told), self._wire)

    def export(self, query: Mapping[str, str], *, format: str) -> object:  # noqa: A002 the API's word
        """Return the best rows as one document: text for ``csv`` and ``backstage``, what JSON holds for ``json``."""
        return self._wire.call("GET", "/v1/search/export", query={**query, "format": format}).body
