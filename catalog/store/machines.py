"""Queries for machines and pools; the claim is the one that must never give a machine to two tenants."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal, not_, or_, update
from sqlalchemy import select as sql_select
from sqlmodel import Session, select
from sqlmodel.sql.expression import SelectOfScalar

from catalog.model.ids import MachineId, OfferId, OrderId, PlatformId, PoolId, ProjectId
from catalog.model.lifecycle import next_state
from catalog.model.machine import MACHINE_TRANSITIONS, Custody, Machine, MachineEvent, MachineState, Pool, PoolProject
from catalog.model.order import Order
from catalog.model.rows import Row
from catalog.store import events
from catalog.store.rows import by_id, column

# What a platform holds for us and nobody is making or ending.
HELD = (MachineState.IDLE, MachineState.IN_USE, MachineState.RETURNED)
_STATE = column(Machine, "state")
_ID = column(Machine, "id")
_COUNTED = column(Machine, "custody").in_((Custody.MADE, Custody.MANAGED))
# One that was idle before that was kept has waited since it was made, as far as anybody knows.
_IDLE_FROM = func.coalesce(column(Machine, "idle_from_s"), column(Machine, "created_at_s"))
# Named one by one, so that the index finds them: what is gone stays in the table for ever.
_LIVE = tuple(state for state in MachineState if state is not MachineState.GONE)


def claim_idle(
    tx: Session,
    *,
    offer: OfferId,
    size: str,
    image: str,
    network: str | None = None,
    order: OrderId,
    project: ProjectId,
    now_s: float,
) -> Machine | None:
    """Take the idle machine that has waited longest for ``order``, in one statement; None when there is none.

    Only one that its cloud says nothing against (``reason`` is empty), of a pool that serves the project.
    """
    waiting = (
        sql_select(_ID)
        .where(
            _STATE == MachineState.IDLE,
            column(Machine, "offer_id") == offer,
            column(Machine, "size") == size,
            column(Machine, "image") == image,
            column(Machine, "network").is_not_distinct_from(network),
            column(Machine, "reason") == "",
            _serves(project),
        )
        .order_by(column(Machine, "created_at_s"), _ID)
        .limit(1)
        # SQLite has one writer and ignores this; elsewhere two claims must not wait for the same row.
        .with_for_update(skip_locked=True)
    )
    claimed = tx.execute(
        update(Machine)
        .where(waiting.scalar_subquery() == _ID, _STATE == MachineState.IDLE)
        .values(
            state=next_state(MACHINE_TRANSITIONS, MachineState.IDLE, MachineEvent.CLAIM),
            order_id=order,
            project_id=project,
            fence=column(Machine, "fence") + 1,
            version=column(Machine, "version") + 1,
            updated_at_s=now_s,
        )
        .returning(_ID)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if claimed is None:
        return None
    machine = by_id(tx, Machine, claimed)
    events.tell_moved(tx, machine, MachineState.IDLE, now_s, moved_by=MachineEvent.CLAIM)
    return machine


def _serves(project: ProjectId) -> ColumnElement[bool]:
    """Return the condition that the pool of a machine serves ``project``."""
    named = sql_select(literal(1)).where(column(PoolProject, "pool_id") == column(Machine, "pool_id"))
    return or_(~named.exists(), named.where(column(PoolProject, "project_id") == project).exists())


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a platform holds for us, or a project of ours; a sum is None when some machine's part is not known.

    What is only observed is not held for us.
    """

    machines: int
    vcpu: float | None
    memory_mib: int | None

    def __add__(self, other: "Taken") -> "Taken":
        """Return both together."""
        return Taken(
            machines=self.machines + other.machines,
            vcpu=None if self.vcpu is None or other.vcpu is None else self.vcpu + other.vcpu,
            memory_mib=None
            if self.memory_mib is None or other.memory_mib is None
            else self.memory_mib + other.memory_mib,
        )


