"""Keep what is known of each machine in step with its cloud (S2 step 7, the machines' half)."""

import logging
from dataclasses import dataclass

from catalog.errors import CatalogError
from catalog.model.machine import Machine, MachineState
from catalog.ports import Clock, Clouds, MachineStatus
from catalog.store.database import Database, Tx
from catalog.store.rows import by_id, update, where

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshMachines:
    """Reads every delivered machine by its id; what a cloud does not say is left as it was."""

    database: Database
    clock: Clock
    clouds: Clouds

    async def run_once(self) -> int:
        """Return how many machines had changed. A platform out of reach changes nothing."""
        return sum([await self._refresh(machine) for machine in await self.database.read(_delivered)])

    async def _refresh(self, machine: Machine) -> bool:
        if machine.cloud_id is None:
            return False
        try:
            driver = await self.clouds.driver(machine.platform_id)
            seen = await driver.machine(machine.cloud_id)
        except CatalogError as error:
            log.debug("machine not refreshed", extra={"machine": machine.id, "code": error.code})
            return False
        status = seen.status if seen is not None else MachineStatus.GONE
        reason = "" if status in (MachineStatus.RUNNING, MachineStatus.PENDING) else f"the cloud says: {status.value}"
        addresses = list(seen.addresses) if seen is not None else machine.addresses
        if (addresses, reason) == (machine.addresses, machine.reason):
            return False
        now_s = self.clock.now_s()

        def work(tx: Tx) -> None:
            update(tx, by_id(tx, Machine, machine.id), {"addresses": addresses, "reason": reason}, now_s)

        await self.database.write(work)
        return True


def _delivered(tx: Tx) -> list[Machine]:
    return [
        machine for state in (MachineState.IDLE, MachineState.IN_USE) for machine in where(tx, Machine, state=state)
    ]
