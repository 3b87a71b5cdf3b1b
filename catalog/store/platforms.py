"""Queries on platforms that the general ones cannot say."""

from sqlmodel import col, select

from catalog.model.ids import PlatformId
from catalog.model.machine import Machine, MachineState
from catalog.store.database import Tx


def has_machines(tx: Tx, platform_id: PlatformId) -> bool:
    """Return whether a machine that is not gone is at the platform."""
    alive = select(Machine.id).where(col(Machine.platform_id) == platform_id, col(Machine.state) != MachineState.GONE)
    return tx.exec(alive.limit(1)).first() is not None
