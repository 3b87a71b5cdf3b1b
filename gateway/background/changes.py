"""Go on with what was asked of a machine's cloud and is not known to be done, once nobody waits for it any more.

The gateway was ended in the middle, or the cloud did not answer: a resize is confirmed late, or never begun.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from catalog import changing
from catalog.clouds import Clouds
from catalog.errors import CloudRefused
from catalog.model.ids import PlatformId
from catalog.model.machine import Machine
from catalog.ports import Clock
from catalog.store.database import Database
from gateway.background.in_turn import InTurn
from gateway.background.rounds import Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishChanges:
    """Asks again for what may be asked again; a rebuild may not: the machine may be in use since."""

    database: Database
    clock: Clock
    clouds: Clouds
    in_turn: InTurn = field(default_factory=InTurn)

    async def due(self) -> Mapping[PlatformId, Visit]:
        """Return the platforms with machines that something was asked for."""
        now_s = self.clock.now_s()
        return self.in_turn.visits(await self.database.read(lambda tx: changing.left_alone(tx, now_s)), self._finish)

    async def _finish(self, machine: Machine) -> None:
        """Have the machine become what it shall be, or take that back. Raises what may pass."""
        change = changing.change_of(machine)
        try:
            if change.deed != changing.REBUILD:
                await changing.ask(await self.clouds.driver(change.platform_id), change)
        except CloudRefused:
            await self.database.write(lambda tx: changing.take_back(tx, change, self.clock.now_s()))
            return
        await self.database.write(lambda tx: changing.done(tx, change, self.clock.now_s()))
