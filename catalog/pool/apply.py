"""Carry a pool's plan out: rows and messages in one transaction; may be repeated at any moment, by several at once.

Run when a machine was claimed (so the pool refills at once) and on a timer.
"""

import logging

from sqlmodel import Session

from catalog import consent
from catalog.allowance import Wanted, network_for, refuse_outside, room, weight
from catalog.errors import Denied
from catalog.machines import ask_creation, cloud_name, dispose
from catalog.model.consent import Grant
from catalog.model.ids import MachineId, PoolId, new_id
from catalog.model.machine import Machine, MachineEvent, MachineState, Pool
from catalog.model.offering import Offer, OfferState
from catalog.orders.policy import RetryPolicy
from catalog.pool import hours
from catalog.pool.plan import PoolCensus, PoolPlan, PoolPolicy, plan
from catalog.store import machines, rows

log = logging.getLogger(__name__)

FAILURE_LIMIT = 5


def apply_all(tx: Session, now_s: float, policy: RetryPolicy, *, failure_limit: int = FAILURE_LIMIT) -> int:
    """Apply every pool's plan and return how many machines were begun or given up."""
    plans = [apply(tx, pool.id, now_s, policy, failure_limit=failure_limit) for pool in machines.pools(tx)]
    return sum(each.create + len(each.destroy) for each in plans)


def apply(
    tx: Session, pool_id: PoolId, now_s: float, policy: RetryPolicy | None = None, *, failure_limit: int = FAILURE_LIMIT
) -> PoolPlan:
    """Bring the pool towards what its admin asked, return what was done, and keep on the pool why it could not.

    While another transaction does the same nothing is done here: it begins with what is there now, or the next one
    does. Raises NotFound only. What hinders creation (grant revoked, quota used up, too many failures) is the pool's
    ``reason``, never an error: the caller may be an order that a pool has no right to fail.
    """
    pool = rows.by_id(tx, Pool, pool_id)
    if not machines.hold_pool(tx, pool.id):
        return PoolPlan()
    offer = rows.by_id(tx, Offer, pool.offer_id)
    closed = _closed(tx, pool, offer, now_s)
    left, hindrance = (0, closed) if closed else room(tx, _granted(tx, offer, now_s), pool.size)
    wanted = PoolPolicy(
        idle_target=hours.idle_target(pool.idle_target, pool.zone, pool.hours, now_s),
        idle_limit=pool.idle_limit,
        building_limit=pool.building_limit,
        enabled=pool.enabled and not closed,
        failure_limit=failure_limit,
        machine_limit=pool.machine_limit,
    )
    decided = plan(_census(tx, pool, left, now_s), wanted)
    for _ in range(decided.create):
        _build(tx, pool, offer, now_s, policy or RetryPolicy())
    # One that an order is taking at this moment is that order's.
    for surplus in machines.held_idle(tx, decided.destroy):
        dispose(tx, surplus, MachineEvent.RETIRE, now_s, reason="surplus of its pool")
    if not pool.failures_in_a_row and pool.reason != hindrance:
        rows.update(tx, pool, {"reason": hindrance}, now_s)
    if decided != PoolPlan():
        facts = {"pool": pool.id, "create": decided.create, "destroy": len(decided.destroy)}
        log.info("pool plan applied", extra=facts)
    return decided


def _census(tx: Session, pool: Pool, room_left: int | None, now_s: float) -> PoolCensus:
    by_state = machines.counts_of(tx, pool.id)
    idle = tuple(machines.idle_of(tx, pool.id))
    aged = 0 if pool.idle_age_limit_s is None else machines.idle_since(tx, pool.id, now_s - pool.idle_age_limit_s)
    alive = sum(count for state, count in by_state.items() if state is not MachineState.GONE)
    building = by_state.get(MachineState.BUILDING, 0)
    return PoolCensus(
        idle=idle,
        aged=aged,
        building=building,
        others=alive - len(idle) - building,
        ending=by_state.get(MachineState.DESTROYING, 0),
        failures_in_a_row=pool.failures_in_a_row,
        room=room_left,
    )


def _closed(tx: Session, pool: Pool, offer: Offer, now_s: float) -> str:
    """Return why no machine of the pool may be made now, whatever quotas say, in words ("" = nothing)."""
    if offer.state is not OfferState.OFFERED:
        return f"the offer is {offer.state.value}: {offer.reason}"
    try:
        grant = _granted(tx, offer, now_s)
        network = network_for(tx, grant, None)
        refuse_outside(tx, grant, Wanted(size=pool.size, image=pool.image, network=network))
    except Denied as error:
        return str(error)
    return ""


def _granted(tx: Session, offer: Offer, now_s: float) -> Grant:
    return consent.allowed(tx, offer.platform_id, "machine", "create", now_s)


def _build(tx: Session, pool: Pool, offer: Offer, now_s: float, policy: RetryPolicy) -> None:
    machine_id = MachineId(new_id("machine", now_s))
    counts_for = weight(tx, offer.platform_id, pool.size)
    grant = _granted(tx, offer, now_s)
    machine = Machine(
        id=machine_id,
        platform_id=offer.platform_id,
        offer_id=offer.id,
        pool_id=pool.id,
        name=cloud_name(machine_id),
        size=pool.size,
        image=pool.image,
        vcpu=counts_for.vcpu,
        memory_mib=counts_for.memory_mib,
        network=network_for(tx, grant, None),
        epoch=grant.epoch,
    )
    rows.insert(tx, machine, now_s)
    ask_creation(tx, machine, deadline_s=policy.creation_deadline_s, now_s=now_s)
