"""Start or stop a machine for a reason that may have passed: it is looked at once more, acted on if need be, and noted.

The one way in which what nobody asks for by hand, schedules and budgets, reaches a machine.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from catalog.clouds import Clouds, MachineAction, MachineStatus
from catalog.errors import CatalogError
from catalog.model.machine import Machine
from catalog.ports import Clock
from catalog.store.database import Database, Tx

log = logging.getLogger(__name__)

_RUNS = frozenset({MachineStatus.RUNNING, MachineStatus.PENDING})
_STANDS = frozenset({MachineStatus.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it went; with neither the machine was as it should be, or in no state to be changed."""

    was_changed: bool = False
    failure: str = ""  # why it cannot be done, in words for its project


@dataclass(frozen=True, slots=True, kw_only=True)
class Bringing:
    """What it takes; may be repeated and cut off anywhere."""

    database: Database
    clock: Clock
    clouds: Clouds

    async def bring(
        self,
        machine: Machine,
        *,
        runs: bool,
        holds: Callable[[Tx, float], bool],
        note: Callable[[Tx, float, Outcome], object],
    ) -> None:
        """Have the machine run, or stand, if ``holds`` still says so now, and ``note`` how it went.

        What ``holds`` or the cloud refuses for good is noted as the failure. Raises what may pass; nothing is noted.
        """
        outcome = Outcome()
        now_s = self.clock.now_s()
        try:
            if not await self.database.read(lambda tx: holds(tx, now_s)):
                return
            outcome = Outcome(was_changed=await self._act(machine, runs=runs))
        except CatalogError as error:
            if error.retryable:
                raise
            outcome = Outcome(failure=str(error))
            log.warning("machine not brought", extra={"machine": machine.id, "runs": runs, "code": error.code})
        noted_s = self.clock.now_s()
        await self.database.write(lambda tx: note(tx, noted_s, outcome))

    async def _act(self, machine: Machine, *, runs: bool) -> bool:
        """Return whether anything was asked of the cloud.

        A machine that the cloud has not got, or that is in neither state, is let be.
        """
        if machine.cloud_id is None:
            return False
        driver = await self.clouds.driver(machine.platform_id)
        seen = await driver.machine(machine.cloud_id)
        if seen is None or seen.status not in (_STANDS if runs else _RUNS):
            return False
        await driver.act(machine.cloud_id, MachineAction.START if runs else MachineAction.STOP)
        return True