def taken_at(tx: Session, platform: PlatformId) -> Taken:
    """Return what the platform may still hold for us: of all machines not gone, building ones included."""
    return _taken(tx, column(Machine, "platform_id") == platform, _STATE.in_(_LIVE))


def taken_everywhere(tx: Session) -> Mapping[PlatformId, Taken]:
    """Return ``taken_at`` of every platform; one without machines is absent."""
    platform = column(Machine, "platform_id")
    counted = sql_select(platform, *weighed(Machine)).where(_COUNTED, _STATE.in_(_LIVE)).group_by(platform)
    return {PlatformId(each): sums(*found) for each, *found in tx.execute(counted).all()}


def taken_before(tx: Session, machine: Machine) -> Taken:
    """Return the same for ``machine``'s platform without itself and without those that wait longer for their turn.

    Those are younger ones whose creation failed and waits to be tried again: of all that wait the oldest come first.
    """
    each_id = column(Machine, "id")
    waits = (
        sql_select(column(Order, "id"))
        .where(column(Order, "machine_id") == each_id, column(Order, "next_attempt_at_s").is_not(None))
        .exists()
    )
    return _taken(
        tx,
        column(Machine, "platform_id") == machine.platform_id,
        _STATE.in_(_LIVE),
        each_id != machine.id,
        not_(and_(_STATE == MachineState.BUILDING, each_id > machine.id, waits)),
    )


def held_by(tx: Session, projects: Collection[ProjectId]) -> Taken:
    """Return what these projects hold: of every machine that was begun for them or handed to them, until it is gone."""
    return _taken(tx, column(Machine, "project_id").in_(sorted(projects)), _STATE.in_(_LIVE))


def _taken(tx: Session, *which: ColumnElement[bool]) -> Taken:
    return sums(*tx.execute(sql_select(*weighed(Machine)).where(_COUNTED, *which)).one())


