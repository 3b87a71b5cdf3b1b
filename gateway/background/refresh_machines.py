"""Keep what is known of each machine in step with its cloud (S2 step 7, the machines' half).

An idle machine that its cloud lost or could not keep is disposed of, and its pool makes another.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from catalog.clouds import Clouds, MachineStatus
from catalog.errors import CatalogError
from catalog.machines import dispose
from catalog.model.ids import PlatformId
from catalog.model.machine import Machine, MachineEvent, MachineState
from catalog.ports import Clock
from catalog.store.database import Database, Tx
from catalog.store.rows import by_id, update, where
from gateway.background.in_turn import InTurn
from gateway.background.rounds import Visit

log = logging.getLogger(__name__)

DELIVERED = frozenset({MachineState.IDLE, MachineState.IN_USE})
# A stopped one is kept, and not handed out: whoever stopped it may start it again.
LOST = frozenset({MachineStatus.GONE, MachineStatus.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshMachines:
    """Reads every delivered machine by its id; what a cloud does not say is left as it was."""

    database: Database
    clock: Clock
    clouds: Clouds
    in_turn: InTurn = field(default_factory=InTurn)

    async def due(self) -> Mapping[PlatformId, Visit]:
        """Return the platforms with machines to read."""
        return self.in_turn.visits(await self.database.read(_delivered), self._read)

    async def _read(self, machine: Machine) -> None:
        """Read the machine; one that the cloud does not tell about is left as it was. Raises what may pass."""
        try:
            await self._refresh(machine)
        except CatalogError as error:
            log.debug("machine not refreshed", extra={"machine": machine.id, "code": error.code})
            if error.retryable:
                raise

    async def _refresh(self, machine: Machine) -> None:
        if machine.cloud_id is None:
            return
        driver = await self.clouds.driver(machine.platform_id)
        seen = await driver.machine(machine.cloud_id)
        status = seen.status if seen is not None else MachineStatus.GONE
        if status is MachineStatus.UNKNOWN:
            return
        reason = "" if status in (MachineStatus.RUNNING, MachineStatus.PENDING) else f"the cloud says: {status.value}"
        addresses = list(seen.addresses) if seen is not None else machine.addresses
        useless = machine.state is MachineState.IDLE and status in LOST
        if (addresses, reason) == (machine.addresses, machine.reason) and not useless:
            return
        now_s = self.clock.now_s()

        def work(tx: Tx) -> None:
            held = by_id(tx, Machine, machine.id)
            if held.state not in DELIVERED:
                return  # destroyed or given back while the cloud was asked
            if useless and held.state is MachineState.IDLE:
                dispose(tx, held, MachineEvent.RETIRE, now_s, reason=reason)
            else:
                update(tx, held, {"addresses": addresses, "reason": reason}, now_s)

        await self.database.write(work)


def _delivered(tx: Tx) -> Sequence[Machine]:
    return where(tx, Machine, state=DELIVERED)
