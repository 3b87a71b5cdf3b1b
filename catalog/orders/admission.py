"""What must hold before an order may have a machine: when it is placed, and at each candidate that it falls to."""

from typing import Any

from sqlmodel import Session

from catalog import consent, quotas
from catalog.allowance import Wanted, network_for, refuse_outside, weight
from catalog.costs import budgets
from catalog.model.consent import Grant
from catalog.model.ids import PlatformId
from catalog.model.offering import InventoryItem
from catalog.model.order import Order
from catalog.model.platform import Platform
from catalog.orders.choose import MACHINE
from catalog.prices import book
from catalog.store import rows


def price_now(tx: Session, platform_id: PlatformId, size: str, now_s: float) -> dict[str, Any] | None:
    """Return what a size of the platform costs now, as an order keeps it; None: nobody knows."""
    item = rows.first(tx, InventoryItem, platform_id=platform_id, kind="size", cloud_id=size)
    names = (size,) if item is None else (item.cloud_id, item.name)
    return book.kept(book.prices_at(tx, rows.by_id(tx, Platform, platform_id), now_s, items=names).of(*names))


def admitted(tx: Session, order: Order, platform_id: PlatformId, now_s: float) -> Grant:
    """Return the grant under which the platform may serve ``order``, as its row describes it, now.

    Raises Denied when the platform does not (any longer) grant it, or not such a machine, QuotaExceeded when the
    project or its organisation has no room for one more, BudgetExceeded when it costs too much. What the grant's own
    quotas admit is asked when nothing but a new machine would do, see ``fulfil``.
    """
    grant = consent.allowed(tx, platform_id, MACHINE, "create", now_s)
    asked = Wanted(
        size=order.size,
        image=order.image,
        location=order.location,
        project=order.project_id,
        network=network_for(tx, grant, order.network),
    )
    refuse_outside(tx, grant, asked)
    quotas.refuse_beyond(tx, order.project_id, weight(tx, platform_id, order.size))
    budgets.refuse_beyond(tx, order.project_id, price=order.price, lease_s=order.lease_s, now_s=now_s)
    return grant
