"""Find what a tenant or admin named: an offer of machines, and a size or image of its platform."""

from difflib import get_close_matches

from sqlmodel import Session

from catalog.errors import InvalidValue
from catalog.model.offering import CatalogEntry, InventoryItem, Offer
from catalog.store import orders, rows

MACHINE = "machine"


def machine_offer(tx: Session, text: str) -> Offer:
    """Return the offer with id ``text``, or the machine offer of the platform so named.

    Raises InvalidValue on ``offer`` when there is none, or when it offers something else than machines.
    """
    found = orders.offers_called(tx, text, MACHINE)
    if not found:
        raise InvalidValue(
            f"there is no offer '{text}'", field="offer", fix="the id of an offer of machines, or its platform's name"
        )
    if rows.by_id(tx, CatalogEntry, found[0].entry_id).capability != MACHINE:
        raise InvalidValue(f"the offer '{text}' is not one of machines", field="offer", fix="an offer of machines")
    return found[0]


def inventory_item(tx: Session, offer: Offer, kind: str, text: str) -> InventoryItem:
    """Return the platform's ``kind`` ("size", "image", "location", "key-pair") that ``text`` names, by id or by name.

    Raises InvalidValue naming the order's field, with what comes near, or with the ids when several share the name.
    """
    field, called = kind.replace("-", "_"), kind.replace("-", " ")
    items = orders.inventory(tx, offer.platform_id, kind)
    named = [item for item in items if item.cloud_id == text] or [item for item in items if item.name == text]
    if len(named) == 1:
        return named[0]
    if named:
        ids = ", ".join(item.cloud_id for item in named[:5])
        raise InvalidValue(f"{len(named)} items are named '{text}'", field=field, fix=f"one of the ids {ids}")
    known = [item.cloud_id for item in items] + [item.name for item in items]
    near = list(dict.fromkeys(get_close_matches(text, known, n=3, cutoff=0.5))) or list(dict.fromkeys(known))[:3]
    raise InvalidValue(
        f"the platform has no {called} '{text}'",
        field=field,
        fix=f"such as {', '.join(near)}" if near else f"the platform told us of no {called} yet",
    )
