"""What becomes of machines and assets when their grant ends: kept, drained or destroyed, as it says, and until when.

Where a machine that we made would be destroyed, one that was there before us and was imported is released instead.

For that a session is left, only to read and destroy what was made under the grant, until its deadline. Whoever does
not say what becomes of machines leaves them to their holders, and the session has no deadline.
"""

from dataclasses import dataclass

from catalog import parting
from catalog.assets import ending as assets
from catalog.expiry import is_over
from catalog.machines import part_with
from catalog.messages.handshake import Capability
from catalog.model.asset import Asset
from catalog.model.consent import Grant, GrantLook, GrantState
from catalog.model.ids import PlatformId
from catalog.model.machine import Custody, Machine, MachineState
from catalog.model.terms import EndRule
from catalog.store import machines, rows
from catalog.store.database import Tx

# What a deadline leaves for destroying: clouds may be away for a while.
CLEARING_S = 3600.0
DEFAULT_S = 86_400.0
BATCH = 100
TIME_IS_OVER = "its grant has ended, and so has the time for which machines are kept"
_HELD = frozenset(machines.HELD)
_UNUSED = frozenset({MachineState.IDLE, MachineState.RETURNED})


@dataclass(frozen=True, slots=True, kw_only=True)
class WindingDown:
    """What an end rule comes to: which machines go at once, when the others go, and when the session ends."""

    at_once: frozenset[MachineState] = frozenset()
    ends_at_s: float | None = None
    until_s: float | None = None


def plan(rule: EndRule | None, *, expires_at_s: float | None, wind_down_s: float | None, now_s: float) -> WindingDown:
    """Return what follows for machines when their grant ends ``now_s``. Pure.

    Kept are machines until the grant would have expired, if that is still to come, and else for ``wind_down_s``.
    """
    ends_at_s = now_s + (DEFAULT_S if wind_down_s is None else wind_down_s)
    match rule:
        case None:
            return WindingDown()
        case EndRule.KEEP:
            if expires_at_s is not None and expires_at_s > now_s:
                ends_at_s = expires_at_s
            return WindingDown(ends_at_s=ends_at_s, until_s=ends_at_s + CLEARING_S)
        case EndRule.DRAIN:
            return WindingDown(at_once=_UNUSED, ends_at_s=ends_at_s, until_s=ends_at_s + CLEARING_S)
        case EndRule.DESTROY:
            return WindingDown(at_once=_HELD, ends_at_s=now_s, until_s=max(ends_at_s, now_s + CLEARING_S))


def begin(tx: Tx, grant: Grant, reason: str, now_s: float) -> None:
    """Do what the rule of ``grant``, which has just ended, says, and tell who holds what was made under it."""
    rule = None if grant.on_end is None else EndRule(grant.on_end)
    planned = plan(rule, expires_at_s=grant.expires_at_s, wind_down_s=grant.wind_down_s, now_s=now_s)
    assets.begin(tx, grant, reason, now_s, ends_at_s=planned.ends_at_s, until_s=planned.until_s)
    if grant.capability != Capability.MACHINE:
        return
    rows.update(tx, grant, {"wind_down_until_s": planned.until_s}, now_s)
    for machine in _held(tx, grant.platform_id):
        if machine.state in planned.at_once:
            part_with(tx, machine, now_s, reason=reason)
        else:
            told = {"notice": f"{reason}; the machine {_follows(machine, planned)}", "ends_at_s": planned.ends_at_s}
            rows.update(tx, machine, told, now_s)


def tell(tx: Tx, grant: Grant, reason: str, now_s: float) -> None:
    """Tell who holds what was made under it that the grant is held back; nothing becomes of that."""
    assets.tell(tx, grant, reason, now_s)
    if grant.capability == Capability.MACHINE:
        for machine in _held(tx, grant.platform_id):
            rows.update(tx, machine, {"notice": f"{reason}; the machine {_follows(machine, WindingDown())}"}, now_s)


def call_off(tx: Tx, grant: Grant, now_s: float) -> None:
    """Leave what is still there to the grant, which stands again."""
    assets.call_off(tx, grant, now_s)
    if grant.capability != Capability.MACHINE:
        return
    if grant.wind_down_until_s is not None:
        rows.update(tx, grant, {"wind_down_until_s": None}, now_s)
    for machine in _held(tx, grant.platform_id):
        if machine.notice or machine.ends_at_s is not None:
            rows.update(tx, machine, {"notice": "", "ends_at_s": None}, now_s)


def end_due(tx: Tx, now_s: float) -> int:
    """Destroy what has outlasted its time, end the sessions whose deadline has passed, and return how many.

    At most 100 machines at a time, and as many assets.
    """
    due = machines.ends_until(tx, now_s, BATCH)
    for machine in due:
        part_with(tx, machine, now_s, reason=TIME_IS_OVER)
    return len(due) + assets.end_due(tx, now_s) + parting.part_overdue(tx, now_s)


def is_any_due(tx: Tx, now_s: float) -> bool:
    """Return whether ``end_due`` would end anything."""
    return bool(machines.ends_until(tx, now_s, 1)) or assets.is_any_due(tx, now_s) or parting.is_any_overdue(tx, now_s)


def session_of(tx: Tx, platform_id: PlatformId, capability: str, now_s: float) -> Grant | None:
    """Return the grant of which what was made may be read and destroyed now though it does not stand; or None.

    There is none where we made nothing under it, and none after the deadline.
    """
    grant = rows.first(tx, Grant, platform_id=platform_id, capability=capability)
    if grant is None or not _is_anything_made(tx, grant):
        return None
    stands = grant.state is GrantState.ACCEPTED and not is_over(grant.expires_at_s, now_s)
    return None if stands or is_over(grant.wind_down_until_s, now_s) else grant


def is_first_look(tx: Tx, grant: Grant, machine: str, now_s: float) -> bool:
    """Return whether ``machine`` is looked at for the first time in this epoch of ``grant``, which has ended; note it.

    Machines are looked at for as long as they are there, and a log that is kept for ever must not grow with that.
    """
    look = rows.find(tx, GrantLook, (grant.id, machine))
    if look is None:
        rows.insert(tx, GrantLook(grant_id=grant.id, machine=machine, epoch=grant.epoch), now_s)
    elif look.epoch != grant.epoch:
        rows.update(tx, look, {"epoch": grant.epoch}, now_s)
    else:
        return False
    return True


def _is_anything_made(tx: Tx, grant: Grant) -> bool:
    if grant.capability == Capability.MACHINE:
        return rows.first(tx, Machine, platform_id=grant.platform_id, custody=Custody.MADE) is not None
    return rows.first(tx, Asset, platform_id=grant.platform_id, capability=grant.capability) is not None


def _follows(machine: Machine, planned: WindingDown) -> str:
    if machine.custody == Custody.MADE:
        return "can still be destroyed" if planned.ends_at_s is None else "is destroyed when its time is over"
    return "is left alone" if planned.ends_at_s is None else "is left alone, and released when its time is over"


def _held(tx: Tx, platform_id: PlatformId) -> list[Machine]:
    return list(rows.where(tx, Machine, platform_id=platform_id, state=_HELD))
