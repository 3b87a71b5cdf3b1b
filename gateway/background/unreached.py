"""Close what platforms have on offer that nobody reaches: an order for it would only wait for its deadline."""

from dataclasses import dataclass, field

from catalog.model.connection import Connection, ConnectionState
from catalog.model.ids import GrantId, PlatformId
from catalog.model.offering import Offer, OfferState
from catalog.ports import Clock
from catalog.store.database import Database, Tx
from catalog.store.rows import where
from gateway.connections.publishing import Publisher

# A restart, a failover and a change of routes are over by then, and concern no tenant.
UNREACHED_S = 30.0
_REASON = "no connection to this platform is established"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseUnreached:
    """Looks who has something on offer and no connection that is established; ``Publisher.run`` opens it again."""

    database: Database
    clock: Clock
    publisher: Publisher
    since_s: dict[PlatformId, float] = field(default_factory=dict)  # when each was first found out of reach

    async def run_once(self) -> None:
        """Close what has been out of reach for ``UNREACHED_S``. May be repeated."""
        now_s = self.clock.now_s()
        unreached = await self.database.read(_unreached)
        for reached in self.since_s.keys() - unreached.keys():
            del self.since_s[reached]
        await self.publisher.silent(
            {
                grant: _REASON
                for platform, grants in unreached.items()
                if self.since_s.setdefault(platform, now_s) <= now_s - UNREACHED_S
                for grant in grants
            }
        )


def _unreached(tx: Tx) -> dict[PlatformId, list[GrantId]]:
    """Return the grants that are on offer at platforms to which no connection is established, by platform."""
    reached = {connection.target_id for connection in where(tx, Connection, state=ConnectionState.ESTABLISHED)}
    found: dict[PlatformId, list[GrantId]] = {}
    for offer in where(tx, Offer, state=OfferState.OFFERED):
        if offer.platform_id not in reached:
            found.setdefault(offer.platform_id, []).append(GrantId(offer.grant_id))
    return found
