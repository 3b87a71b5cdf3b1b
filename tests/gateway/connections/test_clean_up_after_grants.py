"""After a machine grant has ended, what we made under it can be found, read and destroyed, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from catalog import consent
from catalog.clouds import CloudDriver, MachineAction, MachineSpec, MachineStatus
from catalog.errors import CloudRefused, CloudTimedOut
from catalog.model.audit import AuditRecord
from catalog.model.consent import Grant, Side
from catalog.model.ids import MachineId
from catalog.model.machine import MACHINE_TRANSITIONS, Machine, MachineEvent
from catalog.model.offering import Offer
from catalog.model.terms import EndRule
from catalog.store import rows
from catalog.store.database import Tx
from catalog.winding_down import CLEARING_S
from gateway.background.refresh_machines import RefreshMachines
from gateway.connections.clouds import RoutedClouds
from gateway.connections.enforcement import Enforcement
from gateway.connector.policy import Verdict
from tests.support.connecting import Connecting, granting
from tests.support.listed import listed
from tests.support.rounds import one_round

LIFETIME_S = 1000.0
OURS = MachineId("machine_M")
TAGS = {"crossway-owner": "us", "crossway-machine": OURS}
REFUSED: dict[str, Callable[[CloudDriver], Awaitable[object]]] = {
    "create": lambda driver: driver.create_machine(MachineSpec(name="m", size="s1", image="i1", tags=TAGS)),
    "list": lambda driver: listed(driver, "machine"),
    "find others": lambda driver: driver.find_machines({"team": "theirs"}),
    "find all": lambda driver: driver.find_machines({}),
    "prove": lambda driver: driver.prove("machine"),
    "read another": lambda driver: driver.machine("vm-0002"),
    "destroy another": lambda driver: driver.act("vm-0002", MachineAction.DESTROY),
    "start": lambda driver: driver.act("vm-0001", MachineAction.START),
    "stop": lambda driver: driver.act("vm-0001", MachineAction.STOP),
    "reboot": lambda driver: driver.act("vm-0001", MachineAction.REBOOT),
}


async def machines_left(world: Connecting, end: str, *, reported: bool = True, **terms: Any) -> CloudDriver:
    """Make a machine of ours (vm-0001) and one of somebody's (vm-0002), end the grant, and return the driver."""
    await asyncio.to_thread(world.accept_everything)
    policy = granting(Verdict.GRANT, expires_after_s=LIFETIME_S)
    world.link.policy = replace(policy, rules={**policy.rules, "machine": replace(policy.rules["machine"], **terms)})
    await world.connect()
    now_s = world.store.now_s

    def made(tx: Any) -> None:
        (grant,) = rows.where(tx, Grant, capability="machine")
        (offer,) = rows.where(tx, Offer, grant_id=grant.id)
        machine = Machine(
            id=OURS, platform_id=world.platform, offer_id=offer.id, name="crossway-m", size="s1", image="i1",
            cloud_id="vm-0001" if reported else None,
        )  # fmt: skip
        rows.insert(tx, machine, now_s)
        if end == "revoked":
            consent.revoke(tx, grant.id, now_s)

    driver = await world.clouds.driver(world.platform)
    await driver.create_machine(MachineSpec(name="crossway-m", size="s1", image="i1", tags=TAGS))
    await driver.create_machine(MachineSpec(name="theirs", size="s1", image="i1", tags={"team": "theirs"}))
    await world.store.database.write(made)
    if end == "expired":
        world.store.clock.advance(LIFETIME_S)
    return driver


@pytest.mark.parametrize("reported", [True, False], ids=["reported", "known by its tags alone"])
@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_our_machine_is_found_read_and_destroyed(world: Connecting, end: str, reported: bool) -> None:  # noqa: FBT001
    """Each of the calls that cleaning up needs goes through, is counted, and touches our machine alone."""

    async def run() -> None:
        async with world.target():
            driver = await machines_left(world, end, reported=reported)
            live = world.live.to_platform(world.platform)
            before = [each.calls for each in await world.open_sessions(live.connection)]
            (found,) = await driver.find_machines(TAGS)
            assert await driver.machine(found.cloud_id) is not None
            await driver.act(found.cloud_id, MachineAction.DESTROY)
            await driver.act(found.cloud_id, MachineAction.DESTROY)  # gone already: may be repeated
            assert world.cloud.destroyed == ["vm-0001"]
            assert [each.calls for each in await world.open_sessions(live.connection)] == [each + 4 for each in before]
            await world.establisher.live_closed(live)

    asyncio.run(run())


@pytest.mark.parametrize("call", REFUSED)
@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_everything_else_is_refused(world: Connecting, end: str, call: str) -> None:
    """Nothing is created, started, stopped or listed any more, and no machine of others is read or destroyed."""

    async def run() -> None:
        async with world.target():
            driver = await machines_left(world, end)
            with pytest.raises(CloudRefused):
                await REFUSED[call](driver)
            assert (len(world.cloud.ledger), world.cloud.destroyed) == (2, [])
            assert {each.status for each in world.cloud.present} <= {MachineStatus.PENDING, MachineStatus.RUNNING}
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


