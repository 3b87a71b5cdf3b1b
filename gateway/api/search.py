"""Search what can be ordered: filters, facets, a ranking with reasons, saved searches, exports."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from catalog import browse
from catalog.errors import AlreadyExists, InvalidValue, QuotaExceeded
from catalog.model.offering import OfferState
from catalog.model.search import SavedSearch
from catalog.search import saved
from catalog.search.export import MEDIA_TYPES, ExportFormat, written
from catalog.search.find import Found, find
from catalog.search.query import MEANINGS, read
from catalog.search.told import told
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import PRINTABLE, Body, Line, Name, Nothing, Out, Resource, Time, stamp
from gateway.api.endpoints import Call, Filter, Listing, Raw, Routes, one_of
from gateway.api.offers import ReachabilityOut

routes = Routes("search")

EXPORT_LIMIT = 10_000
_TEXT = PRINTABLE.replace("]*$", "]{1,256}$")
FILTERS: Mapping[str, Filter | str] = {
    **{name: Filter(meaning=meaning, pattern=_TEXT) for name, meaning in MEANINGS.items()},
    "state": Filter(meaning=MEANINGS["state"], choices=(OfferState.OFFERED.value, OfferState.DEGRADED.value)),
    "saved": "One of one's own saved searches, by name or id; what else is given counts instead of its parts.",
}
SearchText = Annotated[str, Field(pattern=PRINTABLE, min_length=1, max_length=256)]


class PriceNowOut(Out):
    """What it costs now."""

    amount: str = Field(description="An exact decimal number.")
    currency: str
    unit: str
    source: str
    valid_from: Time
    per_hour: float | None = Field(description="To compare by; null where it is not a price of time.")


class TermOut(Out):
    """One reason for the score."""

    name: str
    value: float | None = Field(description="0 to 1; null: unknown, which earns nothing.")
    weight: float
    points: float = Field(description="What it adds to the score.")
    share: float = Field(description="Of the score.")


class HitOut(Out):
    """Something that can be ordered, or the offer of something that is not. What is not known is null."""

    id: str
    offer: str
    kind: str
    capability: str
    item: str | None = Field(description="What an order names as size or image.")
    name: str
    platform: str
    provider: str
    region: str
    country: str
    continent: str
    state: str
    reason: str
    labels: dict[str, str]
    vcpu: float | None
    memory_gib: float | None
    disk_gib: float | None
    gpu_count: int | None
    architecture: str | None
    os_family: str | None
    os_version: str | None
    price: PriceNowOut | None
    room: int | None = Field(description="How many more the platform's grant admits now; null: no limit.")
    reachability: ReachabilityOut | None = Field(description="null: not measured.")
    score: float
    terms: list[TermOut]


class FoundOut(Out):
    """What a page of a search tells beside its rows."""

    total: int
    facets: dict[str, dict[str, int]] = Field(
        description="How many there are of each value, by what matches all other filters. On the first page only."
    )
    currency: str = Field(description="What prices were compared in; empty: nothing has a price.")


class SavedSearchIn(Body):
    """A search to keep: the same names and texts as the query parameters of a search."""

    name: Name
    query: Annotated[dict[Line, SearchText], Field(max_length=32)]


class SavedSearchOut(Resource):
    """A search by name."""

    name: str
    query: dict[str, str]


@routes.plain(
    "GET",
    "/v1/search",
    permission="catalog:read",
    answer=HitOut,
    many=True,
    beside=FoundOut,
    filters=FILTERS,
    errors=(InvalidValue,),
    summary="Search what can be ordered",
)
def search_catalog(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page, with facets on the first."""
    found = _find(tx, call, dict(call.filters), limit=call.limit, token=call.page_token)
    beside = FoundOut(
        total=found.total,
        facets={name: dict(counts) for name, counts in found.facets.items()},
        currency=found.currency,
    )
    return Listing(
        items=[HitOut(**told(hit, call.now_s)) for hit in found.hits], next_token=found.next_token, beside=beside
    )


@routes.plain(
    "GET",
    "/v1/search/export",
    permission="catalog:read",
    filters={**FILTERS, "format": one_of(ExportFormat, "How it is written; `json` if left out.")},
    errors=(InvalidValue,),
    summary=f"Export what a search finds, the best {EXPORT_LIMIT} rows at most",
)
def export_search(tx: Tx, call: Call[Nothing]) -> Raw:
    """Return the rows as one document."""
    asked = {name: text for name, text in call.filters.items() if name != "format"}
    how = ExportFormat(call.filters.get("format", ExportFormat.JSON))
    found = _find(tx, call, asked, limit=EXPORT_LIMIT, token=None)
    return Raw(body=written((told(hit, call.now_s) for hit in found.hits), how), content_type=MEDIA_TYPES[how])


@routes.endpoint(
    "POST",
    "/v1/saved-searches",
    permission="search:write",
    body=SavedSearchIn,
    answer=SavedSearchOut,
    status=201,
    location="/v1/saved-searches/{id}",
    errors=(AlreadyExists, InvalidValue, QuotaExceeded),
    summary="Save a search",
)
def save_search(tx: Tx, call: Call[SavedSearchIn]) -> SavedSearchOut:
    """Return the saved search."""
    row = saved.save(tx, call.principal, name=call.body.name, query=call.body.query, now_s=call.now_s)
    return _saved(row)


@routes.plain(
    "GET",
    "/v1/saved-searches",
    permission="catalog:read",
    answer=SavedSearchOut,
    many=True,
    summary="List one's saved searches",
)
def list_saved_searches(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of the caller's own."""
    mine = {"principal": saved.owner_of(call.principal)}
    found = page(tx, SavedSearch, limit=call.limit, token=call.page_token, where=mine)
    return Listing(items=[_saved(row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "GET",
    "/v1/saved-searches/{ref}",
    permission="catalog:read",
    answer=SavedSearchOut,
    summary="Show a saved search",
)
def get_saved_search(tx: Tx, call: Call[Nothing]) -> SavedSearchOut:
    """Return the caller's own search with this name or id."""
    return _saved(saved.own(tx, call.principal, call.path["ref"]))


@routes.plain(
    "DELETE", "/v1/saved-searches/{ref}", permission="search:write", status=204, summary="Forget a saved search"
)
def remove_saved_search(tx: Tx, call: Call[Nothing]) -> None:
    """Forget the search."""
    row = saved.own(tx, call.principal, call.path["ref"])
    call.precondition.check(row)
    rows.delete(tx, row)


def _find(tx: Tx, call: Call[Nothing], asked: dict[str, str], *, limit: int, token: str | None) -> Found:
    kept = asked.pop("saved", None)
    known: Mapping[str, Any] = saved.own(tx, call.principal, kept).query if kept is not None else {}
    query = read({**known, **asked})
    index = call.services.search
    return find(
        tx,
        index,
        query,
        now_s=call.now_s,
        limit=limit,
        token=token,
        with_facets=token is None,
        whose=browse.names_of(tx, call.principal),
    )


def _saved(row: SavedSearch) -> SavedSearchOut:
    return SavedSearchOut(**stamp(row), name=row.name, query={name: str(text) for name, text in row.query.items()})