def weighed(kind: type[Row]) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of which ``sums`` makes what the rows of ``kind`` hold; each has vcpu and memory_mib."""
    vcpu, memory = column(kind, "vcpu"), column(kind, "memory_mib")
    return (
        func.count(),
        func.count(vcpu),
        func.coalesce(func.sum(vcpu), 0.0),
        func.count(memory),
        func.coalesce(func.sum(memory), 0),
    )


def sums(count: int, vcpu_known: int, vcpu_sum: float, memory_known: int, memory_sum: int) -> Taken:
    """Return what a row of ``weighed`` says."""
    return Taken(
        machines=count,
        vcpu=float(vcpu_sum) if vcpu_known == count else None,
        memory_mib=int(memory_sum) if memory_known == count else None,
    )


def ends_until(tx: Session, until_s: float, limit: int) -> Sequence[Machine]:
    """Return up to ``limit`` held machines that stay no longer than ``until_s``, the earliest end first."""
    ends = column(Machine, "ends_at_s")
    over = select(Machine).where(ends <= until_s, _STATE.in_(HELD))
    return tx.exec(over.order_by(ends, _ID).limit(limit)).all()


def leases_until(tx: Session, until_s: float, limit: int) -> Sequence[Machine]:
    """Return up to ``limit`` machines in use whose lease ends by ``until_s``, the earliest end first."""
    return tx.exec(_lent(column(Machine, "lease_ends_at_s") <= until_s).limit(limit)).all()


def leases_unreminded(tx: Session, now_s: float, reminders_s: Sequence[float], limit: int) -> Sequence[Machine]:
    """Return up to ``limit`` machines in use that lack one of the reminders, each so many seconds before the end.

    A reminder that fell due before the lease was set is none.
    """
    ends, begun, told = (column(Machine, name) for name in ("lease_ends_at_s", "lease_set_at_s", "reminded_s"))
    lacking = [
        and_(ends > now_s, ends <= now_s + each, ends - begun > each, or_(told.is_(None), told > each))
        for each in reminders_s
    ]
    return tx.exec(_lent(or_(*lacking)).limit(limit)).all() if lacking else ()


def _lent(which: ColumnElement[bool]) -> SelectOfScalar[Machine]:
    ordered = select(Machine).order_by(column(Machine, "lease_ends_at_s"), _ID)
    return ordered.where(_STATE == MachineState.IN_USE, which)


def counts_of(tx: Session, pool: PoolId) -> Mapping[MachineState, int]:
    """Return how many machines of ``pool`` are in each state; states without any are absent."""
    counted = sql_select(_STATE, func.count()).where(column(Machine, "pool_id") == pool).group_by(_STATE)
    return dict(tx.execute(counted).all())


def idle_of(tx: Session, pool: PoolId) -> Sequence[MachineId]:
    """Return the idle machines of ``pool`` that can be claimed, those first that have waited longest."""
    waiting = sql_select(_ID).where(*_claimable(pool)).order_by(_IDLE_FROM, _ID)
    return tuple(tx.execute(waiting).scalars())


def idle_since(tx: Session, pool: PoolId, since_s: float) -> int:
    """Return how many of ``idle_of`` have waited at least since ``since_s``."""
    counted = sql_select(func.count()).select_from(Machine).where(*_claimable(pool), since_s >= _IDLE_FROM)
    return int(tx.execute(counted).scalar_one())


def _claimable(pool: PoolId) -> tuple[ColumnElement[bool], ...]:
    return column(Machine, "pool_id") == pool, _STATE == MachineState.IDLE, column(Machine, "reason") == ""


def held_idle(tx: Session, found: Collection[MachineId]) -> Sequence[Machine]:
    """Return those of ``found`` that are idle still and that no claim is taking, held so until the transaction ends."""
    held = select(Machine).where(_ID.in_(sorted(found)), _STATE == MachineState.IDLE).order_by(_ID)
    return tx.exec(held.with_for_update(skip_locked=True).execution_options(populate_existing=True)).all()


def held_unclaimed(tx: Session, pool: PoolId) -> Sequence[Machine]:
    """Return the machines of ``pool`` that are in nobody's hands, held so until the transaction ends."""
    unclaimed = _STATE.in_((MachineState.BUILDING, MachineState.IDLE))
    held = select(Machine).where(column(Machine, "pool_id") == pool, unclaimed).order_by(_ID)
    return tx.exec(held.with_for_update().execution_options(populate_existing=True)).all()


def hold_pool(tx: Session, pool: PoolId) -> bool:
    """Have the pool to oneself until the transaction ends; False, at once, where another transaction has it."""
    held = sql_select(column(Pool, "id")).where(column(Pool, "id") == pool)
    return tx.execute(held.with_for_update(skip_locked=True, key_share=True)).one_or_none() is not None


def projects_of(tx: Session, pool: PoolId) -> Sequence[ProjectId]:
    """Return the projects that ``pool`` serves; none: it serves everybody."""
    named = sql_select(column(PoolProject, "project_id")).where(column(PoolProject, "pool_id") == pool)
    return tuple(tx.execute(named.order_by(column(PoolProject, "project_id"))).scalars())


def pools(tx: Session) -> Sequence[Pool]:
    """Return every pool, oldest first."""
    return tx.exec(select(Pool).order_by(column(Pool, "id"))).all()


def some_of_each_platform(found: SelectOfScalar[Machine], limit: int) -> SelectOfScalar[Machine]:
    """Return the statement for the ``limit`` first of the machines of ``found`` at each platform, by id."""
    id_ = column(Machine, "id")
    place = func.row_number().over(partition_by=column(Machine, "platform_id"), order_by=id_).label("place")
    placed = found.with_only_columns(id_, place).subquery()
    return select(Machine).where(id_.in_(sql_select(placed.c.id).where(placed.c.place <= limit))).order_by(id_)


def changing(tx: Session) -> Sequence[Machine]:
    """Return the machines in use of which something is asked that is not known to be done, smallest id first."""
    asked = column(Machine, "changing").is_not(None)
    found = select(Machine).where(asked, _STATE == MachineState.IN_USE).order_by(column(Machine, "id"))
    return tx.exec(found).all()
