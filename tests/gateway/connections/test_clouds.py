"""Drivers behind tunnels: nothing leaves that is not granted, and every call that does is counted once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from catalog import consent, platforms
from catalog.clouds import CloudDriver, MachineAction, MachineSpec
from catalog.errors import CallsExhausted, CloudRefused, CloudUnavailable
from catalog.model.consent import Grant
from catalog.model.ids import MachineId
from catalog.model.machine import Custody, Machine, MachineState
from catalog.publish import publish
from catalog.secrets import Secret
from catalog.store import rows
from catalog.store.database import Tx
from gateway.connector.policy import Verdict
from tests.support.connecting import Connecting, granting
from tests.support.listed import listed

SPEC = MachineSpec(name="m", size="s1", image="i1", tags={})

CALLS: dict[str, Callable[[CloudDriver], Awaitable[object]]] = {
    "sizes": lambda driver: listed(driver, "size"),
    "images": lambda driver: listed(driver, "image"),
    "locations": lambda driver: listed(driver, "location"),
    "key_pairs": lambda driver: listed(driver, "key-pair"),
    "volumes": lambda driver: listed(driver, "volume"),
    "machines": lambda driver: listed(driver, "machine"),
    "find_machines": lambda driver: driver.find_machines({}),
    "machine": lambda driver: driver.machine("vm-1"),
    "create_machine": lambda driver: driver.create_machine(SPEC),
    "prove": lambda driver: driver.prove("image"),
    "rebuild": lambda driver: driver.rebuild("vm-1", "i1"),
    "resize": lambda driver: driver.resize("vm-1", "s1"),
    "rename": lambda driver: driver.rename("vm-1", "web"),
    "console": lambda driver: driver.console("vm-1"),
    **{action.value: lambda driver, action=action: driver.act("vm-1", action) for action in MachineAction},
}


async def connected(world: Connecting) -> CloudDriver:
    """Establish the platform's connection and return its driver."""
    await world.connect()
    world.cloud.calls.clear()
    return await world.clouds.driver(world.platform)


async def counts(world: Connecting) -> list[int]:
    """Return what each open session has counted."""
    live = world.live.to_platform(world.platform)
    return [each.calls for each in await world.open_sessions(live.connection)]


@pytest.mark.parametrize("call", CALLS)
def test_nothing_leaves_without_a_grant(world: Connecting, call: str) -> None:
    """Where the owner granted nothing, a call is refused before the cloud hears of it, and not counted."""
    world.link.policy = granting(Verdict.DENY)

    async def run() -> None:
        async with world.target():
            driver = await connected(world)
            before = await counts(world)
            with pytest.raises(CloudRefused):
                await CALLS[call](driver)
            assert (world.cloud.calls, world.cloud.ledger, world.cloud.destroyed) == ([], [], [])
            assert await counts(world) == before
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_every_granted_call_counts_once_in_all_three(world: Connecting) -> None:
    """Each business call adds one to every session; what is granted beside it does not help another capability."""
    world.accept_everything()

    async def run() -> None:
        async with world.target():
            driver = await connected(world)
            before = await counts(world)
            await listed(driver, "size")
            await driver.find_machines({})
            await driver.create_machine(SPEC)
            assert await counts(world) == [each + 3 for each in before]
            with pytest.raises(CloudRefused):
                await listed(driver, "volume")
            assert await counts(world) == [each + 3 for each in before]
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_a_verb_that_was_not_granted_is_refused(world: Connecting) -> None:
    """Who may create and list may look, and may not destroy."""
    world.accept_everything()
    policy = granting(Verdict.GRANT, "machine")
    world.link.policy = replace(policy, rules={"machine": replace(policy.rules["machine"], verbs=("create", "list"))})

    async def run() -> None:
        async with world.target():
            driver = await connected(world)
            made = await driver.create_machine(SPEC)
            assert await driver.machine(made.cloud_id) is not None
            with pytest.raises(CloudRefused):
                await driver.act(made.cloud_id, MachineAction.DESTROY)
            assert world.cloud.destroyed == []
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_a_machine_becomes_only_what_the_grant_has(world: Connecting) -> None:
    """Each change needs its own verb; an image or size outside of the scope is refused before the cloud hears of it."""
    world.accept_everything()
    policy = granting(Verdict.GRANT, "machine")
    rule = replace(policy.rules["machine"], scope={"images": ("i1",), "sizes": ("s1",)})
    world.link.policy = replace(policy, rules={"machine": rule})
    allowed = (CALLS["rebuild"], CALLS["resize"], CALLS["rename"], CALLS["console"])
    outside = (lambda driver: driver.rebuild("vm-0001", "i2"), lambda driver: driver.resize("vm-0001", "s2"))

    async def run() -> None:
        async with world.target():
            driver = await connected(world)
            made = await driver.create_machine(SPEC)
            await driver.rebuild(made.cloud_id, "i1")
            await driver.resize(made.cloud_id, "s1")
            await driver.rename(made.cloud_id, "web")
            assert await driver.console(made.cloud_id) == "web login:"
            for call in outside:
                with pytest.raises(CloudRefused, match="not granted"):
                    await call(driver)
            now_s = world.store.clock.now_s()
            await world.store.database.write(lambda tx: narrowed(tx, ["create", "list", "destroy"], now_s))
            for call in allowed:
                with pytest.raises(CloudRefused):
                    await call(driver)
            [kept] = world.cloud.present
            assert (kept.image, kept.size, kept.name) == ("i1", "s1", "web")
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


