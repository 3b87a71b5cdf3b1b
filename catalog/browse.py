"""What a tenant sees of the catalog: entries and offers; never an address, an account, a route or a credential."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from catalog.model.ids import EntryId, OfferId, PlatformId
from catalog.model.offering import CatalogEntry, InventoryItem, Offer, OfferState
from catalog.model.platform import Platform
from catalog.normalise import Normalised
from catalog.store import offering, rows
from catalog.store.database import Tx
from catalog.store.paging import Page, page

SIZE, IMAGE = "size", "image"
_SHOWN = frozenset({OfferState.OFFERED, OfferState.DEGRADED})


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryView:
    """A service of the catalog and how many platforms offer it."""

    id: EntryId
    capability: str
    title: str
    platforms: int
    version: int
    created_at_s: float
    updated_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemView:
    """A size or image of an offer: ``cloud_id`` and ``name`` are both accepted in an order.

    ``facts`` are the cloud's own words, ``normalised`` what they are in the words of ``catalog.normalise``.
    """

    cloud_id: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    normalised: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferView:
    """One entry at one platform. ``sizes`` and ``images`` are filled for a single offer only, the counts always."""

    id: OfferId
    entry_id: EntryId
    capability: str
    title: str
    platform_id: PlatformId
    platform: str
    provider: str
    region: str
    state: OfferState
    reason: str
    verbs: tuple[str, ...]
    size_count: int
    image_count: int
    version: int
    created_at_s: float
    updated_at_s: float
    sizes: tuple[ItemView, ...] = ()
    images: tuple[ItemView, ...] = ()


def entries(tx: Tx) -> Sequence[EntryView]:
    """Return every entry, by capability, also those that nobody offers now."""
    counts = offering.platforms_per_entry(tx)
    return [
        EntryView(
            id=entry.id,
            capability=entry.capability,
            title=entry.title,
            platforms=counts.get(entry.id, 0),
            version=entry.version,
            created_at_s=entry.created_at_s,
            updated_at_s=entry.updated_at_s,
        )
        for entry in offering.entries(tx)
    ]


def offers(
    tx: Tx,
    *,
    capability: str | None = None,
    platform: str | None = None,
    limit: int = 50,
    token: str | None = None,
) -> Page[OfferView]:
    """Return a page of the offers that are not withdrawn, perhaps of one capability or platform (name or id) only.

    An unknown capability or platform has no offers. Raises InvalidValue for a bad limit or token.
    """
    where: dict[str, object] = {"state": _SHOWN}
    if capability is not None:
        entry = rows.first(tx, CatalogEntry, capability=capability)
        where["entry_id"] = entry.id if entry else ""
    if platform is not None:
        named = rows.first(tx, Platform, name=platform)
        where["platform_id"] = named.id if named else platform
    found = page(tx, Offer, limit=limit, token=token, where=where)
    counts = offering.inventory_counts(tx, {offer.platform_id for offer in found.items})
    return Page(items=tuple(_view(tx, each, counts) for each in found.items), next_token=found.next_token)


def offer(tx: Tx, offer_id: str) -> OfferView:
    """Return one offer with its sizes and images, withdrawn or not. Raises NotFound."""
    held = rows.by_id(tx, Offer, offer_id)
    return _view(tx, held, offering.inventory_counts(tx, {held.platform_id}), inventory=True)


def _view(tx: Tx, held: Offer, counts: Mapping[tuple[PlatformId, str], int], *, inventory: bool = False) -> OfferView:
    # Few entries and platforms stand behind many offers: both come from the transaction's memory after the first.
    entry, platform = tx.get_one(CatalogEntry, held.entry_id), tx.get_one(Platform, held.platform_id)
    return OfferView(
        id=held.id,
        entry_id=entry.id,
        capability=entry.capability,
        title=entry.title,
        platform_id=platform.id,
        platform=platform.name,
        provider=platform.provider,
        region=platform.region,
        state=held.state,
        reason=held.reason,
        verbs=tuple(held.facts.get("verbs", ())),
        size_count=counts.get((platform.id, SIZE), 0),
        image_count=counts.get((platform.id, IMAGE), 0),
        version=held.version,
        created_at_s=held.created_at_s,
        updated_at_s=held.updated_at_s,
        sizes=_items(tx, platform.id, SIZE) if inventory else (),
        images=_items(tx, platform.id, IMAGE) if inventory else (),
    )


def _items(tx: Tx, platform_id: PlatformId, kind: str) -> tuple[ItemView, ...]:
    found = rows.where(tx, InventoryItem, platform_id=platform_id, kind=kind)
    views = (_item(item) for item in found)
    return tuple(sorted(views, key=lambda item: (item.name, item.cloud_id)))


def _item(item: InventoryItem) -> ItemView:
    values = {each.name: rows.value(item, each.name) for each in fields(Normalised)}
    known = {name: value for name, value in values.items() if value is not None}
    return ItemView(cloud_id=item.cloud_id, name=item.name, facts=item.facts, normalised=known)
