"""The price book: admins fill it from lists; what is ordered keeps the price of its moment."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from catalog.errors import InvalidValue, NotFound
from catalog.model.price import Price
from catalog.naming import label
from catalog.prices import book, lines
from catalog.prices.book import Imported
from catalog.prices.lines import ListFormat, PriceKind, PriceLine
from catalog.prices.ports import PublishedPrices
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Line, Name, Nothing, Out, Resource, Time, stamp
from gateway.api.endpoints import Call, Listing, Routes, one_of

routes = Routes("prices")

LIST_BYTES = 4 * 1024 * 1024
ListText = Annotated[str, Field(min_length=1, max_length=LIST_BYTES)]


class PriceListIn(Body):
    """A price list: CSV with a header, or a JSON array. Columns: platform or provider (and region), kind, item, unit,
    amount, currency, valid_from, valid_to, source.
    """  # noqa: D205 one sentence of names

    format: Literal["csv", "json"]
    text: ListText = Field(description="The list itself, as it stands in its file.")
    source: Line = Field(default="", description="Whose list it is, for lines that do not say.")


class PriceSeedIn(Body):
    """Begin with the list that comes with the gateway's cloud library: dated, partial, and as old as that."""

    provider: Name = Field(description="Such as `ec2`.")
    region: Line = Field(default="", description="Only this region's; else every one's.")


class PriceListOut(Out):
    """What became of a list."""

    added: int
    ended: int = Field(description="Older prices that end where one of these begins.")
    unchanged: int = Field(description="Lines that the book held already.")
    source: str


class PriceOut(Resource):
    """What an item costs, from when until when."""

    platform: str | None
    provider: str
    region: str = Field(description="Empty: in every region of the provider.")
    kind: str
    item: str
    unit: str
    amount: str = Field(description="An exact decimal number.")
    currency: str = Field(description="ISO 4217.")
    source: str
    valid_from: Time
    valid_to: Time | None = Field(description="null: until the next one begins.")


class KeptPriceOut(Out):
    """A price as an order keeps it."""

    amount: str
    currency: str
    unit: str
    source: str
    valid_from: Time


def kept_price_out(kept: Mapping[str, Any]) -> KeptPriceOut:
    """Return a price as a row keeps it."""
    told = {name: kept[name] for name in ("amount", "currency", "unit", "source")}
    return KeptPriceOut(**told, valid_from=kept["valid_from_s"])


def _told(_tx: Tx, call: Call[PriceListIn]) -> list[PriceLine]:
    return lines.read(call.body.text, ListFormat(call.body.format), source=_source(call), now_s=call.now_s)


@routes.endpoint(
    "POST",
    "/v1/price-lists",
    permission="price:write",
    body=PriceListIn,
    answer=PriceListOut,
    status=201,
    errors=(InvalidValue,),
    first=_told,
    body_bytes=2 * LIST_BYTES,
    summary="Import a price list: all of it or, naming each bad line, nothing",
)
def import_prices(tx: Tx, call: Call[PriceListIn]) -> PriceListOut:
    """Return what became of its lines."""
    return _imported(book.import_lines(tx, call.found, call.now_s), _source(call))


def _published(_tx: Tx, call: Call[PriceSeedIn]) -> PublishedPrices:
    return call.services.published_prices(call.body.provider, call.body.region)


@routes.endpoint(
    "POST",
    "/v1/price-seeds",
    permission="price:write",
    body=PriceSeedIn,
    answer=PriceListOut,
    status=201,
    errors=(NotFound,),
    first=_published,
    summary="Fill the price book with what is published with this release",
)
def seed_prices(tx: Tx, call: Call[PriceSeedIn]) -> PriceListOut:
    """Return what became of it; prices that the book has already stay."""
    published: PublishedPrices = call.found
    done = book.seed(tx, published, provider=call.body.provider, now_s=call.now_s)
    return _imported(done, published.source)


@routes.plain(
    "GET",
    "/v1/prices",
    permission="price:read",
    answer=PriceOut,
    many=True,
    filters={
        "platform": "Only this platform's own, by id.",
        "provider": "Only this provider's.",
        "region": "Only this region's.",
        "kind": one_of(PriceKind, "Only prices of this kind."),
        "item": "Only this item's.",
    },
    summary="List the price book, past and future prices too",
)
def list_prices(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page."""
    where = {{"platform": "platform_id"}.get(name, name): value for name, value in call.filters.items()}
    found = page(tx, Price, limit=call.limit, token=call.page_token, where=where)
    return Listing(items=[_out(row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/prices/{id}", permission="price:read", answer=PriceOut, summary="Show a price")
def get_price(tx: Tx, call: Call[Nothing]) -> PriceOut:
    """Return the price."""
    return _out(_price(tx, call))


@routes.plain(
    "DELETE",
    "/v1/prices/{id}",
    permission="price:write",
    status=204,
    summary="Remove a price that was never right; orders keep what they were told",
)
def remove_price(tx: Tx, call: Call[Nothing]) -> None:
    """Remove the price."""
    price = _price(tx, call)
    call.precondition.check(price)
    book.remove(tx, price)


def _price(tx: Tx, call: Call[Nothing]) -> Price:
    id_ = call.path["id"]
    if not id_.isascii() or not id_.isdecimal() or len(id_) > 18:  # noqa: PLR2004 what an SQL integer holds
        raise NotFound(f"there is no price '{id_}'")
    return rows.by_id(tx, Price, int(id_))


def _source(call: Call[PriceListIn]) -> str:
    return label(call.body.source, field="source", empty=True)


def _imported(done: Imported, source: str) -> PriceListOut:
    return PriceListOut(added=done.added, ended=done.ended, unchanged=done.unchanged, source=source)


def _out(row: Price) -> PriceOut:
    return PriceOut(
        **stamp(row),
        platform=row.platform_id,
        provider=row.provider,
        region=row.region,
        kind=row.kind,
        item=row.item,
        unit=row.unit,
        amount=row.amount,
        currency=row.currency,
        source=row.source,
        valid_from=row.valid_from_s,
        valid_to=row.valid_to_s,
    )
