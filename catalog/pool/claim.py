"""Hand an idle machine to an order: one statement, so two orders never get the same one (S2)."""

from sqlmodel import Session

from catalog.model.machine import Machine
from catalog.model.order import Order
from catalog.store import machines


def claim(tx: Session, order: Order, now_s: float) -> Machine | None:
    """Return the machine that is now ``order``'s, or None when no idle one fits its offer, size, image and network.

    Machines of a pool are made without a key pair and wherever the cloud likes, so they fit no order that names either.
    """
    if order.location is not None or order.key_pair is not None:
        return None
    return machines.claim_idle(
        tx,
        offer=order.offer_id,
        size=order.size,
        image=order.image,
        network=order.network,
        order=order.id,
        project=order.project_id,
        now_s=now_s,
    )
