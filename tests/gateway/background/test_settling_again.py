"""What settling grants does over time: it renews, reads again, and gives up asking what will not change."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from catalog import consent
from catalog.clouds import CloudItem
from catalog.errors import CloudTimedOut, CloudUnavailable
from catalog.listed import Listed
from catalog.model.consent import Grant, GrantState
from catalog.model.offering import InventoryItem, Offer, OfferState
from catalog.store import rows
from gateway.background.grant_work import end_what_is_over
from gateway.background.settle_grants import SettleGrants
from gateway.connector.policy import Verdict
from tests.support.connecting import Connecting, granting
from tests.support.rounds import one_round

HOUR_S = 3600.0


def settling(world: Connecting) -> SettleGrants:
    """Return the task."""
    return SettleGrants(
        database=world.store.database,
        clock=world.store.clock,
        live=world.live,
        clouds=world.clouds,
        handshake=world.handshake,
        publisher=world.publisher,
    )


async def connect(world: Connecting) -> None:
    """Establish the platform's connection, with everything accepted and on offer."""
    connection = await asyncio.to_thread(world.request)
    await world.begin(connection)
    await world.establisher.run(connection)


async def disconnect(world: Connecting) -> None:
    """Take the connection down."""
    await world.establisher.live_closed(world.live.to_platform(world.platform))


async def grants(world: Connecting) -> dict[str, Grant]:
    """Return the grants by capability."""
    found = await world.store.database.read(lambda tx: rows.where(tx, Grant, platform_id=world.platform))
    return {grant.capability: grant for grant in found}


async def run_for(world: Connecting, task: SettleGrants, seconds: float, period_s: float = 10.0) -> None:
    """Run the task as its period does, and before it the one that ends what is over."""
    for _ in range(int(seconds / period_s)):
        world.store.clock.advance(period_s)
        await end_what_is_over(world.store.database, world.store.clock)
        await one_round(task)


@pytest.mark.parametrize("lifetime_s", [60.0, HOUR_S])
def test_an_expiring_grant_is_renewed_before_its_end(world: Connecting, lifetime_s: float) -> None:
    """Over five lifetimes nothing is ever withdrawn, and the owner is asked at most a dozen times."""
    world.accept_everything()
    world.link.policy = granting(Verdict.GRANT, expires_after_s=lifetime_s)

    async def run() -> None:
        async with world.target():
            await connect(world)
            before, task = await grants(world), settling(world)
            asked: set[str] = set()
            for _ in range(50):
                await run_for(world, task, lifetime_s / 10, lifetime_s / 10)
                now = await grants(world)
                assert {each.state for each in now.values()} == {GrantState.ACCEPTED}
                asked |= {each.request_id for each in now.values()}
            assert all((now[name].expires_at_s or 0) > (each.expires_at_s or 0) for name, each in before.items())
            assert len(asked) <= 12
            offers = await world.store.database.read(lambda tx: rows.where(tx, Offer))
            assert {each.facts["expires_at_s"] for each in offers} == {each.expires_at_s for each in now.values()}
            await disconnect(world)

    asyncio.run(run())


def test_an_owner_who_has_yet_to_say_is_asked_one_question(world: Connecting) -> None:
    """While a renewal is pending every attempt carries the same id; what stood stands until its end."""
    world.accept_everything()
    world.link.policy = granting(Verdict.GRANT, expires_after_s=HOUR_S)

    async def run() -> None:
        async with world.target():
            await connect(world)
            first = {each.request_id for each in (await grants(world)).values()}
            task = settling(world)
            await one_round(task)
            world.link.policy = granting(Verdict.ASK)
            world.store.clock.advance(HOUR_S - 290.0)
            asked: set[str] = set()
            for _ in range(20):
                await run_for(world, task, 10.0)
                now = await grants(world)
                assert {each.state for each in now.values()} == {GrantState.ACCEPTED}
                asked |= {each.request_id for each in now.values()}
            assert len(asked - first) == 1
            await disconnect(world)

    asyncio.run(run())


def test_what_has_expired_is_asked_again_with_growing_pauses(world: Connecting) -> None:
    """A connector that is away for two hours is tried some ten times, not at every run; once back, it grants anew."""
    world.accept_everything()
    world.link.policy = granting(Verdict.GRANT, expires_after_s=HOUR_S)

    async def run() -> None:
        async with world.target():
            await connect(world)
            task = settling(world)
            world.link.failure = CloudUnavailable("no connector")
            world.store.clock.advance(HOUR_S + 1)
            world.cloud.calls.clear()
            await run_for(world, task, 2 * HOUR_S, 30.0)
            assert {each.state for each in (await grants(world)).values()} == {GrantState.EXPIRED}
            assert 8 <= Counter(world.cloud.calls)["log_in"] <= 12
            world.link.failure = None
            await run_for(world, task, HOUR_S, 100.0)
            assert {each.state for each in (await grants(world)).values()} == {GrantState.ACCEPTED}
            await disconnect(world)

    asyncio.run(run())


