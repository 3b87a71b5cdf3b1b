"""Bring grants to their end: ask owners who have yet to say, expire what is over, publish what was accepted."""

import asyncio
import logging
from dataclasses import dataclass

from catalog.consent import apply_rules, expire_due
from catalog.model.connection import Connection, ConnectionState
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import PlatformId
from catalog.model.offering import Offer, OfferState
from catalog.ports import Clock
from catalog.store.database import Database, Tx
from catalog.store.rows import where
from gateway.background.runner import contained
from gateway.connections.clouds import RoutedClouds
from gateway.connections.handshake import Handshake, has_connector
from gateway.connections.publishing import Publisher
from gateway.connections.steps import KNOWN_ERRORS
from gateway.connections.tunnels import LiveConnections

log = logging.getLogger(__name__)

# So many sick platforms can each use up every deadline before the others have to wait.
AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleGrants:
    """Looks at every platform that can be reached now; one sick platform does not stop the others."""

    database: Database
    clock: Clock
    live: LiveConnections
    clouds: RoutedClouds
    handshake: Handshake
    publisher: Publisher

    async def run_once(self) -> None:
        """Do what is due. May be repeated at any time."""
        now_s = self.clock.now_s()
        await self.database.write(lambda tx: expire_due(tx, now_s))
        unanswered, unpublished = await self.database.read(_due)
        turns = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for platform in sorted((unanswered | unpublished) & self.live.targets()):
                tasks.create_task(self._settled(platform, turns, ask=platform in unanswered))

    async def _settled(self, platform: PlatformId, turns: asyncio.Semaphore, *, ask: bool) -> None:
        async with turns:
            try:
                await contained(lambda: self._settle(platform, ask=ask), KNOWN_ERRORS)
            except KNOWN_ERRORS as error:
                log.info("grants not settled yet", extra={"platform": platform, "code": error.code})

    async def _settle(self, platform: PlatformId, *, ask: bool) -> None:
        live = self.live.to_platform(platform)
        if ask:
            driver = await self.clouds.ungranted(platform)
            await self.handshake.run(live, await driver.log_in())
        now_s = self.clock.now_s()
        await self.database.write(lambda tx: apply_rules(tx, platform, now_s))
        await self.publisher.run(platform)


def _due(tx: Tx) -> tuple[set[PlatformId], set[PlatformId]]:
    """Return the platforms whose owner has yet to answer, and those with an accepted grant that is not on offer."""
    unanswered = {grant.platform_id for grant in where(tx, Grant, state=GrantState.REQUESTED)}
    offered = {offer.grant_id for offer in where(tx, Offer, state=OfferState.OFFERED)}
    accepted = where(tx, Grant, state=GrantState.ACCEPTED)
    return unanswered | _never_asked(tx), {grant.platform_id for grant in accepted if grant.id not in offered}


def _never_asked(tx: Tx) -> set[PlatformId]:
    """Return the platforms whose connector was approved only after their connection was established."""
    connected = {connection.target_id for connection in where(tx, Connection, state=ConnectionState.ESTABLISHED)}
    asked = {grant.platform_id for grant in where(tx, Grant)}
    return {platform for platform in connected - asked if has_connector(tx, platform)}
