"""From accepted grants to offers: a refusal or an end touches its own offer, and what may pass changes nothing."""

import asyncio
from dataclasses import replace

import pytest

from catalog import consent, rights
from catalog.errors import CloudMisbehaved, CloudUnavailable
from catalog.model.consent import Grant
from catalog.model.event import Event
from catalog.model.offering import InventoryItem, Offer, OfferState
from catalog.store import rows
from gateway.connector.policy import Verdict
from tests.support.connecting import Connecting, granting


async def offers(world: Connecting) -> dict[str, tuple[OfferState, str]]:
    """Return state and reason of every offer by capability."""

    def work(tx: object) -> dict[str, tuple[OfferState, str]]:
        capability = {grant.id: grant.capability for grant in rows.where(tx, Grant)}  # type: ignore[arg-type]
        found = rows.where(tx, Offer)  # type: ignore[arg-type]
        return {capability[offer.grant_id]: (offer.state, offer.reason) for offer in found}

    return await world.store.database.read(work)


OFFERED = (OfferState.OFFERED, "")


def test_everything_accepted_is_offered_with_its_inventory(world: Connecting) -> None:
    """Each accepted grant is proved and on offer, and what can be listed is known; publishing again changes nothing."""
    world.accept_everything()

    async def run() -> None:
        async with world.target():
            await world.connect()
            assert await world.publisher.run(world.platform) == 3
            assert await offers(world) == {"image": OFFERED, "machine": OFFERED, "size": OFFERED}
            known = await world.store.database.read(lambda tx: rows.where(tx, InventoryItem))
            assert {(item.kind, item.name) for item in known} == {("image", "debian-12"), ("size", "small")}
            await world.disconnect()

    asyncio.run(run())


def test_a_refused_proof_degrades_that_offer_alone(world: Connecting) -> None:
    """What the account may not do is not offered, and says which call was refused; it comes back with a good proof."""
    world.accept_everything()
    world.cloud.refused = {"size"}

    async def run() -> None:
        async with world.target():
            await world.connect()
            found = await offers(world)
            assert found.pop("size") == (OfferState.DEGRADED, "the account may not do this: Prove size")
            assert found == {"image": OFFERED, "machine": OFFERED}
            world.cloud.refused = set()
            assert await world.publisher.run(world.platform) == 3
            assert (await offers(world))["size"] == OFFERED
            await world.disconnect()

    asyncio.run(run())


def test_a_garbled_list_degrades_that_offer_alone(world: Connecting) -> None:
    """An answer outside the protocol is a reason against one offer, not against the platform."""
    world.accept_everything()

    async def run() -> None:
        async with world.target():
            await world.connect()
            world.cloud.failures["images"] = [CloudMisbehaved("garbage")]
            assert await world.publisher.run(world.platform) == 2
            assert await offers(world) == {
                "image": (OfferState.DEGRADED, "garbage"),
                "machine": OFFERED,
                "size": OFFERED,
            }
            await world.disconnect()

    asyncio.run(run())


@pytest.mark.parametrize("how", ["a refusal", "a garbled list", "an empty list"])
def test_an_offer_that_stays_degraded_is_told_of_once(world: Connecting, how: str) -> None:
    """Two runs that fail alike are one event; the offer is not open for a moment in between. A good one is another."""
    world.accept_everything()

    async def told(since: int) -> list[str]:
        found = await world.store.database.read(lambda tx: rows.where(tx, Event))
        return [each.kind for each in found if each.seq > since and each.kind.startswith("offer.")]

    async def run() -> None:
        async with world.target():
            world.cloud.has_images = how != "an empty list"
            await world.connect()
            since = max(each.seq for each in await world.store.database.read(lambda tx: rows.where(tx, Event)))
            if how == "a refusal":
                world.cloud.refused = {"image"}
            elif how == "a garbled list":
                world.cloud.failures["images"] = [CloudMisbehaved("garbage"), CloudMisbehaved("garbage")]
            for _ in range(2):
                assert await world.publisher.run(world.platform) == 2 + (how == "an empty list")
                assert (await offers(world))["image"][0] is OfferState.DEGRADED
            assert await told(since) == ([] if how == "an empty list" else ["offer.degraded"])
            world.cloud.refused = set()
            world.cloud.has_images = True
            assert await world.publisher.run(world.platform) == 3
            assert (await told(since))[-1] == "offer.offered"
            await world.disconnect()

    asyncio.run(run())


