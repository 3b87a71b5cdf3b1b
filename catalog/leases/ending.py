"""Remind of leases that end soon, and give back the machines whose lease has ended. May be repeated at any moment."""

import logging
from collections.abc import Sequence

from catalog.model.machine import Machine
from catalog.pool.give_back import give_back
from catalog.store import events, machines, rows
from catalog.store.database import Tx
from catalog.store.telling import telling

log = logging.getLogger(__name__)

BATCH = 100
LEASE_ENDED = "its lease ended"


def end_due(tx: Tx, now_s: float, reminders_s: Sequence[float]) -> int:
    """Give back every machine whose lease is over, remind of those that end soon, and return how many it were.

    At most 100 of each at a time. A machine is given back once: from then on it is not in use any more.
    """
    over = machines.leases_until(tx, now_s, BATCH)
    for machine in over:
        give_back(tx, machine.id, None, now_s, reason=LEASE_ENDED)
        log.info("lease ended", extra={"machine": machine.id, "project": machine.project_id})
    return len(over) + sum(_remind(tx, each, now_s, reminders_s) for each in _ending(tx, now_s, reminders_s))


def due_reminder(machine: Machine, now_s: float, reminders_s: Sequence[float]) -> float | None:
    """Return which of the reminders, each so many seconds before the end, is to be given now; None for none.

    Only the latest that is due, once, however long nobody looked; none that was due when the end was set already.
    """
    if machine.lease_ends_at_s is None or machine.lease_set_at_s is None:
        return None
    left_s = machine.lease_ends_at_s - now_s
    given_s = machine.lease_ends_at_s - machine.lease_set_at_s
    due = [each for each in reminders_s if left_s <= each < given_s]
    latest = min(due, default=None)
    if latest is None or (machine.reminded_s is not None and latest >= machine.reminded_s):
        return None
    return latest


def _ending(tx: Tx, now_s: float, reminders_s: Sequence[float]) -> Sequence[Machine]:
    return machines.leases_unreminded(tx, now_s, sorted(reminders_s), BATCH)


def _remind(tx: Tx, machine: Machine, now_s: float, reminders_s: Sequence[float]) -> int:
    reminder_s = due_reminder(machine, now_s, reminders_s)
    if reminder_s is None:
        return 0
    rows.update(tx, machine, {"reminded_s": reminder_s}, now_s)
    about = telling(machine)
    assert about is not None
    left_s = (machine.lease_ends_at_s or now_s) - now_s
    events.append(tx, about, "machine.lease-ending", {**about.facts, "left_s": round(left_s)}, now_s)
    return 1
