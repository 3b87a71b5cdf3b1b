"""Machines that are started and stopped while nobody is at hand: each time is told, and kept among their steps."""

from enum import StrEnum
from typing import Final

from catalog.clouds import MachineAction
from catalog.connections import record_step
from catalog.model.machine import Machine
from catalog.store import events
from catalog.store.database import Tx
from catalog.store.telling import telling


class Cause(StrEnum):
    """On whose word a machine is started or stopped."""

    SCHEDULE = "schedule"
    BUDGET = "budget"


_REASONS: Final = {Cause.SCHEDULE: "its schedule", Cause.BUDGET: "the budget is spent"}


def tell(tx: Tx, machine: Machine, action: MachineAction, cause: Cause, now_s: float, *, failure: str = "") -> None:
    """Tell the machine's project what was done to it and why, or, with ``failure``, why it could not be.

    The event's kind is ``machine.CAUSE-ACTION``, with ``-failed`` behind it if it failed.
    """
    about = telling(machine)
    assert about is not None
    reason = failure or _REASONS[cause]
    kind = f"machine.{cause}-{action}{'-failed' if failure else ''}"
    events.append(tx, about, kind, {**about.facts, "deed": action.value, "reason": reason}, now_s)
    record_step(tx, machine.id, f"machine.{action}", "failed" if failure else "done", now_s, reason)
