"""What settling grants does over time: it renews, reads again, and gives up asking what will not change."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from catalog import consent
from catalog.clouds import CloudItem, Proof
from catalog.errors import CallsExhausted, CatalogError, CloudTimedOut, CloudUnavailable
from catalog.listed import Listed
from catalog.model.consent import Grant, GrantState
from catalog.model.event import Event
from catalog.model.offering import InventoryItem, Offer, OfferState
from catalog.store import rows
from gateway.background.grant_work import end_what_is_over
from gateway.background.settle_grants import SettleGrants
from gateway.connector.policy import Verdict
from tests.support.connecting import Connecting, granting
from tests.support.rounds import one_round
from tests.support.settling import settling

HOUR_S = 3600.0


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
            await world.connect()
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
            await world.disconnect()

    asyncio.run(run())


def test_an_owner_who_has_yet_to_say_is_asked_one_question(world: Connecting) -> None:
    """While a renewal is pending every attempt carries the same id; what stood stands until its end."""
    world.accept_everything()
    world.link.policy = granting(Verdict.GRANT, expires_after_s=HOUR_S)

    async def run() -> None:
        async with world.target():
            await world.connect()
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
            await world.disconnect()

    asyncio.run(run())


def test_what_has_expired_is_asked_again_with_growing_pauses(world: Connecting) -> None:
    """A connector that is away for two hours is tried some ten times, not at every run; once back, it grants anew."""
    world.accept_everything()
    world.link.policy = granting(Verdict.GRANT, expires_after_s=HOUR_S)

    async def run() -> None:
        async with world.target():
            await world.connect()
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
            await world.disconnect()

    asyncio.run(run())


def test_a_revoked_grant_is_not_asked_for_again(world: Connecting) -> None:
    """Renewing the others leaves alone what an admin ended, though a standing rule would accept it."""
    world.accept_everything()
    world.link.policy = granting(Verdict.GRANT, expires_after_s=HOUR_S)

    async def run() -> None:
        async with world.target():
            await world.connect()
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
            await world.disconnect()

    asyncio.run(run())


def test_a_degraded_offer_is_proved_again_ever_more_rarely(world: Connecting) -> None:
    """In half an hour of runs every ten seconds all is proved seven times or so; then it heals."""
    world.accept_everything()
    world.cloud.refused = {"image"}

    async def run() -> None:
        async with world.target():
            await world.connect()
            task = settling(world)
            world.cloud.calls.clear()
            await run_for(world, task, HOUR_S / 2)
            # 10, 30, 70, 150, 310, 630, 1270 s after the first attempt; each run proves all three capabilities.
            assert 6 <= Counter(world.cloud.calls)["prove"] / 3 <= 9
            world.cloud.refused = set()
            await run_for(world, task, HOUR_S, 100.0)
            offers = await world.store.database.read(lambda tx: rows.where(tx, Offer))
            assert {each.state for each in offers} == {OfferState.OFFERED}
            await world.disconnect()

    asyncio.run(run())


def test_a_cloud_that_does_not_answer_twice_has_nothing_on_offer(world: Connecting) -> None:
    """Once changes nothing; the second time in a row all its offers are degraded, with the reason, until it answers."""
    world.accept_everything()

    async def offers() -> set[tuple[OfferState, str]]:
        found = await world.store.database.read(lambda tx: rows.where(tx, Offer))
        return {(each.state, each.reason) for each in found}

    async def run() -> None:
        async with world.target():
            await world.connect()
            task = settling(world)
            well, silent = {(OfferState.OFFERED, "")}, {(OfferState.DEGRADED, "no answer in time")}
            world.store.clock.advance(HOUR_S)
            seen = []
            for error in (CloudTimedOut("no answer in time"), None, *[CloudTimedOut("no answer in time")] * 2, None):
                world.cloud.failures["prove"] = [] if error is None else [error] * 3  # to none of the grants
                world.store.clock.advance(HOUR_S)
                await one_round(task)
                seen.append(await offers())
            assert seen == [well, well, well, silent, well]
            await world.disconnect()

    asyncio.run(run())


def test_a_cloud_that_does_not_answer_is_tried_every_minute(world: Connecting) -> None:
    """While it is out of reach the pauses stop growing at a minute: it may be back any moment."""
    world.accept_everything()

    async def run() -> None:
        async with world.target():
            await world.connect()
            task = settling(world)
            world.cloud.failures["prove"] = [CloudUnavailable("no")] * 1000
            world.store.clock.advance(HOUR_S)
            # Each of its parts is asked until the cloud counts as silent, and from then on one speaks for all.
            await run_for(world, task, 60.0, 20.0)
            world.cloud.calls.clear()
            await run_for(world, task, HOUR_S, 20.0)
            assert 55 <= Counter(world.cloud.calls)["prove"] <= 65
            await world.disconnect()

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
            await world.connect()
            task = settling(world)
            world.cloud.items = items  # type: ignore[method-assign]
            world.cloud.calls.clear()
            await run_for(world, task, HOUR_S - 10.0, 100.0)
            assert world.cloud.calls == []
            await run_for(world, task, 200.0, 100.0)
            known = await world.store.database.read(lambda tx: rows.where(tx, InventoryItem, kind="image"))
            assert [each.cloud_id for each in known] == ["i1", "i2"]
            assert Counter(world.cloud.calls)["images"] == 1
            await world.disconnect()

    asyncio.run(run())


def fails_for(world: Connecting, trouble: dict[str, CatalogError]) -> None:
    """Let proofs of these capabilities end so, for as long as they are in ``trouble``."""
    usual = world.cloud.prove

    async def prove(capability: str) -> Proof:
        proof = await usual(capability)
        if capability in trouble:
            raise trouble[capability]
        return proof

    world.cloud.prove = prove  # type: ignore[method-assign]


@pytest.mark.parametrize("silent", ["machine", "image", "size"])
def test_an_endpoint_of_its_own_silences_only_what_it_serves(world: Connecting, silent: str) -> None:
    """The others stay on offer, proved at their time, without an event; the silent one is closed once, and heals."""
    world.accept_everything()

    async def states() -> dict[str, OfferState]:
        of = {grant.id: name for name, grant in (await grants(world)).items()}
        found = await world.store.database.read(lambda tx: rows.where(tx, Offer))
        return {of[each.grant_id]: each.state for each in found}

    async def told() -> list[str]:
        found = await world.store.database.read(lambda tx: rows.where(tx, Event))
        return [each.kind for each in found if each.kind.startswith("offer.")]

    async def run() -> None:
        async with world.target():
            await world.connect()
            task, trouble, since = settling(world), {silent: CloudTimedOut("no answer")}, len(await told())
            fails_for(world, trouble)  # type: ignore[arg-type]
            world.store.clock.advance(HOUR_S)
            world.cloud.calls.clear()
            await run_for(world, task, HOUR_S / 2)
            well = dict.fromkeys(("machine", "image", "size"), OfferState.OFFERED)
            assert await states() == well | {silent: OfferState.DEGRADED}
            assert all(
                each.proofs[-1]["at_s"] >= world.store.now_s - HOUR_S
                for name, each in (await grants(world)).items()
                if name != silent
            )
            assert (await told())[since:] == ["offer.degraded"]
            # Once the others, and every minute what is silent.
            assert 25 <= Counter(world.cloud.calls)["prove"] <= 40
            trouble.clear()
            await run_for(world, task, 60.0)
            assert await states() == well
            assert (await told())[since:] == ["offer.degraded", "offer.offered"]
            await world.disconnect()

    asyncio.run(run())


def test_calls_that_are_used_up_close_nothing(world: Connecting) -> None:
    """Whoever uses up a grant's calls while it is proved again takes no offer away, that one's neither."""
    world.accept_everything()

    async def run() -> None:
        async with world.target():
            await world.connect()
            task, trouble = settling(world), {}
            for name in ("image", "size", "machine"):
                trouble[name] = CallsExhausted("used up", again_s=3)
            fails_for(world, trouble)  # type: ignore[arg-type]
            world.store.clock.advance(HOUR_S)
            await run_for(world, task, HOUR_S / 2)
            offers = await world.store.database.read(lambda tx: rows.where(tx, Offer))
            assert [each.state for each in offers] == [OfferState.OFFERED] * 3
            await world.disconnect()

    asyncio.run(run())


def test_a_cloud_that_is_back_is_found_though_a_part_of_it_is_not(world: Connecting) -> None:
    """While all are silent they are asked in turn: two are open a few minutes after they answer, one stays closed."""
    world.accept_everything()

    async def run() -> None:
        async with world.target():
            await world.connect()
            task = settling(world)
            trouble: dict[str, CatalogError] = {
                name: CloudTimedOut("no answer") for name in ("machine", "image", "size")
            }
            fails_for(world, trouble)
            world.store.clock.advance(HOUR_S)
            await run_for(world, task, HOUR_S / 2)
            offers = await world.store.database.read(lambda tx: rows.where(tx, Offer))
            assert [each.state for each in offers] == [OfferState.DEGRADED] * 3
            del trouble["image"], trouble["size"]
            await run_for(world, task, 180.0)
            offers = await world.store.database.read(lambda tx: rows.where(tx, Offer))
            assert sorted(each.state.value for each in offers) == ["degraded", "offered", "offered"]
            await world.disconnect()

    asyncio.run(run())


def test_a_cloud_that_is_slow_and_well_is_read_as_often_as_any(world: Connecting) -> None:
    """Its first proof is out of date when the last one is made: that is no failure, and makes no pause grow."""
    world.accept_everything()
    usual = world.cloud.prove

    async def slow(capability: str) -> Proof:
        world.store.clock.advance(HOUR_S)
        return await usual(capability)

    async def run() -> None:
        async with world.target():
            await world.connect()
            task = settling(world)
            world.cloud.prove = slow  # type: ignore[method-assign]
            world.store.clock.advance(HOUR_S)
            world.cloud.calls.clear()
            await run_for(world, task, 100.0)
            assert Counter(world.cloud.calls)["prove"] == 3 * 10
            await world.disconnect()

    asyncio.run(run())
