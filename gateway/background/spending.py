"""Stop the machines of those whose budget is spent, where it says so; see ``catalog.costs.stops``."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from catalog.clouds import Clouds
from catalog.costs import stops
from catalog.errors import CatalogError
from catalog.model.ids import PlatformId
from catalog.model.machine import Machine
from catalog.ports import Clock
from catalog.store.database import Database, Tx
from gateway.background.in_turn import InTurn
from gateway.background.refresh_machines import RefreshMachines
from gateway.background.rounds import Rounds, Visit
from gateway.background.schedules import KeepSchedules, bring

log = logging.getLogger(__name__)

MACHINES_A_LOOK = 1000  # for one budget, at one platform


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSpending:
    """The work; a machine whose cloud is out of reach is tried again with the next look."""

    database: Database
    clock: Clock
    clouds: Clouds
    in_turn: InTurn = field(default_factory=InTurn)

    async def due(self) -> Mapping[PlatformId, Visit]:
        """Announce what will stop, and return the visits to the platforms of machines that have to."""
        now_s = self.clock.now_s()
        if await self.database.read(lambda tx: stops.is_announcement_due(tx, now_s)):
            await self.database.write(lambda tx: stops.announce(tx, now_s))
        by_platform: dict[PlatformId, list[Machine]] = {}
        for machine in await self.database.read(lambda tx: stops.to_stop(tx, now_s, MACHINES_A_LOOK)):
            by_platform.setdefault(machine.platform_id, []).append(machine)
        return {
            platform: partial(self.in_turn.each, platform, machines, self._stop)
            for platform, machines in by_platform.items()
        }

    async def _stop(self, machine: Machine) -> None:
        """Stop the machine, unless that has become needless while others were stopped. Raises what may pass."""
        failure, was_changed = "", False
        now_s = self.clock.now_s()
        if not await self.database.read(lambda tx: stops.has_to_stop(tx, machine.id, now_s)):
            return
        try:
            was_changed = await bring(self.clouds, machine, runs=False)
        except CatalogError as error:
            if error.retryable:
                raise
            failure = str(error)
            log.warning("stop for a budget failed", extra={"machine": machine.id, "code": error.code})
        note = partial(_note, machine, self.clock.now_s(), was_changed=was_changed, failure=failure)
        await self.database.write(note)


def machine_work(database: Database, clock: Clock, clouds: Clouds) -> Sequence[Rounds]:
    """Return the work at clouds that keeps machines as they should be: looked at, by the clock, within their budget."""
    machines = RefreshMachines(database=database, clock=clock, clouds=clouds)
    schedules = KeepSchedules(database=database, clock=clock, clouds=clouds)
    spending = StopSpending(database=database, clock=clock, clouds=clouds)
    return (
        Rounds("machines", machines.due, period_s=60.0, visit_timeout_s=300.0, is_always_due=True),
        Rounds("schedules", schedules.due, period_s=15.0, visit_timeout_s=300.0),
        Rounds("spending", spending.due, period_s=60.0, visit_timeout_s=300.0),
    )


def _note(machine: Machine, now_s: float, tx: Tx, *, was_changed: bool, failure: str) -> None:
    stops.note_stop(tx, machine.id, now_s, was_changed=was_changed, failure=failure)
