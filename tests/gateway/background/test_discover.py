"""What accounts can do is looked at again and again; what is new is proposed, and a sick cloud is left alone."""

import asyncio

from catalog import rights
from catalog.clouds import Proof
from catalog.errors import CloudUnavailable
from catalog.model.consent import Grant, GrantState
from catalog.model.right import RightState
from catalog.store import rows
from gateway.background.discover import Discover
from gateway.connector.policy import Verdict
from tests.support.connecting import Connecting, granting
from tests.support.rounds import one_round

PERIOD_S = 100.0


def discovering(world: Connecting) -> Discover:
    """Return the task."""
    store = world.store
    return Discover(
        database=store.database, clock=store.clock, live=world.live, publisher=world.publisher, period_s=PERIOD_S
    )


async def known(world: Connecting) -> dict[str, RightState]:
    """Return the state of every right by capability."""
    found = await world.store.database.read(lambda tx: rights.of_platform(tx, world.platform))
    return {right.capability: right.state for right in found}


async def grants(world: Connecting) -> dict[str, GrantState]:
    """Return the state of every grant by capability."""
    found = await world.store.database.read(lambda tx: rows.where(tx, Grant, platform_id=world.platform))
    return {grant.capability: grant.state for grant in found}


def test_each_platform_is_looked_at_once_a_period(world: Connecting) -> None:
    """At once when it is new, not again before the period is over, and then again."""

    async def run() -> None:
        async with world.target():
            await world.connect()
            task = discovering(world)
            for pause_s, looks in ((0.0, 1), (PERIOD_S / 2, 1), (PERIOD_S, 2)):
                world.store.clock.advance(pause_s)
                await one_round(task)
                assert world.cloud.calls.count("rights") == looks
            await world.establisher.live_closed(world.live.to_platform(world.platform))
            world.store.clock.advance(2 * PERIOD_S)
            await one_round(task)  # and nobody asks a platform that cannot be reached
            assert world.cloud.calls.count("rights") == 2

    asyncio.run(run())


def test_what_is_not_granted_is_looked_at_on_schedule_too(world: Connecting) -> None:
    """That granted rights were proved a moment ago, because they were published, does not put the look off."""
    world.accept_everything()

    async def run() -> None:
        async with world.target():
            await world.connect()
            task, absent = discovering(world), Proof(capability="volume", allowed=False, request="service list")
            now_s = world.store.now_s
            await world.store.database.write(lambda tx: rights.record(tx, world.platform, [absent], now_s))
            looks = []
            for _ in range(6):
                world.store.clock.advance(PERIOD_S / 2)
                await world.publisher.run(world.platform)
                await one_round(task)
                looks.append(world.cloud.calls.count("rights"))
            assert looks == [0, 1, 1, 2, 2, 3]
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_a_new_right_is_proposed_and_what_the_owner_denied_is_not(world: Connecting) -> None:
    """A capability that nobody was asked for becomes a proposal, once; a denied one stays denied."""
    world.link.policy = granting(Verdict.GRANT, "image")

    async def forget_size() -> None:
        def work(tx: object) -> None:
            rows.delete(tx, rows.where(tx, Grant, capability="size")[0])  # type: ignore[arg-type]

        await world.store.database.write(work)

    async def run() -> None:
        async with world.target():
            await world.connect()
            await forget_size()
            task = discovering(world)
            for _ in range(2):
                await one_round(task)
                assert (await grants(world))["size"] is GrantState.PROPOSED
                assert (await grants(world))["machine"] is GrantState.DENIED
                assert (await known(world))["size"] is RightState.PROPOSED
                assert (await known(world))["machine"] is RightState.HELD
                world.store.clock.advance(2 * PERIOD_S)
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_a_cloud_that_does_not_answer_is_asked_less_often(world: Connecting) -> None:
    """A failure changes nothing that is known, and the next run does not ask again at once."""

    async def run() -> None:
        async with world.target():
            await world.connect()
            task = discovering(world)
            before = await known(world)
            world.cloud.failures["rights"] = [CloudUnavailable("down")]
            for _ in range(2):
                await one_round(task)
            assert world.cloud.calls.count("rights") == 1
            assert await known(world) == before
            world.store.clock.advance(60)
            await one_round(task)
            assert world.cloud.calls.count("rights") == 2
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())