@pytest.mark.parametrize("custody", [Custody.OBSERVED, Custody.MANAGED])
def test_nothing_is_done_to_an_imported_machine_that_may_not_be(world: Connecting, custody: Custody) -> None:
    """The last door before the cloud: an observed machine is only read; a managed one obeys while that is granted."""
    world.accept_everything()
    world.link.policy = granting(Verdict.GRANT, "machine")

    async def run() -> None:
        async with world.target():
            driver = await connected(world)
            found = await driver.create_machine(SPEC)
            await world.store.database.write(lambda tx: imported_as(tx, world, found.cloud_id, custody))
            assert await driver.machine(found.cloud_id) is not None
            world.cloud.calls.clear()
            if custody is Custody.MANAGED:
                await driver.act(found.cloud_id, MachineAction.STOP)
                verbs = ["list", "stop", "destroy"]
                await world.store.database.write(lambda tx: narrowed(tx, verbs, world.store.now_s))
                world.cloud.calls.clear()
            for action in (MachineAction.STOP, MachineAction.DESTROY):
                with pytest.raises(CloudRefused):
                    await driver.act(found.cloud_id, action)
            assert (world.cloud.calls, world.cloud.destroyed) == ([], [])
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_an_ended_grant_leaves_no_imported_machine_to_us(world: Connecting) -> None:
    """In the wind-down of a grant what we made under it is destroyed; what was imported is not even read."""
    world.accept_everything()
    world.link.policy = granting(Verdict.GRANT, "machine")

    async def run() -> None:
        async with world.target():
            driver = await connected(world)
            ours, theirs = await driver.create_machine(SPEC), await driver.create_machine(SPEC)

            def end(tx: Tx) -> None:
                imported_as(tx, world, ours.cloud_id, Custody.MADE)
                imported_as(tx, world, theirs.cloud_id, Custody.MANAGED)
                grant = rows.where(tx, Grant, capability="machine")[0]
                consent.revoke(tx, grant.id, world.store.now_s)

            await world.store.database.write(end)
            world.cloud.calls.clear()
            with pytest.raises(CloudRefused, match="not made under it"):
                await driver.machine(theirs.cloud_id)
            with pytest.raises(CloudRefused, match="not made under it"):
                await driver.act(theirs.cloud_id, MachineAction.DESTROY)
            assert world.cloud.calls == []
            await driver.act(ours.cloud_id, MachineAction.DESTROY)
            assert world.cloud.destroyed == [ours.cloud_id]
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def imported_as(tx: Tx, world: Connecting, cloud_id: str, custody: Custody) -> None:
    """Have the machine with this id in the catalog."""
    grant = rows.where(tx, Grant, capability="machine")[0]
    offer = publish(tx, grant, world.store.now_s)
    machine = Machine(
        id=MachineId(f"machine_{cloud_id}"), platform_id=world.platform, offer_id=offer.id, name=cloud_id, size="s1",
        image="i1", state=MachineState.IN_USE, cloud_id=cloud_id, custody=custody.value,
    )  # fmt: skip
    rows.insert(tx, machine, world.store.now_s)


def narrowed(tx: Tx, verbs: list[str], now_s: float) -> None:
    """Let the grant of machines have ``verbs`` alone."""
    rows.update(tx, rows.where(tx, Grant, capability="machine")[0], {"verbs": verbs}, now_s)


def test_calls_beyond_those_of_a_minute_are_refused_and_not_sent(world: Connecting) -> None:
    """The cloud hears nothing, the sessions count nothing, and the error says when to come again; then it passes."""
    world.accept_everything()
    world.link.policy = granting(calls_per_minute=10)

    async def run() -> None:
        async with world.target():
            driver = await connected(world)
            world.store.clock.advance(60)
            for _ in range(5):  # so many of ten a minute at once
                await listed(driver, "size")
            before = await counts(world)
            with pytest.raises(CallsExhausted) as refused:
                await listed(driver, "size")
            assert refused.value.retry_after_s == 10  # the others evenly: six in a minute
            await listed(driver, "image")
            assert (world.cloud.calls, await counts(world)) == (["sizes"] * 5 + ["images"], [n + 1 for n in before])
            world.store.clock.advance(10)
            await listed(driver, "size")
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_there_is_no_driver_without_a_connection(world: Connecting) -> None:
    """Asked for before anything is established, it fails now rather than in the middle of a call."""
    with pytest.raises(CloudUnavailable):
        asyncio.run(world.clouds.driver(world.platform))


def test_a_driver_is_kept_until_its_account_changes(world: Connecting) -> None:
    """The same account has one driver, whoever asks; a new secret makes another and lets go of the first."""

    async def run() -> None:
        await world.clouds.ungranted(world.platform)
        await world.clouds.ungranted(world.platform)
        assert (len(world.built), world.cloud.closed) == (1, False)
        now_s = world.store.now_s
        await world.store.database.write(
            lambda tx: platforms.replace_secret(tx, world.platform, Secret("rotated"), world.store.sealer, now_s)
        )
        await world.clouds.ungranted(world.platform)
        assert [account.secret.reveal() for account in world.built][1:] == ["rotated"]
        assert world.cloud.closed
        await world.clouds.close()

    asyncio.run(run())
