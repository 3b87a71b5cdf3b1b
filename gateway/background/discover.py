"""Look again and again what accounts can really do: a right that is new can be asked for, one that is gone is told."""

import asyncio
import logging
from dataclasses import dataclass, field

from catalog import rights
from catalog.model.ids import PlatformId
from catalog.ports import Clock
from catalog.store.database import Database
from gateway.background.backoff import Backoff
from gateway.background.runner import contained
from gateway.connections.publishing import Publisher
from gateway.connections.steps import KNOWN_ERRORS
from gateway.connections.tunnels import LiveConnections

log = logging.getLogger(__name__)

AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Discover:
    """Looks at every platform that can be reached, each once in ``period_s``; a sick one does not stop the others."""

    database: Database
    clock: Clock
    live: LiveConnections
    publisher: Publisher
    period_s: float
    failing: Backoff[PlatformId] = field(default_factory=Backoff)

    async def run_once(self) -> None:
        """Look at those that are due. May be repeated at any time."""
        now_s = self.clock.now_s()
        reached = self.live.targets()
        due = await self.database.read(lambda tx: rights.due(tx, reached, now_s - self.period_s))
        turns = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for platform in sorted(due):
                if self.failing.is_due(platform, now_s):
                    tasks.create_task(self._looked_at(platform, turns))

    async def _looked_at(self, platform: PlatformId, turns: asyncio.Semaphore) -> None:
        async with turns:
            try:
                await contained(lambda: self.publisher.discover(platform), KNOWN_ERRORS)
            except KNOWN_ERRORS as error:
                self.failing.failed(platform, self.clock.now_s())
                log.info("rights not looked at", extra={"platform": platform, "code": error.code})
            else:
                self.failing.cleared(platform)
