"""From accepted grants to offers: prove what the account can really do, read the inventory, publish (S1 13-14)."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from catalog.consent import add_proof
from catalog.errors import CloudError, WrongState
from catalog.messages.handshake import OF_THE_OWNER, Capability
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import PlatformId
from catalog.ports import Clock, CloudDriver, CloudItem, Clouds, CloudSize, Proof
from catalog.publish import degrade, publish, store_inventory
from catalog.store.database import Database, Tx
from catalog.store.rows import where

log = logging.getLogger(__name__)

Listing = Callable[[CloudDriver], Awaitable[Sequence[CloudSize | CloudItem]]]

# What is read into the inventory for a capability; machines are not inventory, they are looked up when needed.
LISTINGS: dict[Capability, Listing] = {
    Capability.SIZE: lambda driver: driver.sizes(),
    Capability.IMAGE: lambda driver: driver.images(),
    Capability.LOCATION: lambda driver: driver.locations(),
    Capability.KEY_PAIR: lambda driver: driver.key_pairs(),
    Capability.VOLUME: lambda driver: driver.volumes(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Turns a platform's accepted grants into offers, or says why one is degraded."""

    database: Database
    clock: Clock
    clouds: Clouds

    async def run(self, platform: PlatformId) -> int:
        """Prove, read and publish every accepted grant of ``platform``; return how many are offered now.

        May be repeated. Raises CloudUnavailable or CloudTimedOut when the cloud cannot be asked now; a refusal
        or an implausible answer degrades that offer alone, with the reason.
        """
        granted = await self.database.read(lambda tx: where(tx, Grant, platform_id=platform, state=GrantState.ACCEPTED))
        driver = await self.clouds.driver(platform)
        offered = 0
        for grant in granted:
            try:
                offered += await self._offer(driver, grant)
            except WrongState:
                # Revoked or expired while the cloud was asked: whoever ended it has withdrawn its offer.
                log.info("grant ended meanwhile", extra={"platform": platform, "capability": grant.capability})
        return offered

    async def _offer(self, driver: CloudDriver, grant: Grant) -> bool:
        """Publish one grant and tell whether it is on offer. Raises WrongState when it is not accepted any more."""
        try:
            proof = await _proof(driver, grant)
            items = await self._read(driver, grant) if proof.allowed else ()
            await self._publish(grant, proof, items)
        except CloudError as error:
            if error.retryable:
                raise
            await self._degrade(grant, str(error))
            return False
        return proof.allowed

    async def _read(self, driver: CloudDriver, grant: Grant) -> Sequence[CloudSize | CloudItem]:
        listing = LISTINGS.get(Capability(grant.capability))
        return await listing(driver) if listing is not None else ()

    async def _publish(self, grant: Grant, proof: Proof, items: Sequence[CloudSize | CloudItem]) -> None:
        now_s = self.clock.now_s()

        def work(tx: Tx) -> None:
            add_proof(tx, grant.id, proof, now_s)
            publish(tx, grant, now_s)
            if not proof.allowed:
                degrade(tx, grant.id, f"the account may not do this: {proof.request}", now_s)
            elif Capability(grant.capability) in LISTINGS:
                store_inventory(tx, grant.platform_id, grant.capability, items, now_s)

        await self.database.write(work)

    async def _degrade(self, grant: Grant, reason: str) -> None:
        now_s = self.clock.now_s()

        def work(tx: Tx) -> None:
            publish(tx, grant, now_s)
            degrade(tx, grant.id, reason, now_s)

        await self.database.write(work)
        log.warning("offer degraded", extra={"platform": grant.platform_id, "capability": grant.capability})


async def _proof(driver: CloudDriver, grant: Grant) -> Proof:
    """Return what the cloud proves of the grant; what is not the cloud's, its owner's word proves."""
    if grant.capability in OF_THE_OWNER:
        return Proof(capability=grant.capability, request="the owner's word", allowed=True)
    return await driver.prove(grant.capability)
