"""After a machine grant has ended, what we made under it can be found, read and destroyed, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from catalog import consent
from catalog.errors import CloudRefused
from catalog.model.consent import Grant
from catalog.model.ids import MachineId
from catalog.model.machine import Machine
from catalog.model.offering import Offer
from catalog.ports import CloudDriver, MachineAction, MachineSpec, MachineStatus
from catalog.store import rows
from gateway.connector.policy import Verdict
from tests.support.connecting import Connecting, granting

LIFETIME_S = 1000.0
OURS = MachineId("machine_M")
TAGS = {"crossway-owner": "us", "crossway-machine": OURS}
REFUSED: dict[str, Callable[[CloudDriver], Awaitable[object]]] = {
    "create": lambda driver: driver.create_machine(MachineSpec(name="m", size="s1", image="i1", tags=TAGS)),
    "list": lambda driver: driver.machines(),
    "find others": lambda driver: driver.find_machines({"team": "theirs"}),
    "find all": lambda driver: driver.find_machines({}),
    "prove": lambda driver: driver.prove("machine"),
    "read another": lambda driver: driver.machine("vm-0002"),
    "destroy another": lambda driver: driver.act("vm-0002", MachineAction.DESTROY),
    "start": lambda driver: driver.act("vm-0001", MachineAction.START),
    "stop": lambda driver: driver.act("vm-0001", MachineAction.STOP),
    "reboot": lambda driver: driver.act("vm-0001", MachineAction.REBOOT),
}


async def machines_left(world: Connecting, end: str, *, reported: bool = True) -> CloudDriver:
    """Make a machine of ours (vm-0001) and one of somebody's (vm-0002), end the grant, and return the driver."""
    await asyncio.to_thread(world.accept_everything)
    world.link.policy = granting(Verdict.GRANT, expires_after_s=LIFETIME_S)
    connection = await asyncio.to_thread(world.request)
    await world.begin(connection)
    await world.establisher.run(connection)
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
