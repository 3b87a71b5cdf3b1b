"""Grants come to their end: owners are asked until they say, what is accepted is published, what is over ends."""

import asyncio
from typing import Any

import pytest

from catalog import consent, platforms
from catalog.errors import CloudCredentialsRefused
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import PlatformId
from catalog.model.offering import Offer, OfferState
from catalog.model.platform import Endpoint, EndpointState, Purpose
from catalog.ports import Address
from catalog.store import rows
from gateway.background.grant_work import end_what_is_over
from gateway.connector.policy import Verdict
from tests.support.connecting import Connecting, granting
from tests.support.rounds import one_round
from tests.support.settling import settling
from tests.support.stores import add_platform


async def states(world: Connecting, platform: PlatformId | None = None) -> set[GrantState]:
    """Return the states of the platform's grants."""
    found = await world.store.database.read(lambda tx: rows.where(tx, Grant, platform_id=platform or world.platform))
    return {grant.state for grant in found}


async def offered(world: Connecting) -> set[PlatformId]:
    """Return the platforms with something on offer."""
    found = await world.store.database.read(lambda tx: rows.where(tx, Offer, state=OfferState.OFFERED))
    return {offer.platform_id for offer in found}


def test_an_owner_is_asked_until_the_answer_is_there(world: Connecting) -> None:
    """What was pending is granted by a later answer, accepted by the rule and on offer, without anybody connecting."""
    world.accept_everything()
    world.link.policy = granting(Verdict.ASK)

    async def run() -> None:
        async with world.target():
            await world.connect()
            await one_round(settling(world))
            assert await states(world) == {GrantState.REQUESTED}
            world.link.policy = granting(Verdict.GRANT)
            await one_round(settling(world))
            assert await states(world) == {GrantState.ACCEPTED}
            assert await offered(world) == {world.platform}
            await world.disconnect()

    asyncio.run(run())


@pytest.mark.parametrize("trouble", [CloudCredentialsRefused("no"), KeyError("a bug of ours")], ids=["sick", "bug"])
def test_one_sick_platform_does_not_stop_the_others(world: Connecting, trouble: Exception) -> None:
    """The first platform's cloud refuses, or we trip over it: the other's grants are published all the same."""
    delhi = add_platform(world.store, "delhi").id

    async def run() -> None:
        async with world.target():
            await world.connect()
            await world.connect(delhi)
            now_s = world.store.now_s

            def accept(tx: Any) -> None:
                for grant in rows.where(tx, Grant):
                    consent.accept(tx, grant.id, now_s)

            await world.store.database.write(accept)
            world.cloud.failures["prove"] = [trouble]
            await one_round(settling(world))
            assert delhi in await offered(world) or world.platform in await offered(world)
            await one_round(settling(world))
            assert await offered(world) == {world.platform, delhi}
            await world.disconnect()

    asyncio.run(run())


def test_what_is_over_ends_and_nobody_is_called(world: Connecting) -> None:
    """An expired grant is withdrawn also while its platform cannot be reached; unreachable ones are left alone."""
    world.accept_everything()
    world.link.policy = granting(Verdict.GRANT, expires_after_s=100.0)

    async def run() -> None:
        async with world.target():
            await world.connect()
            await world.disconnect()
            world.cloud.calls.clear()
            world.store.clock.advance(101)
            await end_what_is_over(world.store.database, world.store.clock)
            await one_round(settling(world))
            assert await states(world) == {GrantState.EXPIRED}
            assert (await offered(world), world.cloud.calls) == (set(), [])

    asyncio.run(run())


def test_a_connector_that_is_approved_late_is_asked(world: Connecting) -> None:
    """A connection that stood before its connector was approved has no grants; they are asked for as soon as it is."""

    def propose(tx: Any) -> None:
        (connector,) = rows.where(tx, Endpoint, platform_id=world.platform, purpose=Purpose.CONNECTOR)
        rows.update(tx, connector, {"state": EndpointState.PROPOSED}, world.store.now_s)

    world.store.write(propose)

    async def run() -> None:
        async with world.target():
            await world.connect()
            await one_round(settling(world))
            assert await states(world) == set()
            dial, now_s = Address(host="10.0.0.6", port=443), world.store.now_s
            await world.store.database.write(
                lambda tx: platforms.approve_endpoint(tx, world.platform, Purpose.CONNECTOR, dial=dial, now_s=now_s)
            )
            await one_round(settling(world))
            assert await states(world) == {GrantState.GRANTED}
            await world.disconnect()

    asyncio.run(run())
