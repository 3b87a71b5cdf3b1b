"""Bring grants to their end: ask owners who have yet to say, renew what is ending, publish what was accepted."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

from catalog import grant_rules
from catalog.model.connection import Connection, ConnectionState
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import GrantId, PlatformId
from catalog.ports import Clock
from catalog.publish import outdated
from catalog.store.consent import ending
from catalog.store.database import Database, Tx
from catalog.store.rows import where
from gateway.background.backoff import Backoff
from gateway.background.renewals import Renewals
from gateway.background.rounds import Visit
from gateway.connections.clouds import RoutedClouds
from gateway.connections.handshake import Handshake, has_connector
from gateway.connections.publishing import Attempt, Publisher
from gateway.connections.steps import KNOWN_ERRORS
from gateway.connections.tunnels import LiveConnections

log = logging.getLogger(__name__)

# What is not answered for so often in a row is not on offer: once may be the network's moment.
SILENT_AFTER_COUNT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleGrants:
    """Looks at every platform that can be reached now."""

    database: Database
    clock: Clock
    live: LiveConnections
    clouds: RoutedClouds
    handshake: Handshake
    publisher: Publisher
    read_again_s: float = 3600.0  # how often what a platform offers is proved and its inventory read
    renewals: Renewals = field(default_factory=Renewals)
    publishing: Backoff[GrantId] = field(default_factory=Backoff)
    # A cloud that does not answer may answer any moment; one that says no rarely changes its mind.
    reaching: Backoff[GrantId] = field(default_factory=lambda: Backoff(longest_s=60.0))
    silences: Counter[GrantId] = field(default_factory=Counter)  # how often in a row nobody answered for it

    async def due(self) -> Mapping[PlatformId, Visit]:
        """Return at whom there is something to do now."""
        now_s = self.clock.now_s()
        unanswered, ending, unpublished = await self.database.read(lambda tx: _due(tx, now_s, self.read_again_s))
        renew = self.renewals.due(ending, now_s)
        wanted = unanswered | renew.keys() | self._due_to_publish(unpublished, now_s)
        return {
            each: partial(self._settle, each, ask=each in unanswered, renew=renew.get(each, ()))
            for each in wanted & self.live.targets()
        }

    async def _settle(self, platform: PlatformId, *, ask: bool, renew: Sequence[str]) -> None:
        try:
            if ask:
                driver = await self.clouds.ungranted(platform)
                await self.handshake.run(self.live.to_platform(platform), await driver.log_in())
            if renew:
                await self._renew(platform, renew)
        except KNOWN_ERRORS as error:
            log.info("owner not asked yet", extra={"platform": platform, "code": error.code})
        # Whatever becomes of the question: what is accepted goes on offer.
        now_s = self.clock.now_s()
        await self.database.write(lambda tx: grant_rules.apply(tx, platform, now_s))
        await self._publish(platform)

    async def _renew(self, platform: PlatformId, capabilities: Sequence[str]) -> None:
        """Ask the owner for what ends soon, or has ended, under an id that stays the same until it is answered."""
        request_id = self.renewals.begun(platform, self.clock.now_s())
        driver = await self.clouds.ungranted(platform)
        live = self.live.to_platform(platform)
        decision = await self.handshake.renew(live, await driver.log_in(), capabilities, request_id)
        if not decision.pending:
            self.renewals.answered(platform)

    async def _publish(self, platform: PlatformId) -> None:
        """Prove, read and publish if any of the platform's grants is due for it; note which did not get better."""
        before = await self._outdated(platform)
        now_s = self.clock.now_s()
        due = {grant.id for grant in before if self._is_due(grant, now_s)}
        if not due:
            return
        tried, attempt = await self._to_try(platform, due), Attempt()
        doubtful = {grant.id for grant in tried if self.silences[grant.id] >= SILENT_AFTER_COUNT}
        try:
            await self.publisher.attempt(platform, tried, attempt, doubtful=doubtful)
        finally:
            # Cut off at the end of its time, too: then the rest is nobody's silence, and tried again all the same.
            for grant in tried:
                self._note(GrantId(grant.id), attempt)
        # Not by age: reading all that a slow platform grants may take longer than what it says is to be believed.
        left = {grant.id for grant in await self._outdated(platform, age_s=inf)}
        for grant in before:
            if grant.id in attempt.answered and grant.id in left:
                self.publishing.failed(grant.id, self.clock.now_s())
            elif grant.id in attempt.answered:
                self.publishing.cleared(grant.id)
        silent = {id_: error for id_, error in attempt.silent.items() if self.silences[id_] >= SILENT_AFTER_COUNT}
        if silent:
            await self.publisher.silent({id_: str(error) for id_, error in silent.items()})
        if attempt.silent:
            raise next(iter(attempt.silent.values()))

    def _note(self, id_: GrantId, attempt: Attempt) -> None:
        if id_ in attempt.answered:
            self.reaching.cleared(id_)
            del self.silences[id_]
            return
        self.reaching.failed(id_, self.clock.now_s())
        self.silences[id_] += id_ in attempt.silent

    async def _to_try(self, platform: PlatformId, due: set[GrantId]) -> list[Grant]:
        """Return the grants to try now, those that nobody answered for last, each of them first at some time."""
        accepted = {"platform_id": platform, "state": GrantState.ACCEPTED}
        granted = await self.database.read(lambda tx: where(tx, Grant, **accepted))
        well = [grant for grant in granted if not self.reaching.failures(grant.id)]
        ill = [grant for grant in granted if self.reaching.failures(grant.id) and grant.id in due]
        turn = max((self.silences[grant.id] for grant in ill), default=0) % max(1, len(ill))
        # One list in trouble is no reason to read all the others every minute.
        return [*(well if any(grant.id in due for grant in well) else ()), *ill[turn:], *ill[:turn]]

    async def _outdated(self, platform: PlatformId, *, age_s: float | None = None) -> list[Grant]:
        now_s, oldest_s = self.clock.now_s(), self.read_again_s if age_s is None else age_s
        return await self.database.read(lambda tx: outdated(tx, now_s, age_s=oldest_s, platform_id=platform))

    def _due_to_publish(self, grants: Sequence[Grant], now_s: float) -> set[PlatformId]:
        return {grant.platform_id for grant in grants if self._is_due(grant, now_s)}

    def _is_due(self, grant: Grant, now_s: float) -> bool:
        return self.publishing.is_due(grant.id, now_s) and self.reaching.is_due(grant.id, now_s)


def _due(tx: Tx, now_s: float, read_again_s: float) -> tuple[set[PlatformId], Sequence[Grant], list[Grant]]:
    """Return the platforms whose owner has yet to answer, the grants that end, and those to publish (again)."""
    unanswered = {grant.platform_id for grant in where(tx, Grant, state=GrantState.REQUESTED)}
    return unanswered | _never_asked(tx), ending(tx), outdated(tx, now_s, age_s=read_again_s)


def _never_asked(tx: Tx) -> set[PlatformId]:
    """Return the platforms whose connector was approved only after their connection was established."""
    connected = {connection.target_id for connection in where(tx, Connection, state=ConnectionState.ESTABLISHED)}
    asked = {grant.platform_id for grant in where(tx, Grant) if grant.state is not GrantState.PROPOSED}
    return {platform for platform in connected - asked if has_connector(tx, platform)}
