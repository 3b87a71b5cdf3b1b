"""Create, change and remove pools, and count what they hold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update as sql_update
from sqlmodel import Session

from catalog.errors import InvalidValue
from catalog.machines import dispose
from catalog.model.ids import PoolId, ProjectId, new_id
from catalog.model.machine import Machine, MachineEvent, MachineState, Pool, PoolProject
from catalog.orders.choose import inventory_item, machine_offer
from catalog.pool.hours import refuse_odd
from catalog.store import machines, rows

_COUNTS = ("idle_target", "idle_limit", "building_limit", "machine_limit")
_CHANGEABLE = {*_COUNTS, "idle_age_limit_s", "zone", "hours", "enabled", "name"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCounts:
    """How many machines of a pool are idle, being built, and in tenants' hands."""

    idle: int
    building: int
    in_use: int


def create_pool(
    tx: Session,
    *,
    name: str,
    offer: str,
    size: str,
    image: str,
    idle_target: int = 1,
    idle_limit: int = 2,
    building_limit: int = 2,
    machine_limit: int | None = None,
    idle_age_limit_s: float | None = None,
    zone: str = "UTC",
    hours: Sequence[Mapping[str, object]] = (),
    projects: Collection[ProjectId] = (),
    enabled: bool = True,
    now_s: float,
) -> Pool:
    """Return a new pool; it is filled by the next ``apply``. Without ``projects`` it serves everybody.

    Raises InvalidValue naming the field (limits, unknown offer, size or image), AlreadyExists for the name.
    """
    chosen = machine_offer(tx, offer)
    pool = Pool(
        id=PoolId(new_id("pool", now_s)),
        name=name,
        offer_id=chosen.id,
        size=inventory_item(tx, chosen, "size", size).cloud_id,
        image=inventory_item(tx, chosen, "image", image).cloud_id,
        idle_target=idle_target,
        idle_limit=idle_limit,
        building_limit=building_limit,
        machine_limit=machine_limit,
        idle_age_limit_s=idle_age_limit_s,
        zone=zone,
        hours=[dict(each) for each in hours],
        enabled=enabled,
    )
    _refuse_odd({name: rows.value(pool, name) for name in _CHANGEABLE})
    rows.insert(tx, pool, now_s)
    _serve(tx, pool, projects, now_s)
    return pool


def update_pool(
    tx: Session,
    pool: Pool,
    changes: Mapping[str, object],
    now_s: float,
    *,
    projects: Collection[ProjectId] | None = None,
    expected_version: int | None = None,
) -> Pool:
    """Change limits, hours, name, ``enabled``, or the ``projects`` that it serves (None: as before).

    Any change gives a pool that stopped after failures a new beginning.

    Raises InvalidValue for limits that contradict each other or a field that cannot change, Stale, AlreadyExists.
    """
    for field in changes:
        if field not in _CHANGEABLE:
            raise InvalidValue(f"'{field}' of a pool cannot be changed", field=field)
    _refuse_odd({name: changes.get(name, rows.value(pool, name)) for name in _CHANGEABLE})
    rows.update(tx, pool, {**changes, "failures_in_a_row": 0, "reason": ""}, now_s, expected_version)
    if projects is not None:
        _serve(tx, pool, projects, now_s)
    return pool


def remove_pool(tx: Session, pool: Pool, now_s: float, expected_version: int | None = None) -> None:
    """Delete the pool and begin the destruction of what it holds; machines in tenants' hands stay theirs."""
    for machine in machines.held_unclaimed(tx, PoolId(pool.id)):
        dispose(tx, machine, MachineEvent.RETIRE, now_s, reason="its pool was removed")
    tx.execute(
        sql_update(Machine)
        .where(rows.column(Machine, "pool_id") == pool.id)
        .values(pool_id=None)
        .execution_options(synchronize_session=False)
    )
    _serve(tx, pool, (), now_s)
    rows.delete(tx, pool, expected_version)


def counts(tx: Session, pool: Pool) -> PoolCounts:
    """Return what the pool holds now."""
    by_state = machines.counts_of(tx, pool.id)
    return PoolCounts(
        idle=by_state.get(MachineState.IDLE, 0),
        building=by_state.get(MachineState.BUILDING, 0),
        in_use=by_state.get(MachineState.IN_USE, 0),
    )


def _serve(tx: Session, pool: Pool, projects: Collection[ProjectId], now_s: float) -> None:
    for each in rows.where(tx, PoolProject, pool_id=pool.id):
        rows.delete(tx, each)
    for project in sorted(set(projects)):
        rows.insert(tx, PoolProject(pool_id=PoolId(pool.id), project_id=project), now_s)


def _refuse_odd(terms: Mapping[str, Any]) -> None:
    """Raise InvalidValue, naming the field, for terms that contradict each other."""
    idle_target, idle_limit, building_limit, machine_limit = (terms[name] for name in _COUNTS)
    if idle_target < 0:
        raise InvalidValue("idle_target cannot be negative", field="idle_target", fix="0 or more")
    if idle_limit < idle_target:
        raise InvalidValue(
            f"idle_limit ({idle_limit}) is below idle_target ({idle_target}): the pool would destroy what it creates",
            field="idle_limit",
            fix=f"{idle_target} or more",
        )
    if building_limit < 1:
        raise InvalidValue("building_limit must let at least one machine be built", field="building_limit", fix="1")
    if machine_limit is not None and machine_limit < idle_target:
        raise InvalidValue(
            f"machine_limit ({machine_limit}) is below idle_target ({idle_target}): the pool could never be full",
            field="machine_limit",
            fix=f"{idle_target} or more, or none",
        )
    refuse_odd(terms["zone"], terms["hours"], idle_limit if machine_limit is None else min(idle_limit, machine_limit))
