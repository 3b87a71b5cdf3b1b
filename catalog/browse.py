"""What a tenant sees of the catalog: entries and offers; never an address, an account, a route or a credential."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from catalog import allowance
from catalog.access import Principal
from catalog.errors import InvalidValue, NotFound
from catalog.model.access import Role
from catalog.model.consent import Grant
from catalog.model.ids import EntryId, OfferId, PlatformId
from catalog.model.offering import CatalogEntry, InventoryItem, Offer, OfferState
from catalog.model.platform import Platform
from catalog.model.reachability import Reachability
from catalog.model.tenancy import Project
from catalog.normalise import Normalised
from catalog.store import offering, rows
from catalog.store.database import Tx
from catalog.store.paging import Page, page
from catalog.tenancy import reference_to

SIZE, IMAGE, NETWORK = "size", "image", "network"
LABEL = re.compile(r"[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?")
_LABEL_LENGTH = 100
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
    """One entry at one platform. ``sizes``, ``images`` and ``networks`` are filled for a single offer only.

    They and their counts are what the grant's scope admits; ``is_within``: so are the platform's region, or one of its
    locations, and whoever asks.
    """

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
    reach: Reachability | None
    labels: Mapping[str, str]
    size_count: int
    image_count: int
    version: int
    created_at_s: float
    updated_at_s: float
    is_within: bool = True
    sizes: tuple[ItemView, ...] = ()
    images: tuple[ItemView, ...] = ()
    networks: tuple[ItemView, ...] = ()


def names_of(tx: Tx, principal: Principal) -> tuple[str, ...] | None:
    """Return the ids and references of the projects that the principal works in, by which grants may be limited.

    None for who sees the whole catalog: those who run the gateway, and platforms.
    """
    if principal.is_gateway_wide or principal.role is Role.PLATFORM:
        return None
    projects = [rows.by_id(tx, Project, project) for project in principal.works_in]
    return tuple(name for project in projects for name in (project.id, reference_to(tx, project)))


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
    whose: Sequence[str] | None = None,
    limit: int = 50,
    token: str | None = None,
) -> Page[OfferView]:
    """Return a page of the offers that are neither withdrawn nor outside the scopes of their grants.

    Those for the projects called ``whose`` (see ``names_of``), perhaps of one capability or platform (name or id) only;
    an unknown capability has none. Raises NotFound for an unknown platform, InvalidValue for a bad limit or token.
    """
    where: dict[str, object] = {"state": _SHOWN}
    if capability is not None:
        entry = rows.first(tx, CatalogEntry, capability=capability)
        where["entry_id"] = entry.id if entry else ""
    if platform is not None:
        named = rows.first(tx, Platform, name=platform) or rows.find(tx, Platform, platform)
        if named is None:
            raise NotFound(
                f"there is no platform {platform}", field="platform", fix="its name or id, as it is enrolled"
            )
        where["platform_id"] = named.id
    found = page(tx, Offer, limit=limit, token=token, where=where)
    counts = offering.inventory_counts(tx, {offer.platform_id for offer in found.items})
    views = (_view(tx, each, counts, whose) for each in found.items)
    return Page(items=tuple(view for view in views if view.is_within), next_token=found.next_token)


def offer(tx: Tx, offer_id: str, whose: Sequence[str] | None = None) -> OfferView:
    """Return one offer with its sizes and images, withdrawn or not. Raises NotFound."""
    held = rows.by_id(tx, Offer, offer_id)
    return _view(tx, held, offering.inventory_counts(tx, {held.platform_id}), whose, inventory=True)


def label(tx: Tx, offer_id: str, labels: Mapping[str, str], now_s: float) -> Offer:
    """Give the offer these labels and no others, and return it. Raises InvalidValue naming the label, NotFound."""
    for name, text in labels.items():
        if not LABEL.fullmatch(name) or not text.isprintable() or len(text) > _LABEL_LENGTH:
            fix = f"a-z 0-9 . _ / - for the name, up to {_LABEL_LENGTH} printable characters for the value"
            raise InvalidValue("this cannot be a label", field="labels", fix=fix)
    return rows.update(tx, rows.by_id(tx, Offer, offer_id), {"labels": dict(labels)}, now_s)


def _view(
    tx: Tx,
    held: Offer,
    counts: Mapping[tuple[PlatformId, str], int],
    whose: Sequence[str] | None,
    *,
    inventory: bool = False,
) -> OfferView:
    # Few entries and platforms stand behind many offers: both come from the transaction's memory after the first.
    entry, platform = tx.get_one(CatalogEntry, held.entry_id), tx.get_one(Platform, held.platform_id)
    scope = tx.get_one(Grant, held.grant_id).scope
    items = {kind: _items(tx, platform.id, kind, scope) for kind in (SIZE, IMAGE) if inventory or scope.get(f"{kind}s")}
    found = {kind: len(items[kind]) if kind in items else counts.get((platform.id, kind), 0) for kind in (SIZE, IMAGE)}
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
        reach=rows.find(tx, Reachability, platform.id),
        labels=held.labels,
        size_count=found[SIZE],
        image_count=found[IMAGE],
        version=held.version,
        created_at_s=held.created_at_s,
        updated_at_s=held.updated_at_s,
        is_within=allowance.has_place(tx, scope, platform.id, platform.region)
        and (whose is None or allowance.admits(scope, "projects", whose)),
        sizes=items[SIZE] if inventory else (),
        images=items[IMAGE] if inventory else (),
        networks=_items(tx, platform.id, NETWORK, scope) if inventory else (),
    )


def _items(tx: Tx, platform_id: PlatformId, kind: str, scope: allowance.Scope) -> tuple[ItemView, ...]:
    found = rows.where(tx, InventoryItem, platform_id=platform_id, kind=kind)
    views = (_item(item) for item in found if allowance.admits(scope, f"{kind}s", (item.cloud_id, item.name)))
    return tuple(sorted(views, key=lambda item: (item.name, item.cloud_id)))


def _item(item: InventoryItem) -> ItemView:
    values = {each.name: rows.value(item, each.name) for each in fields(Normalised)}
    known = {name: value for name, value in values.items() if value is not None}
    return ItemView(cloud_id=item.cloud_id, name=item.name, facts=item.facts, normalised=known)