def test_a_revoked_grant_is_not_asked_for_again(world: Connecting) -> None:
    """Renewing the others leaves alone what an admin ended, though a standing rule would accept it."""
    world.accept_everything()
    world.link.policy = granting(Verdict.GRANT, expires_after_s=HOUR_S)

    async def run() -> None:
        async with world.target():
            await connect(world)
            task, before = settling(world), await grants(world)
            now_s = world.store.now_s
            await world.store.database.write(lambda tx: consent.revoke(tx, before["image"].id, now_s))
            await run_for(world, task, 2 * HOUR_S, 100.0)
            now = await grants(world)
            assert {name: each.state for name, each in now.items()} == {
                "machine": GrantState.ACCEPTED,
                "size": GrantState.ACCEPTED,
                "image": GrantState.REVOKED,
            }
            await disconnect(world)

    asyncio.run(run())


def test_a_degraded_offer_is_proved_again_ever_more_rarely(world: Connecting) -> None:
    """In half an hour of runs every ten seconds all is proved seven times or so; then it heals."""
    world.accept_everything()
    world.cloud.refused = {"image"}

    async def run() -> None:
        async with world.target():
            await connect(world)
            task = settling(world)
            world.cloud.calls.clear()
            await run_for(world, task, HOUR_S / 2)
            # 10, 30, 70, 150, 310, 630, 1270 s after the first attempt; each run proves all three capabilities.
            assert 6 <= Counter(world.cloud.calls)["prove"] / 3 <= 9
            world.cloud.refused = set()
            await run_for(world, task, HOUR_S, 100.0)
            offers = await world.store.database.read(lambda tx: rows.where(tx, Offer))
            assert {each.state for each in offers} == {OfferState.OFFERED}
            await disconnect(world)

    asyncio.run(run())


def test_a_cloud_that_does_not_answer_twice_has_nothing_on_offer(world: Connecting) -> None:
    """Once changes nothing; the second time in a row all its offers are degraded, with the reason, until it answers."""
    world.accept_everything()

    async def offers() -> set[tuple[OfferState, str]]:
        found = await world.store.database.read(lambda tx: rows.where(tx, Offer))
        return {(each.state, each.reason) for each in found}

    async def run() -> None:
        async with world.target():
            await connect(world)
            task = settling(world)
            well, silent = {(OfferState.OFFERED, "")}, {(OfferState.DEGRADED, "no answer in time")}
            world.store.clock.advance(HOUR_S)
            seen = []
            for error in (CloudTimedOut("no answer in time"), None, *[CloudTimedOut("no answer in time")] * 2, None):
                world.cloud.failures["prove"] = [] if error is None else [error]
                world.store.clock.advance(HOUR_S)
                await one_round(task)
                seen.append(await offers())
            assert seen == [well, well, well, silent, well]
            await disconnect(world)

    asyncio.run(run())


def test_a_cloud_that_does_not_answer_is_tried_every_minute(world: Connecting) -> None:
    """While it is out of reach the pauses stop growing at a minute: it may be back any moment."""
    world.accept_everything()

    async def run() -> None:
        async with world.target():
            await connect(world)
            task = settling(world)
            world.cloud.failures["prove"] = [CloudUnavailable("no")] * 1000
            world.store.clock.advance(HOUR_S)
            world.cloud.calls.clear()
            await run_for(world, task, HOUR_S, 20.0)
            assert 55 <= Counter(world.cloud.calls)["prove"] <= 65
            await disconnect(world)

    asyncio.run(run())


def test_the_inventory_is_read_again_every_hour(world: Connecting) -> None:
    """An image that the cloud adds is in the inventory an hour later; before that nobody asks."""
    world.accept_everything()

    usual = world.cloud.items

    async def items(capability: str) -> Sequence[Listed]:
        if capability != "image":
            return await usual(capability)
        world.cloud.calls.append("images")
        return (CloudItem(cloud_id="i1", name="debian-12"), CloudItem(cloud_id="i2", name="debian-13"))

    async def run() -> None:
        async with world.target():
            await connect(world)
            task = settling(world)
            world.cloud.items = items  # type: ignore[method-assign]
            world.cloud.calls.clear()
            await run_for(world, task, HOUR_S - 10.0, 100.0)
            assert world.cloud.calls == []
            await run_for(world, task, 200.0, 100.0)
            known = await world.store.database.read(lambda tx: rows.where(tx, InventoryItem, kind="image"))
            assert [each.cloud_id for each in known] == ["i1", "i2"]
            assert Counter(world.cloud.calls)["images"] == 1
            await disconnect(world)

    asyncio.run(run())
