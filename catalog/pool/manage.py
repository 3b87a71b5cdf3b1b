"""Create, change and remove pools, and count what they hold."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import update as sql_update
from sqlmodel import Session

from catalog.errors import InvalidValue
from catalog.machines import dispose
from catalog.model.ids import PoolId, new_id
from catalog.model.machine import Machine, MachineEvent, MachineState, Pool
from catalog.orders.choose import inventory_item, machine_offer
from catalog.store import machines, rows

_CHANGEABLE = {"idle_target", "idle_limit", "building_limit", "enabled", "name"}


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
    enabled: bool = True,
    now_s: float,
) -> Pool:
    """Return a new pool; it is filled by the next ``apply``.

    Raises InvalidValue naming the field (limits, unknown offer, size or image), AlreadyExists for the name.
    """
    _check_limits(idle_target, idle_limit, building_limit)
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
        enabled=enabled,
    )
    return rows.insert(tx, pool, now_s)


def update_pool(
    tx: Session, pool: Pool, changes: Mapping[str, object], now_s: float, expected_version: int | None = None
) -> Pool:
    """Change limits, name or ``enabled``. Any change gives a pool that stopped after failures a new beginning.

    Raises InvalidValue for limits that contradict each other or a field that cannot change, Stale, AlreadyExists.
    """
    for field in changes:
        if field not in _CHANGEABLE:
            raise InvalidValue(f"'{field}' of a pool cannot be changed", field=field)
    after = {name: changes.get(name, rows.value(pool, name)) for name in _CHANGEABLE}
    _check_limits(*(int(str(after[name])) for name in ("idle_target", "idle_limit", "building_limit")))
    return rows.update(tx, pool, {**changes, "failures_in_a_row": 0, "reason": ""}, now_s, expected_version)


def remove_pool(tx: Session, pool: Pool, now_s: float, expected_version: int | None = None) -> None:
    """Delete the pool and begin the destruction of what it holds; machines in tenants' hands stay theirs."""
    for machine in rows.where(tx, Machine, pool_id=pool.id):
        if machine.state in (MachineState.IDLE, MachineState.BUILDING):
            dispose(tx, machine, MachineEvent.RETIRE, now_s, reason="its pool was removed")
    tx.execute(
        sql_update(Machine)
        .where(rows.column(Machine, "pool_id") == pool.id)
        .values(pool_id=None)
        .execution_options(synchronize_session=False)
    )
    rows.delete(tx, pool, expected_version)


def counts(tx: Session, pool: Pool) -> PoolCounts:
    """Return what the pool holds now."""
    by_state = machines.counts_of(tx, pool.id)
    return PoolCounts(
        idle=by_state.get(MachineState.IDLE, 0),
        building=by_state.get(MachineState.BUILDING, 0),
        in_use=by_state.get(MachineState.IN_USE, 0),
    )


def _check_limits(idle_target: int, idle_limit: int, building_limit: int) -> None:
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
