"""Start and stop machines by their schedules: what has to change is changed, the rest is only noted.

Nothing is remembered here. An edge counts as settled once it is written down, so a machine whose cloud is out of reach
is tried again until the next edge says otherwise.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from catalog.clouds import Clouds, MachineAction, MachineStatus
from catalog.costs.stops import refuse_start
from catalog.errors import CatalogError
from catalog.model.ids import PlatformId
from catalog.model.machine import Machine
from catalog.model.schedule import Schedule
from catalog.ports import Clock
from catalog.schedules import keeping
from catalog.schedules.windows import Edge
from catalog.store import schedules
from catalog.store.database import Database, Tx
from gateway.background.rounds import Visit

log = logging.getLogger(__name__)

# Of what is due at one look; more than one platform that does not answer is likely to have.
SCHEDULES_A_LOOK = 1000
MACHINES_A_LOOK = 1000  # of one schedule

_RUNS = frozenset({MachineStatus.RUNNING, MachineStatus.PENDING})
_STANDS = frozenset({MachineStatus.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSchedules:
    """The work; it may be repeated and cut off anywhere."""

    database: Database
    clock: Clock
    clouds: Clouds

    async def due(self) -> Mapping[PlatformId, Visit]:
        """Return the visits to the platforms whose machines have an edge before them."""
        now_s = self.clock.now_s()
        found = await self.database.read(lambda tx: _before_edges(tx, now_s))
        over = [schedule.id for schedule, edge, machines in found if edge is None or not machines]
        if over:
            await self.database.write(lambda tx: _advance(tx, over, now_s))
        by_platform: dict[PlatformId, list[tuple[Machine, Edge]]] = {}
        for _, edge, machines in found:
            for machine in machines:
                assert edge is not None
                by_platform.setdefault(machine.platform_id, []).append((machine, edge))
        return {platform: partial(self._settle_all, each) for platform, each in by_platform.items()}

    async def _settle_all(self, coming: Sequence[tuple[Machine, Edge]]) -> None:
        """Bring machines of one platform to where their edges say; a platform out of reach ends the visit."""
        for machine, edge in coming:
            failure, was_changed = "", False
            try:
                if edge.runs:
                    await self.database.read(partial(_refuse_start, machine, self.clock.now_s()))
                was_changed = await bring(self.clouds, machine, runs=edge.runs)
            except CatalogError as error:
                if error.retryable:
                    raise
                failure = str(error)
                log.warning("schedule failed", extra={"machine": machine.id, "code": error.code})
            settle = partial(_settle, machine, edge, self.clock.now_s(), was_changed=was_changed, failure=failure)
            await self.database.write(settle)


async def bring(clouds: Clouds, machine: Machine, *, runs: bool) -> bool:
    """Have the machine's cloud start it, or stop it, unless it does so already; return whether anything was asked.

    Raises CloudError. A machine that the cloud has not got, or that is in neither state, is let be.
    """
    if machine.cloud_id is None:
        return False
    driver = await clouds.driver(machine.platform_id)
    seen = await driver.machine(machine.cloud_id)
    if seen is None or seen.status not in (_STANDS if runs else _RUNS):
        return False
    await driver.act(machine.cloud_id, MachineAction.START if runs else MachineAction.STOP)
    return True


def _before_edges(tx: Tx, now_s: float) -> list[tuple[Schedule, Edge | None, Sequence[Machine]]]:
    """Return the schedules that are due, each with its newest edge and the machines that have not seen it."""
    found = []
    for schedule in schedules.due(tx, now_s, SCHEDULES_A_LOOK):
        edge = keeping.edge_before(schedule, now_s)
        machines = () if edge is None else schedules.before_edge(tx, schedule, edge.at_s, MACHINES_A_LOOK)
        found.append((schedule, edge, machines))
    return found


def _advance(tx: Tx, over: Sequence[str], now_s: float) -> None:
    for each in over:
        keeping.advance(tx, each, now_s)


def _refuse_start(machine: Machine, now_s: float, tx: Tx) -> None:
    refuse_start(tx, machine.project_id, now_s)


def _settle(machine: Machine, edge: Edge, now_s: float, tx: Tx, *, was_changed: bool, failure: str) -> None:
    keeping.settle(tx, machine.id, edge, now_s, was_changed=was_changed, failure=failure)
