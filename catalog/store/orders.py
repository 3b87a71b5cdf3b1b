"""Queries for orders and for what they may name: offers by what tenants call them, inventory by kind."""

from collections.abc import Sequence

from sqlalchemy import select as sql_select
from sqlmodel import Session, select

from catalog.model.ids import PlatformId
from catalog.model.machine import Machine, MachineState
from catalog.model.offering import CatalogEntry, InventoryItem, Offer
from catalog.model.order import Order, OrderState
from catalog.model.placement import Placement
from catalog.model.platform import Platform
from catalog.store.rows import column

# Orders that wait for the end of what was begun for them before they go elsewhere.
_MOVING = sql_select(column(Placement, "order_id")).where(column(Placement, "moving_since_s").is_not(None))


def due_for_retry(tx: Session, now_s: float, limit: int) -> Sequence[Order]:
    """Return up to ``limit`` orders whose next attempt is due, most overdue first."""
    due_at = column(Order, "next_attempt_at_s")
    return tx.exec(
        select(Order)
        .where(column(Order, "state") == OrderState.CREATING, due_at <= now_s)
        .order_by(due_at, column(Order, "id"))
        .limit(limit)
    ).all()


def stranded(tx: Session, limit: int) -> Sequence[Order]:
    """Return up to ``limit`` orders that wait for a machine which is being destroyed, or gone, oldest first."""
    lost = column(Machine, "state").in_((MachineState.DESTROYING, MachineState.GONE))
    return tx.exec(
        select(Order)
        .join(Machine, column(Machine, "id") == column(Order, "machine_id"))
        .where(column(Order, "state") == OrderState.CREATING, lost, column(Order, "id").not_in(_MOVING))
        .order_by(column(Order, "id"))
        .limit(limit)
    ).all()


def unheard_of(tx: Session, since_s: float, limit: int) -> Sequence[Order]:
    """Return up to ``limit`` orders whose attempt began before ``since_s`` and was never reported on, oldest first."""
    return tx.exec(
        select(Order)
        .where(
            column(Order, "state") == OrderState.CREATING,
            column(Order, "next_attempt_at_s").is_(None),
            column(Order, "id").not_in(_MOVING),
            column(Order, "updated_at_s") <= since_s,
        )
        .order_by(column(Order, "updated_at_s"), column(Order, "id"))
        .limit(limit)
    ).all()


def moving_since(tx: Session, since_s: float, limit: int) -> Sequence[Order]:
    """Return up to ``limit`` orders that have waited since ``since_s`` for the end of what was begun, oldest first."""
    return tx.exec(
        select(Order)
        .join(Placement, column(Placement, "order_id") == column(Order, "id"))
        .where(column(Order, "state") == OrderState.CREATING, column(Placement, "moving_since_s") <= since_s)
        .order_by(column(Order, "id"))
        .limit(limit)
    ).all()


def offers_called(tx: Session, text: str, capability: str) -> Sequence[Offer]:
    """Return the offers that ``text`` names: one by its id, or the one of ``capability`` at the platform so named."""
    by_id = tx.exec(select(Offer).where(column(Offer, "id") == text)).all()
    if by_id:
        return by_id
    return tx.exec(
        select(Offer)
        .join(CatalogEntry, column(CatalogEntry, "id") == column(Offer, "entry_id"))
        .join(Platform, column(Platform, "id") == column(Offer, "platform_id"))
        .where(column(CatalogEntry, "capability") == capability, column(Platform, "name") == text)
    ).all()


def inventory(tx: Session, platform: PlatformId, kind: str) -> Sequence[InventoryItem]:
    """Return what the platform has of ``kind`` ("size", "image", …), in the order it told."""
    return tx.exec(
        select(InventoryItem)
        .where(column(InventoryItem, "platform_id") == platform, column(InventoryItem, "kind") == kind)
        .order_by(column(InventoryItem, "id"))
    ).all()
