"""Look again and again what accounts can really do: a right that is new can be asked for, one that is gone is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf

from catalog import rights
from catalog.model.ids import PlatformId
from catalog.ports import Clock
from catalog.store.database import Database
from gateway.background.backoff import Backoff
from gateway.background.rounds import Visit
from gateway.connections.publishing import Publisher
from gateway.connections.tunnels import LiveConnections


@dataclass(frozen=True, slots=True, kw_only=True)
class Discover:
    """Looks at every platform that can be reached, each once in ``period_s``."""

    database: Database
    clock: Clock
    live: LiveConnections
    publisher: Publisher
    period_s: float
    failing: Backoff[PlatformId] = field(default_factory=Backoff)
    looked_at_s: dict[PlatformId, float] = field(default_factory=dict)

    async def due(self) -> Mapping[PlatformId, Visit]:
        """Return whom to look at now."""
        now_s = self.clock.now_s()
        reached = self.live.targets()
        due = await self.database.read(lambda tx: rights.due(tx, reached, now_s - self.period_s))
        return {
            each: partial(self._look_at, each)
            for each in due
            # A right that a driver proves no more stays old, and is no reason to look again at once.
            if self.failing.is_due(each, now_s) and self.looked_at_s.get(each, -inf) <= now_s - self.period_s
        }

    async def _look_at(self, platform: PlatformId) -> None:
        # Until it ends well it failed, however it ends: cut off at its deadline, too.
        self.failing.failed(platform, self.clock.now_s())
        await self.publisher.discover(platform)
        self.failing.cleared(platform)
        self.looked_at_s[platform] = self.clock.now_s()
