"""Start and stop machines by their schedules: what has to change is changed, the rest is only noted.

An edge counts as settled once it is written down, and nothing else that matters is remembered: a machine whose cloud is
out of reach is tried again until the next edge says otherwise. A visit may last minutes, so each edge is looked at once
more before anything is done about it: who started a machine meanwhile, or changed its schedule, is not overruled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from catalog.clouds import Clouds
from catalog.costs.stops import refuse_start
from catalog.model.ids import PlatformId
from catalog.model.machine import Machine
from catalog.model.schedule import Schedule
from catalog.ports import Clock
from catalog.schedules import keeping
from catalog.schedules.windows import Edge
from catalog.store import rows, schedules
from catalog.store.database import Database, Tx
from gateway.background.bringing import Bringing, Outcome
from gateway.background.in_turn import InTurn
from gateway.background.rounds import Visit

# Of what is due at one look; the next look goes on after them, so that what cannot be settled keeps nobody waiting.
SCHEDULES_A_LOOK = 1000
MACHINES_A_LOOK = 1000  # of one schedule, at one platform


@dataclass(slots=True, kw_only=True)
class KeepSchedules:
    """The work; it may be repeated and cut off anywhere."""

    database: Database
    clock: Clock
    clouds: Clouds
    in_turn: InTurn = field(default_factory=InTurn)
    _after: Schedule | None = None  # the last one of the look before, None: begin with the longest due

    async def due(self) -> Mapping[PlatformId, Visit]:
        """Return the visits to the platforms whose machines have an edge before them."""
        now_s, after = self.clock.now_s(), self._after
        found = await self.database.read(lambda tx: _before_edges(tx, now_s, after))
        self._after = found[-1][0] if len(found) == SCHEDULES_A_LOOK else None
        over = [schedule.id for schedule, edge, machines in found if edge is None or not machines]
        if over:
            await self.database.write(lambda tx: _advance(tx, over, now_s))
        coming = {machine.id: (machine, edge) for _, edge, machines in found if edge for machine in machines}
        return self.in_turn.visits(
            [machine for machine, _ in coming.values()],
            lambda machine: self._settle(machine, coming[machine.id][1]),
        )

    async def _settle(self, machine: Machine, edge: Edge) -> None:
        """Bring the machine to where the edge says, unless somebody took it in hand. Raises what may pass."""
        bringing = Bringing(database=self.database, clock=self.clock, clouds=self.clouds)
        await bringing.bring(
            machine,
            runs=edge.runs,
            holds=partial(_holds, machine.id, edge),
            note=partial(_note, machine.id, edge),
        )


def _before_edges(
    tx: Tx, now_s: float, after: Schedule | None
) -> list[tuple[Schedule, Edge | None, Sequence[Machine]]]:
    """Return the schedules that are due, each with its newest edge and the machines that have not seen it."""
    found = []
    for schedule in schedules.due(tx, now_s, SCHEDULES_A_LOOK, after=after):
        edge = keeping.edge_before(schedule, now_s)
        machines = () if edge is None else schedules.before_edge(tx, schedule, edge.at_s, MACHINES_A_LOOK)
        found.append((schedule, edge, machines))
    return found


def _advance(tx: Tx, over: Sequence[str], now_s: float) -> None:
    for each in over:
        keeping.advance(tx, each, now_s)


def _holds(machine_id: str, edge: Edge, tx: Tx, now_s: float) -> bool:
    """Return whether the edge is still before the machine. Raises BudgetExceeded for a start that no budget allows."""
    machine = rows.by_id(tx, Machine, machine_id)
    if not keeping.is_before(tx, machine, edge, now_s):
        return False
    if edge.runs:
        refuse_start(tx, machine.project_id, now_s)
    return True


def _note(machine_id: str, edge: Edge, tx: Tx, now_s: float, outcome: Outcome) -> None:
    keeping.settle(tx, machine_id, edge, now_s, was_changed=outcome.was_changed, failure=outcome.failure)
