"""Queries on schedules: which are due, and which machines have an edge of theirs before them."""

from collections.abc import Sequence

from sqlalchemy import and_, func, or_
from sqlalchemy import select as sql_select
from sqlmodel import Session, select

from catalog.model.machine import Custody, Machine, MachineState
from catalog.model.schedule import Schedule
from catalog.store import machines
from catalog.store.rows import column

_IN_USE = column(Machine, "state") == MachineState.IN_USE
_STEERED = column(Machine, "custody") != Custody.OBSERVED.value


def due(tx: Session, now_s: float, limit: int, *, after: Schedule | None = None) -> Sequence[Schedule]:
    """Return up to ``limit`` schedules that have something to do, the longest due first; those after ``after`` only."""
    edge, id_ = column(Schedule, "next_edge_s"), column(Schedule, "id")
    found = select(Schedule).where(edge <= now_s)
    if after is not None:
        found = found.where(or_(edge > after.next_edge_s, and_(edge == after.next_edge_s, id_ > after.id)))
    return tx.exec(found.order_by(edge, id_).limit(limit)).all()


def before_edge(tx: Session, schedule: Schedule, edge_s: float, limit: int) -> Sequence[Machine]:
    """Return the machines in use that keep to ``schedule`` and for which ``edge_s`` was not settled yet.

    Up to ``limit`` at each platform, so that one that is out of reach keeps no other waiting.

    A machine that was handed over after it has not seen it; a schedule of its own goes before its project's. One
    that is only observed keeps to none.
    """
    settled = func.coalesce(column(Machine, "edge_s"), column(Machine, "used_from_s"), 0.0)
    found = select(Machine).where(_IN_USE, _STEERED, settled < edge_s)
    if schedule.machine_id is not None:
        found = found.where(column(Machine, "id") == schedule.machine_id)
    else:
        own = sql_select(column(Schedule, "machine_id")).where(column(Schedule, "machine_id").is_not(None))
        whose = column(Machine, "project_id") == schedule.project_id
        found = found.where(whose, column(Machine, "id").not_in(own))
    return tx.exec(machines.some_of_each_platform(found, limit)).all()
