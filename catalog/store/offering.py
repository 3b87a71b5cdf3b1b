"""Queries on the catalog: entries with their offers, offers with what stands behind them, inventory in bulk."""

from collections.abc import Iterable, Mapping, Sequence

from sqlmodel import col, delete, func, select

from catalog.model.ids import EntryId, PlatformId
from catalog.model.offering import CatalogEntry, InventoryItem, Offer, OfferState
from catalog.store import serials
from catalog.store.database import Tx


def forget_inventory(tx: Tx, platform_id: PlatformId, kind: str) -> None:
    """Delete what is known of ``kind`` at the platform."""
    statement = delete(InventoryItem).where(
        col(InventoryItem.platform_id) == platform_id, col(InventoryItem.kind) == kind
    )
    tx.exec(statement.execution_options(synchronize_session="fetch"))
    serials.bump(tx, platform_id)


def platforms_per_entry(tx: Tx) -> Mapping[EntryId, int]:
    """Return how many platforms offer each entry; entries that nobody offers are absent."""
    shown = select(Offer.entry_id, func.count()).where(col(Offer.state) != OfferState.WITHDRAWN)
    return {EntryId(entry): count for entry, count in tx.exec(shown.group_by(col(Offer.entry_id))).all()}


def inventory_counts(tx: Tx, platform_ids: Iterable[PlatformId]) -> Mapping[tuple[PlatformId, str], int]:
    """Return how many items of each kind each of these platforms has; none is absent."""
    counted = (
        select(InventoryItem.platform_id, InventoryItem.kind, func.count())
        .where(col(InventoryItem.platform_id).in_(sorted(set(platform_ids))))
        .group_by(col(InventoryItem.platform_id), col(InventoryItem.kind))
    )
    return {(PlatformId(platform), kind): count for platform, kind, count in tx.exec(counted).all()}


def entries(tx: Tx) -> Sequence[CatalogEntry]:
    """Return every entry, by capability."""
    return tx.exec(select(CatalogEntry).order_by(col(CatalogEntry.capability))).all()
