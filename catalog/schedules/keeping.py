"""Schedules of machines and projects: set, looked up, and settled edge by edge.

Each edge is settled once for each machine: then the machine is let be until the next one, so whoever starts or stops it
by hand has it so until then. After a time in which nobody looked only the newest edge counts.
"""

from collections.abc import Mapping, Sequence

from catalog import consent, unattended
from catalog.clouds import MachineAction
from catalog.errors import Denied, WrongState
from catalog.model.ids import MachineId, ProjectId
from catalog.model.machine import Custody, Machine, MachineState
from catalog.model.schedule import Schedule
from catalog.schedules.windows import Edge, Plan, last_edge, next_edge, plan
from catalog.store import rows
from catalog.store.database import Tx
from catalog.unattended import Cause

_MACHINE, _VERBS = "machine", ("start", "stop")
_ENDED = frozenset({MachineState.DESTROYING, MachineState.GONE})


def set_for_machine(
    tx: Tx, machine: Machine, *, zone: str, windows: Sequence[Mapping[str, object]], now_s: float
) -> Schedule:
    """Let the machine keep to these windows from now on, not to its project's; without any it is left alone.

    What it does now it does until the next edge. Raises InvalidValue; WrongState for a machine that is no project's,
    has ended or is only observed, and when its platform does not grant that it is started and stopped.
    """
    if machine.project_id is None or machine.state in _ENDED:
        raise WrongState(f"the machine is {machine.state.value}", field="state", fix="one that a project uses")
    planned = plan(zone, windows)
    if windows:
        if machine.custody == Custody.OBSERVED:
            raise WrongState("the machine is only observed", field="state", fix="one that is managed")
        _refuse_ungranted(tx, machine, now_s)
    return _set(tx, machine.id, ProjectId(machine.project_id), MachineId(machine.id), planned, windows, now_s)


def set_for_project(
    tx: Tx, project_id: ProjectId, *, zone: str, windows: Sequence[Mapping[str, object]], now_s: float
) -> Schedule:
    """Let the project's machines that have no schedule of their own keep to these windows. Raises InvalidValue."""
    return _set(tx, project_id, project_id, None, plan(zone, windows), windows, now_s)


def of_machine(tx: Tx, machine: Machine) -> Schedule | None:
    """Return the schedule that the machine keeps to: its own, else its project's; None: neither is there."""
    own = rows.find(tx, Schedule, machine.id)
    if own is not None or machine.project_id is None:
        return own
    return rows.find(tx, Schedule, machine.project_id)


def held(tx: Tx, id_: str) -> Schedule | None:
    """Return the schedule of this very machine or project, None: it has none of its own."""
    return rows.find(tx, Schedule, id_)


def unset(id_: str) -> Schedule:
    """Return the schedule of one that has none, of version 0."""
    return Schedule(id=id_, version=0, project_id=ProjectId(""), zone="UTC", set_at_s=0.0)


def planned(schedule: Schedule) -> Plan:
    """Return what the schedule's clock says."""
    return plan(schedule.zone, schedule.windows)


def edge_before(schedule: Schedule, now_s: float) -> Edge | None:
    """Return the newest edge that counts now; None: none since the schedule was set."""
    edge = last_edge(planned(schedule), now_s)
    return None if edge is None or edge.at_s <= schedule.set_at_s else edge


def is_before(tx: Tx, machine: Machine, edge: Edge, now_s: float) -> bool:
    """Return whether ``edge`` still is to be settled: nobody took it in hand, or changed its schedule."""
    if machine.state is not MachineState.IN_USE or machine.custody == Custody.OBSERVED:
        return False
    schedule = of_machine(tx, machine)
    settled_s = machine.used_from_s if machine.edge_s is None else machine.edge_s
    return schedule is not None and (settled_s or 0.0) < edge.at_s and edge_before(schedule, now_s) == edge


def advance(tx: Tx, schedule_id: str, now_s: float) -> None:
    """Let the schedule wait for its next edge; that of a machine that is gone is forgotten."""
    schedule = rows.find(tx, Schedule, schedule_id)
    if schedule is None:
        return
    machine = rows.find(tx, Machine, schedule.machine_id) if schedule.machine_id else None
    if machine is not None and machine.state in _ENDED:
        rows.delete(tx, schedule)
        return
    coming = next_edge(planned(schedule), now_s)
    rows.update(tx, schedule, {"next_edge_s": None if coming is None else coming.at_s}, now_s)


def settle(tx: Tx, machine_id: str, edge: Edge, now_s: float, *, was_changed: bool, failure: str = "") -> bool:
    """Note that the machine has seen ``edge``, and tell it if something was done or could not be; False: it had."""
    machine = rows.by_id(tx, Machine, machine_id)
    if machine.edge_s is not None and machine.edge_s >= edge.at_s:
        return False
    rows.update(tx, machine, {"edge_s": edge.at_s}, now_s)
    if was_changed or failure:
        action = MachineAction.START if edge.runs else MachineAction.STOP
        unattended.tell(tx, machine, action, Cause.SCHEDULE, now_s, failure=failure)
    return True


def taken_in_hand(tx: Tx, machine: Machine, now_s: float) -> None:
    """Note that somebody starts, stops or reboots the machine himself: edges up to now are settled by that."""
    rows.update(tx, machine, {"edge_s": now_s}, now_s)


def _refuse_ungranted(tx: Tx, machine: Machine, now_s: float) -> None:
    try:
        for verb in _VERBS:
            consent.allowed(tx, machine.platform_id, _MACHINE, verb, now_s)
    except Denied as error:
        # Not the caller lacks a right: the owner of the platform has not given it.
        raise WrongState(str(error), field="windows", fix="ask the platform's owner for start and stop") from error


def _set(  # noqa: PLR0917 whose, for whom, what, when: read as one sentence
    tx: Tx,
    id_: str,
    project_id: ProjectId,
    machine_id: MachineId | None,
    said: Plan,
    windows: Sequence[Mapping[str, object]],
    now_s: float,
) -> Schedule:
    coming = next_edge(said, now_s)
    next_s = None if coming is None else coming.at_s
    kept = [dict(each) for each in windows]
    before = held(tx, id_)
    if before is not None and (before.zone, before.windows) == (said.zone.key, kept):
        return before  # said once more: an edge that nobody has looked at yet is not dropped by that
    if before is not None:
        terms = {"zone": said.zone.key, "windows": kept, "set_at_s": now_s, "next_edge_s": next_s}
        return rows.update(tx, before, terms, now_s)
    row = Schedule(
        id=id_,
        project_id=project_id,
        machine_id=machine_id,
        zone=said.zone.key,
        windows=kept,
        set_at_s=now_s,
        next_edge_s=next_s,
    )
    return rows.insert(tx, row, now_s)
