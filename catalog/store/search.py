"""Queries behind the search: offers with all that stands behind each, their items in bulk, and what changed since."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Row as Found
from sqlalchemy import select as sql_select
from sqlmodel import col

from catalog.model.consent import Grant
from catalog.model.ids import OfferId, PlatformId
from catalog.model.network import Site
from catalog.model.offering import CatalogEntry, InventoryItem, Offer, OfferState
from catalog.model.platform import Platform
from catalog.model.price import Price
from catalog.model.reachability import Reachability, is_stale
from catalog.model.search import Serial
from catalog.store import rows
from catalog.store.database import Tx


class Standing(NamedTuple):
    """An offer that is not withdrawn, and what counts of its entry, platform, site, grant and reachability."""

    id: OfferId
    version: int
    state: OfferState
    reason: str
    labels: Mapping[str, str]
    capability: str
    title: str
    platform_id: PlatformId
    platform: str
    provider: str
    region: str
    platform_version: int
    country: str
    grant_version: int
    scope: Mapping[str, Sequence[str]]
    quota: int | None
    cores: int | None
    memory_gib: int | None
    route: str | None
    rtt_ms: float | None
    loss_ratio: float | None
    preference: float | None
    measured_at_s: float | None
    inventory_serial: int | None  # None: as it was at the beginning

    def known(self, name: Literal["rtt_ms", "loss_ratio", "preference"], now_s: float) -> float | None:
        """Return what is known of the platform's reachability now: None also for what is too old to count."""
        if self.measured_at_s is None or is_stale(self.measured_at_s, now_s):
            return None
        return {"rtt_ms": self.rtt_ms, "loss_ratio": self.loss_ratio, "preference": self.preference}[name]


# Columns and not rows: most of what a row holds (proofs, terms, options) is not needed for each of thousands of offers.
_STANDING: Final = (
    *(rows.column(Offer, name) for name in ("id", "version", "state", "reason", "labels")),
    *(rows.column(CatalogEntry, name) for name in ("capability", "title")),
    *(rows.column(Platform, name) for name in ("id", "name", "provider", "region", "version")),
    rows.column(Site, "country"),
    *(rows.column(Grant, name) for name in ("version", "scope", "quota", "cores", "memory_gib")),
    *(rows.column(Reachability, name) for name in ("route", "rtt_ms", "loss_ratio", "preference", "measured_at_s")),
    rows.column(Serial, "serial"),
)


def standing(tx: Tx) -> Sequence[Standing]:
    """Return every offer that is not withdrawn, by id."""
    statement = (
        sql_select(*_STANDING)
        .select_from(Offer)
        .join(CatalogEntry, col(CatalogEntry.id) == col(Offer.entry_id))
        .join(Platform, col(Platform.id) == col(Offer.platform_id))
        .join(Site, col(Site.id) == col(Platform.site_id))
        .join(Grant, col(Grant.id) == col(Offer.grant_id))
        .join(Reachability, col(Reachability.platform_id) == col(Platform.id), isouter=True)
        .join(Serial, col(Serial.subject) == col(Platform.id), isouter=True)
        .where(col(Offer.state) != OfferState.WITHDRAWN)
        .order_by(col(Offer.id))
    )
    return [Standing(*found) for found in tx.execute(statement).all()]


def items(tx: Tx, platform_id: PlatformId, kind: str) -> Sequence[Found[Any]]:
    """Return id, cloud id, name and normalised facts of the platform's items of ``kind``, by id."""
    names = ("vcpu", "memory_gib", "disk_gib", "gpu_count", "architecture", "os_family", "os_version")
    columns = [rows.column(InventoryItem, name) for name in ("id", "cloud_id", "name", *names)]
    statement = sql_select(*columns).where(
        col(InventoryItem.platform_id) == platform_id, col(InventoryItem.kind) == kind
    )
    return tx.execute(statement.order_by(col(InventoryItem.id))).all()


def items_by_id(tx: Tx, ids: Collection[int]) -> Mapping[int, InventoryItem]:
    """Return the items with these ids."""
    return {item.id: item for item in rows.in_parts(tx, InventoryItem, "id", ids) if item.id is not None}


def prices_by_id(tx: Tx, ids: Collection[int]) -> Mapping[int, Price]:
    """Return the prices with these ids."""
    return {price.id: price for price in rows.in_parts(tx, Price, "id", ids) if price.id is not None}
