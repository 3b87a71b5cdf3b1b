"""Serve an order: from a pool, or by asking for a machine of its own (S2 steps 2 and 3)."""

from sqlmodel import Session

from catalog import quotas
from catalog.allowance import refuse_beyond, weight
from catalog.connections import record_step
from catalog.leases.rules import handed_over
from catalog.machines import ask_creation, machine_name
from catalog.model.consent import Grant
from catalog.model.ids import MachineId, new_id
from catalog.model.machine import Machine
from catalog.model.offering import Offer
from catalog.model.order import ORDER_TRANSITIONS, Order, OrderEvent, OrderState
from catalog.orders.policy import RetryPolicy
from catalog.orders.steps import UNWATCHED
from catalog.pool.apply import apply
from catalog.pool.claim import claim
from catalog.ports import Checkpoint
from catalog.store import rows


def fulfil(
    tx: Session,
    order: Order,
    *,
    offer: Offer,
    grant: Grant,
    now_s: float,
    policy: RetryPolicy,
    checkpoint: Checkpoint = UNWATCHED,
) -> Order:
    """Return ``order`` served by an idle machine, or with the creation of one in the outbox.

    Whoever calls has seen that the order is ``admitted`` under ``grant``, and that no other machine of it is left.
    Raises QuotaExceeded when only a new machine would do and ``grant`` admits none, or when the idle one is more than
    the project's quotas have room for.
    """
    claimed = claim(tx, order, now_s)
    if claimed is None:
        refuse_beyond(tx, grant, order.size)
        _begin_creation(tx, order, offer, grant, now_s=now_s, policy=policy)
        checkpoint.reached("order.dispatched")
        return order
    quotas.refuse_over(tx, order.project_id)
    rows.update(tx, claimed, handed_over(order, now_s), now_s)
    changes = {"machine_id": claimed.id, "served_from": "pool", "finished_at_s": now_s}
    rows.move(tx, order, ORDER_TRANSITIONS, OrderEvent.SERVE_FROM_POOL, now_s, changes)
    record_step(tx, order.id, "order.claimed", "done", now_s, detail=claimed.id)
    checkpoint.reached("order.claimed")
    if claimed.pool_id is not None:
        apply(tx, claimed.pool_id, now_s, policy)  # the pool refills now, not at the next tick
    return order


def _begin_creation(
    tx: Session, order: Order, offer: Offer, grant: Grant, *, now_s: float, policy: RetryPolicy
) -> None:
    """Give ``order`` a new machine of its own at ``offer``, whose creation is in the outbox."""
    machine_id = MachineId(new_id("machine", now_s))
    counts_for = weight(tx, offer.platform_id, order.size)
    machine = Machine(
        id=machine_id,
        platform_id=offer.platform_id,
        offer_id=offer.id,
        order_id=order.id,
        project_id=order.project_id,
        name=machine_name(order),
        size=order.size,
        image=order.image,
        location=order.location,
        key_pair=order.key_pair,
        network=order.network,
        vcpu=counts_for.vcpu,
        memory_mib=counts_for.memory_mib,
        epoch=grant.epoch,
    )
    rows.insert(tx, machine, now_s)
    changes = {"machine_id": machine_id, "served_from": "cold", "attempts": 1}
    event = OrderEvent.CREATE_AGAIN if order.state is OrderState.CREATING else OrderEvent.CREATE
    rows.move(tx, order, ORDER_TRANSITIONS, event, now_s, changes)
    ask_creation(tx, machine, deadline_s=policy.creation_deadline_s, now_s=now_s)
    record_step(tx, order.id, "order.dispatched", "done", now_s, detail=machine_id)
