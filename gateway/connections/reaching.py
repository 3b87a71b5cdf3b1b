"""How well each platform is reached by the route in use: taken from what links are known to do, kept for the catalog.

Nothing is measured for it. A platform without a tunnel keeps its last numbers, which grow stale by their date.
"""

from dataclasses import dataclass

from catalog import reachability
from catalog.errors import CloudUnavailable
from catalog.model.ids import PlatformId
from catalog.ports import Clock
from catalog.reachability import Reach
from catalog.store.database import Database
from gateway.connections.choosing import RouteChooser
from gateway.connections.tunnels import LiveConnections


@dataclass(frozen=True, slots=True)
class ReachWatch:
    """Writes down what the links of every route in use show."""

    database: Database
    clock: Clock
    live: LiveConnections
    chooser: RouteChooser

    async def run_once(self) -> int:
        """Keep what is known now, in one transaction, and return how many platforms' rows changed. May be repeated."""
        found = {platform: reach for platform in sorted(self.live.targets()) if (reach := self._reach(platform))}
        if not found:
            return 0
        now_s = self.clock.now_s()
        return await self.database.write(
            lambda tx: sum(reachability.keep(tx, platform, reach, now_s) for platform, reach in found.items())
        )

    def _reach(self, platform: PlatformId) -> Reach | None:
        """Return what is known of the route in use, None while some part of it was never measured."""
        try:
            live = self.live.to_platform(platform)
        except CloudUnavailable:
            return None
        known = self.chooser.standing(live.snapshot, live.route, live.aim)
        if known is None:
            return None
        measured, score = known
        times = [link.measured_at_s for link in measured.links]
        if not times or None in times:
            return None
        return Reach(
            route=live.route.id,
            rtt_ms=measured.rtt_ms,
            loss_ratio=measured.loss_ratio,
            preference=score.preference,
            # As old as what is oldest in it.
            measured_at_s=min(at_s for at_s in times if at_s is not None),
        )
