"""Stop the machines of those whose budget is spent, where it says so; see ``catalog.costs.stops``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from catalog.clouds import Clouds
from catalog.costs import stops
from catalog.model.ids import PlatformId
from catalog.model.machine import Machine
from catalog.ports import Clock
from catalog.store.database import Database, Tx
from gateway.background.bringing import Bringing, Outcome
from gateway.background.in_turn import InTurn
from gateway.background.rounds import Visit

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
        machines = await self.database.read(lambda tx: stops.to_stop(tx, now_s, MACHINES_A_LOOK))
        return self.in_turn.visits(machines, self._stop)

    async def _stop(self, machine: Machine) -> None:
        """Stop the machine, unless that has become needless while others were stopped. Raises what may pass."""
        bringing = Bringing(database=self.database, clock=self.clock, clouds=self.clouds)
        await bringing.bring(
            machine,
            runs=False,
            holds=lambda tx, now_s: stops.has_to_stop(tx, machine.id, now_s),
            note=partial(_note, machine.id),
        )


def _note(machine_id: str, tx: Tx, now_s: float, outcome: Outcome) -> None:
    stops.note_stop(tx, machine_id, now_s, was_changed=outcome.was_changed, failure=outcome.failure)