CLEANING: dict[str, Callable[[CloudDriver], Awaitable[object]]] = {
    "find": lambda driver: driver.find_machines(TAGS),
    "read": lambda driver: driver.machine("vm-0001"),
    "destroy": lambda driver: driver.act("vm-0001", MachineAction.DESTROY),
}


@pytest.mark.parametrize("call", CLEANING)
def test_the_session_ends_with_its_deadline(world: Connecting, call: str) -> None:
    """Until the deadline the call goes through; from that second on it is refused, and the cloud hears nothing."""

    async def run() -> None:
        async with world.target():
            driver = await machines_left(world, "revoked", on_end=EndRule.DRAIN, wind_down_s=600.0)
            world.store.clock.advance(600.0 + CLEARING_S - 1)
            await driver.find_machines(TAGS)
            world.store.clock.advance(1)
            with pytest.raises(CloudRefused):
                await CLEANING[call](driver)
            assert world.cloud.destroyed == []
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_a_destruction_that_outlasts_the_deadline_is_cut(world: Connecting) -> None:
    """The cloud never answers: nothing speaks against the call until the deadline; then its outcome is unknown."""
    world.cloud.hold_deeds = asyncio.Event()
    calls, store = world.clouds.calls, world.store
    enforcement = Enforcement(store.database, store.clock, calls, world.live, world.keeper.let_go)

    async def run() -> None:
        async with world.target():
            driver = await machines_left(world, "revoked", on_end=EndRule.DRAIN, wind_down_s=600.0)

            async def outlast() -> None:
                await world.cloud.deed_begun.wait()
                store.clock.advance(600.0 + CLEARING_S - 1)
                assert await store.database.read(lambda tx: calls.verdicts(tx, store.now_s)) == {}
                store.clock.advance(1)
                await enforcement.review()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(outlast())
                with pytest.raises(CloudTimedOut, match="not known"):
                    await driver.act("vm-0001", MachineAction.DESTROY)
            assert world.cloud.destroyed == []
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_what_is_done_in_the_session_is_audited(world: Connecting) -> None:
    """What is found, read and destroyed after the end is in the audit log: by whom, which machine, on which way."""

    async def run() -> None:
        async with world.target():
            driver = await machines_left(world, "revoked")
            for call in CLEANING.values():
                await call(driver)
            noted = await world.store.database.read(lambda tx: rows.where(tx, AuditRecord))
            assert [(each.action, each.data["machine"]) for each in noted] == [
                ("wind_down_find", OURS),
                ("wind_down_read", "vm-0001"),  # once, though destroying reads it again
                ("wind_down_destroy", "vm-0001"),
            ]
            assert {(each.actor, each.result) for each in noted} == {("gateway", "passed")}
            assert {each.via["platform"] for each in noted} == {world.platform}
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_routine_reading_is_noted_once_an_epoch(world: Connecting) -> None:
    """However often, for however long, and whoever restarts meanwhile: a log that is kept for ever does not grow."""

    def change(tx: Tx, deed: Callable[..., object]) -> None:
        (grant,) = rows.where(tx, Grant, capability="machine")
        deed(tx, grant.id, Side.GATEWAY, world.store.now_s)

    def deliver(tx: Tx) -> None:
        rows.move(tx, rows.by_id(tx, Machine, OURS), MACHINE_TRANSITIONS, MachineEvent.DELIVERED, world.store.now_s)

    def restarted() -> RoutedClouds:
        return RoutedClouds(
            database=world.store.database, sealer=world.store.sealer, live=world.live, clock=world.store.clock,
            build_driver=lambda _account, _dialer: world.cloud,
        )  # fmt: skip

    async def noted() -> list[str]:
        return [each.action for each in await world.store.database.read(lambda tx: rows.where(tx, AuditRecord))]

    async def run() -> None:
        async with world.target():
            driver = await machines_left(world, "stands")
            await world.store.database.write(deliver)
            once = ["wind_down_read", "wind_down_find"]
            for epoch in (1, 2):
                await world.store.database.write(lambda tx: change(tx, consent.suspend))
                for clouds in (world.clouds, restarted()):
                    refresh = RefreshMachines(database=world.store.database, clock=world.store.clock, clouds=clouds)
                    for _ in range(3):
                        world.store.clock.advance(60)
                        await one_round(refresh)
                        await (await clouds.driver(world.platform)).find_machines(TAGS)
                assert await noted() == once * epoch
                await world.store.database.write(lambda tx: change(tx, consent.resume))
            await world.store.database.write(lambda tx: change(tx, consent.suspend))
            await driver.act("vm-0001", MachineAction.DESTROY)
            assert await noted() == [*once, *once, "wind_down_read", "wind_down_destroy"]
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_what_a_standing_grant_covers_is_no_winding_down(world: Connecting) -> None:
    """The same calls under the grant leave no such record."""

    async def run() -> None:
        async with world.target():
            driver = await machines_left(world, "stands")
            for call in CLEANING.values():
                await call(driver)
            assert await world.store.database.read(lambda tx: rows.where(tx, AuditRecord)) == []
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())