def test_what_may_pass_changes_nothing(world: Connecting) -> None:
    """A cloud that does not answer now keeps its offers and inventory as they were."""
    world.accept_everything()

    async def run() -> None:
        async with world.target():
            await world.connect()
            before = await offers(world)
            world.cloud.failures["prove"] = [CloudUnavailable("down")]
            with pytest.raises(CloudUnavailable):
                await world.publisher.run(world.platform)
            assert await offers(world) == before
            await world.disconnect()

    asyncio.run(run())


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_grant_that_ends_meanwhile_stops_no_other(world: Connecting, how: str) -> None:
    """Ended while the cloud is asked, one grant is left alone; the others are published, and it has no open offer."""
    world.accept_everything()

    async def end_image() -> None:
        now_s = world.store.now_s

        def work(tx: object) -> None:
            (grant,) = rows.where(tx, Grant, capability="image")  # type: ignore[arg-type]
            if how == "revoked":
                consent.revoke(tx, grant.id, now_s)  # type: ignore[arg-type]
            else:
                rows.update(tx, grant, {"expires_at_s": now_s}, now_s)  # type: ignore[arg-type]

        await world.store.database.write(work)

    async def run() -> None:
        async with world.target():
            await world.connect()
            world.cloud.hooks["prove"] = end_image
            assert await world.publisher.run(world.platform) == 2
            found = await offers(world)
            assert (found["machine"], found["size"]) == (OFFERED, OFFERED)
            await world.publisher.run(world.platform)  # and again, with the end known from the beginning
            await world.disconnect()

    asyncio.run(run())


async def known_rights(world: Connecting) -> dict[str, str]:
    """Return the state of every right by capability."""
    found = await world.store.database.read(lambda tx: rights.of_platform(tx, world.platform))
    return {right.capability: right.state.value for right in found}


def test_what_is_proved_and_what_could_be_asked_for_is_kept(world: Connecting) -> None:
    """Of what the account can do, granted or not, each right is known; one that nobody was asked for is proposed."""
    world.accept_everything()
    world.link.policy = granting(Verdict.GRANT, "image", "size")

    async def run() -> None:
        async with world.target():
            await world.connect()
            await world.publisher.discover(world.platform)
            assert set(await known_rights(world)) == {"image", "machine", "size"}
            assert (await known_rights(world))["image"] == "held"
            world.cloud.refused = {"image"}
            assert await world.publisher.discover(world.platform) == 1
            assert (await known_rights(world))["image"] == "lost"
            await world.disconnect()

    asyncio.run(run())


def test_a_right_that_nobody_asked_for_is_proposed_as_a_grant(world: Connecting) -> None:
    """The account can make machines and the connector does not speak of them: an admin finds a grant to ask for."""
    world.accept_everything()
    policy = granting(Verdict.GRANT, "image", "size")
    world.link.policy = replace(policy, service=replace(policy.service, services=("image", "size")))

    async def states() -> dict[str, str]:
        found = await world.store.database.read(lambda tx: rows.where(tx, Grant, platform_id=world.platform))
        return {each.capability: each.state.value for each in found}

    async def run() -> None:
        async with world.target():
            await world.connect()
            for _ in range(2):  # and looking again proposes nothing twice
                await world.publisher.discover(world.platform)
                assert await states() == {"image": "accepted", "size": "accepted", "machine": "proposed"}
            assert (await known_rights(world))["machine"] == "proposed"
            await world.disconnect()

    asyncio.run(run())
