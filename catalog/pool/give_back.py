"""End a tenant's use of a machine (S2).

A machine that a tenant used is destroyed: only a proven wipe may bring one back to a pool, and until there is one
no way leads there.
"""

from sqlmodel import Session

from catalog.errors import NotFound
from catalog.machines import DESTROYED_ON_REQUEST, dispose, release
from catalog.model.ids import MachineId, ProjectId
from catalog.model.machine import MACHINE_TRANSITIONS, Custody, Machine, MachineEvent
from catalog.orders.retry import cancel_with_machine
from catalog.store import rows


def give_back(
    tx: Session, machine_id: MachineId, project_id: ProjectId | None, now_s: float, *, reason: str = "given back"
) -> Machine:
    """Take the machine from its project and begin its destruction; ``project_id`` None speaks for an admin.

    One that was there before us is released instead.

    Raises NotFound for another project's machine and WrongState for one that nobody uses.
    """
    machine = owned(tx, machine_id, project_id)
    if machine.custody != Custody.MADE:
        return release(tx, machine, now_s, reason=reason)
    rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.GIVE_BACK, now_s)
    dispose(tx, machine, MachineEvent.RETIRE, now_s, reason=reason)
    return machine


def destroy(tx: Session, machine_id: MachineId, project_id: ProjectId | None, now_s: float) -> Machine:
    """Begin the machine's destruction, and cancel the order that still waits for it.

    Raises NotFound for another project's, WrongState once it has begun.
    """
    machine = owned(tx, machine_id, project_id)
    cancel_with_machine(tx, machine, now_s)
    dispose(tx, machine, MachineEvent.RETIRE, now_s, reason=DESTROYED_ON_REQUEST)
    return machine


def owned(tx: Session, machine_id: MachineId, project_id: ProjectId | None) -> Machine:
    """Return the machine. Raises NotFound also for another project's: one must not learn that it exists."""
    machine = rows.find(tx, Machine, machine_id)
    if machine is None or (project_id is not None and machine.project_id != project_id):
        raise NotFound(f"there is no machine '{machine_id}'")
    return machine
