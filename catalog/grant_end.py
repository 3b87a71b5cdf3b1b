"""What the end of a grant, or its narrowing, does at once to what was begun under it, and what people are told of it.

A machine that is being made is given up: its order goes elsewhere or ends with the reason, and whatever the cloud has
of it is destroyed. What becomes of the others is the grant's end rule, see ``catalog.winding_down``.
"""

from collections.abc import Iterable, Sequence

from catalog.allowance import MIB_PER_GIB, refuse_outside, wanted
from catalog.assets import ending as assets
from catalog.errors import Denied
from catalog.machines import dispose
from catalog.messages.contracts import TO_PROVISIONER, EndEpoch
from catalog.messages.handshake import Capability
from catalog.model.consent import Grant
from catalog.model.ids import MessageId, new_id
from catalog.model.machine import Custody, Machine, MachineEvent, MachineState
from catalog.model.order import Order, OrderState
from catalog.orders.ending import move_on_or_fail
from catalog.store import outbox, rows
from catalog.store.database import Tx

GRANT_ENDED = "grant-ended"
_HELD = frozenset({MachineState.IDLE, MachineState.IN_USE, MachineState.RETURNED})
_CREATE = "create"


def stop_all(tx: Tx, grant: Grant, reason: str, now_s: float) -> None:
    """End whatever was begun under ``grant``, whose epoch has just ended, and refuse what comes late of it."""
    assets.stop_all(tx, grant, reason, now_s)
    if grant.capability != Capability.MACHINE:
        return
    message = EndEpoch(
        id=MessageId(new_id("message", now_s)), created_at_s=now_s, platform=grant.platform_id, epoch=grant.epoch
    )
    outbox.put(tx, TO_PROVISIONER, message, now_s)
    _give_up(tx, _building(tx, grant), reason, now_s)


def stop_outside(tx: Tx, grant: Grant, now_s: float) -> None:
    """End what was begun and is outside the terms that ``grant`` has now: other machines, or more than its quotas."""
    assets.stop_outside(tx, grant, now_s)
    if grant.capability != Capability.MACHINE:
        return
    building = _building(tx, grant)
    outside = [machine for machine in building if _is_outside(tx, grant, machine)]
    _give_up(tx, outside, "the platform grants less than when this was ordered", now_s)
    rest = [machine for machine in building if machine not in outside]
    _give_up(tx, _surplus(tx, grant, rest), "the platform grants fewer machines than when this was ordered", now_s)


def _building(tx: Tx, grant: Grant) -> Sequence[Machine]:
    return rows.where(tx, Machine, platform_id=grant.platform_id, state=MachineState.BUILDING)


def _is_outside(tx: Tx, grant: Grant, machine: Machine) -> bool:
    if _CREATE not in grant.verbs:
        return True
    try:
        refuse_outside(tx, grant, wanted(machine))
    except Denied:
        return True
    return False


def _surplus(tx: Tx, grant: Grant, building: Sequence[Machine]) -> list[Machine]:
    """Return which of ``building`` must end for the quotas to hold, the newest first; what is held is not ended."""
    counted = {Custody.MADE, Custody.MANAGED}
    held = rows.where(tx, Machine, platform_id=grant.platform_id, state=_HELD, custody=counted)
    kept, ended = list(building), []
    while kept and not _fits(grant, [*held, *kept]):
        ended.append(kept.pop())
    return ended


def _fits(grant: Grant, machines: Sequence[Machine]) -> bool:
    memory_mib = None if grant.memory_gib is None else grant.memory_gib * MIB_PER_GIB
    sums = (
        (grant.quota, len(machines)),
        (grant.cores, _sum(machine.vcpu for machine in machines)),
        (memory_mib, _sum(machine.memory_mib for machine in machines)),
    )
    return all(limit is None or used is None or used <= limit for limit, used in sums)


def _sum(parts: Iterable[float | None]) -> float | None:
    known = list(parts)
    return None if None in known else sum(part for part in known if part is not None)


def _give_up(tx: Tx, machines: Sequence[Machine], reason: str, now_s: float) -> None:
    for machine in machines:
        dispose(tx, machine, MachineEvent.BUILD_FAILED, now_s, reason=reason)
        order = rows.find(tx, Order, machine.order_id) if machine.order_id else None
        if order is not None and order.state is OrderState.CREATING:
            move_on_or_fail(tx, order, code=GRANT_ENDED, reason=reason, now_s=now_s)
