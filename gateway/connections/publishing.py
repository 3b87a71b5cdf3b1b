"""From accepted grants to offers: prove what the account can really do, read the inventory, publish (S1 13-14)."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from catalog import drift, rights
from catalog.cloud_assets import MADE_BY
from catalog.clouds import CloudDriver, Clouds, Proof
from catalog.connections import established_for
from catalog.consent import add_proof, suggest
from catalog.errors import CallsExhausted, CloudError, CloudRefused, WrongState
from catalog.messages.handshake import OF_THE_OWNER, Capability
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import GrantId, PlatformId, new_id
from catalog.model.offering import Offer, OfferState
from catalog.model.right import Right, RightState
from catalog.ports import Clock
from catalog.publish import degrade, publish, settle_inventory, trouble_with
from catalog.store import incoming
from catalog.store.database import Database, Tx
from catalog.store.rows import where

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Attempt:
    """What came of proving, reading and publishing grants, as far as that has come; each is in one of the three."""

    answered: dict[GrantId, bool] = field(default_factory=dict)  # whether it is on offer
    silent: dict[GrantId, CloudError] = field(default_factory=dict)  # whose part of the cloud did not answer
    put_off: dict[GrantId, CloudError] = field(default_factory=dict)  # nobody fell silent, and it is not for now

    @property
    def trouble(self) -> CloudError | None:
        """What some grant has to be tried again for, None when nothing."""
        return next(iter((*self.silent.values(), *self.put_off.values())), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Turns a platform's accepted grants into offers, or says why one is degraded."""

    database: Database
    clock: Clock
    clouds: Clouds

    async def run(self, platform: PlatformId) -> int:
        """Prove, read and publish every accepted grant of ``platform``; return how many are offered now.

        May be repeated. Raises what the first grant ended in that has to be tried again (CloudUnavailable,
        CloudTimedOut), once all were tried; a refusal or an implausible answer degrades that offer alone.
        """
        granted = await self.database.read(lambda tx: where(tx, Grant, platform_id=platform, state=GrantState.ACCEPTED))
        attempt = Attempt()
        await self.attempt(platform, granted, attempt)
        if attempt.trouble is not None:
            raise attempt.trouble
        return sum(attempt.answered.values())

    async def attempt(
        self, platform: PlatformId, granted: Sequence[Grant], attempt: Attempt, *, doubtful: Collection[GrantId] = ()
    ) -> None:
        """Prove, read and publish each of ``granted``, in this order, and note in ``attempt`` what came of it.

        None is left out for another's trouble: parts of a cloud have endpoints of their own. Only where nothing has
        answered yet and one of the ``doubtful`` is silent, whatever comes after it is taken for silent too.
        """
        try:
            driver = await self.clouds.driver(platform)
        except CloudError as error:
            if not error.retryable:
                raise
            attempt.silent.update((grant.id, error) for grant in granted)
            return
        for place, grant in enumerate(granted):
            try:
                attempt.answered[grant.id] = await self._offer(driver, grant)
            except WrongState:
                # Revoked or expired while the cloud was asked: whoever ended it has withdrawn its offer.
                log.info("grant ended meanwhile", extra={"platform": platform, "capability": grant.capability})
            except CloudError as error:
                if isinstance(error, CallsExhausted | CloudRefused):
                    # We have used up its calls, or the account what it may have: neither is silence.
                    attempt.put_off[grant.id] = error
                    continue
                attempt.silent[grant.id] = error
                heard = any(each.id in attempt.answered and each.capability not in OF_THE_OWNER for each in granted)
                if grant.id in doubtful and not heard:
                    attempt.silent.update((each.id, error) for each in granted[place + 1 :])
                    return

    async def silent(self, reasons: Mapping[GrantId, str]) -> None:
        """Close to new orders what these grants have on offer, each with its reason; ``run`` opens it again."""
        now_s = self.clock.now_s()

        def work(tx: Tx) -> list[Grant]:
            offered = {offer.grant_id for offer in where(tx, Offer, state=OfferState.OFFERED, grant_id=set(reasons))}
            closed = [
                grant
                for grant in where(tx, Grant, state=GrantState.ACCEPTED, id=offered)
                if grant.capability not in OF_THE_OWNER
            ]
            for grant in closed:
                degrade(tx, grant.id, reasons[GrantId(grant.id)], now_s)
            return closed

        for grant in await self.database.write(work):
            log.warning("offer degraded", extra={"platform": grant.platform_id, "capability": grant.capability})

    async def discover(self, platform: PlatformId) -> int:
        """Look what the account of ``platform`` could do, granted or not, and return how many rights changed hands.

        A right that nobody asked for is a grant PROPOSED, for an admin to ask for. Nothing of the account is
        read, and nothing is offered by it. May be repeated. Raises CloudError.
        """
        proofs = await (await self.clouds.driver(platform)).rights()
        now_s = self.clock.now_s()

        def work(tx: Tx) -> list[Right]:
            found, connection = rights.record(tx, platform, proofs, now_s), established_for(tx, platform)
            new = [right.capability for right in found if right.state is RightState.PROPOSED]
            if connection is not None:
                suggest(tx, platform_id=platform, connection_id=connection.id, capabilities=new, now_s=now_s)
            return found

        changed = await self.database.write(work)
        for right in changed:
            facts = {"platform": platform, "capability": right.capability, "state": right.state.value}
            log.info("right of an account", extra=facts)
        return len(changed)

    async def _offer(self, driver: CloudDriver, grant: Grant) -> bool:
        """Publish one grant and tell whether it is on offer. Raises WrongState when it is not accepted any more."""
        try:
            proof = await _proof(driver, grant)
            began_s = self.clock.now_s()
            sync_id = await self._read(driver, grant) if proof.allowed and _is_listed(grant) else None
            await self._publish(grant, proof, sync_id, began_s)
        except CloudError as error:
            if error.retryable:
                raise
            await self._degrade(grant, str(error))
            return False
        return proof.allowed

    async def _read(self, driver: CloudDriver, grant: Grant) -> str:
        """Put what the cloud lists where nobody sees it yet, and return under which id: whole, or it raises.

        In one short transaction a batch, so that others write in between.
        """
        now_s = self.clock.now_s()
        listing = await driver.listing(grant.capability)
        sync_id = new_id("sync", now_s)
        for batch in listing.batches:
            await self.database.write(lambda tx, batch=batch: incoming.put(tx, sync_id, batch, now_s))  # type: ignore[misc]
        return sync_id

    async def _publish(self, grant: Grant, proof: Proof, sync_id: str | None, began_s: float) -> None:
        """Offer the grant with what was put away under ``sync_id`` since ``began_s``, all in one moment."""
        now_s = self.clock.now_s()

        def work(tx: Tx) -> None:
            add_proof(tx, grant.id, proof, now_s)
            if grant.capability not in OF_THE_OWNER:
                rights.record(tx, grant.platform_id, (proof,), now_s)
            # In one go: an offer that was opened and closed again would be told of twice at every try.
            publish(tx, grant, now_s, "" if sync_id is None else trouble_with(tx, grant.capability, sync_id))
            if sync_id is not None:
                settle_inventory(tx, grant.platform_id, grant.capability, sync_id, now_s)
                if grant.capability == Capability.MACHINE:
                    drift.note(tx, grant.platform_id, read_from_s=began_s, now_s=now_s)

        await self.database.write(work)

    async def _degrade(self, grant: Grant, reason: str) -> None:
        now_s = self.clock.now_s()
        await self.database.write(lambda tx: publish(tx, grant, now_s, reason))
        log.warning("offer degraded", extra={"platform": grant.platform_id, "capability": grant.capability})


async def _proof(driver: CloudDriver, grant: Grant) -> Proof:
    """Return what the cloud proves of the grant; what is not the cloud's, its owner's word proves."""
    if grant.capability in OF_THE_OWNER:
        return Proof(capability=grant.capability, request="the owner's word", allowed=True)
    proof = await driver.prove(grant.capability)
    for kind in sorted(driver.assets.kinds):
        capability, verb = MADE_BY[kind]
        # What may be listed may perhaps not be made: each is a right of its own.
        if proof.allowed and capability == grant.capability and verb in grant.verbs:
            proof = await driver.assets.prove(kind)
    return proof


def _is_listed(grant: Grant) -> bool:
    """Whether the grant lets us read an inventory; machines may be granted without a look at those that are there."""
    return grant.capability not in OF_THE_OWNER and "list" in grant.verbs
