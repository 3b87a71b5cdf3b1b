"""Start and stop machines by their schedules: what has to change is changed, the rest is only noted.

Nothing is remembered here. An edge counts as settled once it is written down, so a machine whose cloud is out of reach
is tried again until the next edge says otherwise.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from catalog.clouds import Clouds, MachineAction, MachineStatus
from catalog.errors import CatalogError
from catalog.model.ids import PlatformId
from catalog.model.machine import Machine
from catalog.model.schedule import Schedule
from catalog.ports import Clock
from catalog.schedules import keeping
from catalog.schedules.windows import Edge
from catalog.store import schedules
from catalog.store.database import Database

log = logging.getLogger(__name__)

SCHEDULES_A_RUN = 20
MACHINES_A_RUN = 100  # of one schedule
AT_ONCE = 8

_RUNS = frozenset({MachineStatus.RUNNING, MachineStatus.PENDING})
_STANDS = frozenset({MachineStatus.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSchedules:
    """The task; its runs may be repeated and cut off anywhere."""

    database: Database
    clock: Clock
    clouds: Clouds

    async def run_once(self) -> int:
        """Return for how many machines an edge was settled."""
        now_s = self.clock.now_s()
        due = await self.database.read(lambda tx: schedules.due(tx, now_s, SCHEDULES_A_RUN))
        settled = 0
        for schedule in due:
            settled += await self._keep(schedule, now_s)
        return settled

    async def _keep(self, schedule: Schedule, now_s: float) -> int:
        edge = keeping.edge_before(schedule, now_s)
        machines: Sequence[Machine] = ()
        if edge is not None:
            at_s = edge.at_s
            machines = await self.database.read(lambda tx: schedules.before_edge(tx, schedule, at_s, MACHINES_A_RUN))
        turns = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            doing = [tasks.create_task(self._settle(each, edge, turns)) for each in machines if edge is not None]
        done = [each.result() for each in doing]
        if all(done) and len(machines) < MACHINES_A_RUN:
            await self.database.write(lambda tx: keeping.advance(tx, schedule.id, now_s))
        return sum(done)

    async def _settle(self, machine: Machine, edge: Edge, turns: asyncio.Semaphore) -> bool:
        """Bring the machine to where ``edge`` says, and note it; False: its cloud is to be asked again."""
        async with turns:
            failure, was_changed = "", False
            try:
                was_changed = await bring(self.clouds, machine, runs=edge.runs)
            except CatalogError as error:
                if error.retryable:
                    log.debug("machine not scheduled", extra={"machine": machine.id, "code": error.code})
                    return False
                failure = str(error)
                log.warning("schedule failed", extra={"machine": machine.id, "code": error.code})
        now_s = self.clock.now_s()
        await self.database.write(
            lambda tx: keeping.settle(tx, machine.id, edge, now_s, was_changed=was_changed, failure=failure)
        )
        return True


async def bring(clouds: Clouds, machine: Machine, *, runs: bool) -> bool:
    """Have the machine's cloud start it, or stop it, unless it does so already; return whether anything was asked.

    Raises CloudError. A machine that the cloud has not got, or that is in neither state, is let be.
    """
    if machine.cloud_id is None:
        return False
    driver = await clouds.driver(PlatformId(machine.platform_id))
    seen = await driver.machine(machine.cloud_id)
    if seen is None or seen.status not in (_STANDS if runs else _RUNS):
        return False
    await driver.act(machine.cloud_id, MachineAction.START if runs else MachineAction.STOP)
    return True
