"""A right is removed at the cloud and the offer turns degraded; it is given back, and the offer is open again."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from catalog.clouds import MachineAction
from tests.support.clouds import DEBIAN, REGION, moto_cloud
from tests.support.small_world import SmallWorld, small_world
from tests.support.waiting import wait_until

OPTIONS = {"image_owner": DEBIAN, "sizes": "t3.micro,t3.small"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """A world around a real EC2 API, whose rights are looked at every second."""
    settings = "[discovery]\nperiod_s = 1.0\n"
    folder = tmp_path_factory.mktemp("world")
    with small_world(folder, settings=settings, running=moto_cloud) as world:
        world.start_gateway()
        world.declare_network()
        world.enrol(region=REGION, options=OPTIONS)
        world.connect()
        world.accept_all()
        yield world


def offer(world: SmallWorld) -> dict[str, Any]:
    """Return the offer of machines."""
    (found,) = [each for each in world.admin.offers.list() if each["capability"] == "machine"]
    return dict(found)


def right(world: SmallWorld) -> dict[str, Any]:
    """Return the right to machines, as the platform's owner sees it."""
    (found,) = [each for each in world.platform.platforms.rights("private") if each["capability"] == "machine"]
    return dict(found)


def test_a_right_that_is_removed_degrades_its_offer_and_one_given_back_opens_it(world: SmallWorld) -> None:
    """Degraded with the call that was refused, never deleted, and closed to orders; the other offers stay open."""
    assert (offer(world)["state"], right(world)["state"]) == ("offered", "held")
    before, choice = offer(world)["id"], world.machine_choice()
    assert choice is not None
    world.cloud.faults({"match": "RunInstances", "kind": "denied"})
    wait_until(lambda: offer(world)["state"] == "degraded", "the offer of machines is degraded")
    assert (offer(world)["id"], offer(world)["reason"]) == (before, "the account may not do this: DryRun RunInstances")
    wait_until(lambda: right(world)["state"] == "lost", "the right is known to be lost")
    assert (right(world)["request"], right(world)["detail"]) == ("DryRun RunInstances", "HTTP 403")
    assert right(world)["request_id"]
    assert world.on_offer() == world.accepted() - {"machine"}
    world.cloud.faults()
    wait_until(lambda: offer(world)["state"] == "offered", "the offer of machines is open again", patience_s=120)
    wait_until(lambda: right(world)["state"] == "held", "the right is held again")
    assert offer(world)["id"] == before
    told = [event["kind"] for event in world.platform.events.list() if event["kind"].startswith("right.")]
    assert "right.lost" in told


def test_what_somebody_does_to_a_machine_at_the_cloud_is_told_field_by_field(world: SmallWorld) -> None:
    """The machine is listed with the platform as ours; ended behind our back, its drift says so, and an event does."""
    tenant, choice = world.tenant(), world.machine_choice()
    assert choice is not None
    order = tenant.orders.create(**choice)
    done = tenant.orders.wait(order["id"], until=lambda each: each["state"] in {"fulfilled", "failed"}, timeout_s=60)
    assert done["state"] == "fulfilled"
    machine = str(done["machine"])
    cloud_id = str(tenant.machines.get(machine)["cloud_id"])

    def listed() -> dict[str, Any]:
        found = [dict(each) for each in world.platform.platforms.machines("private") if each["cloud_id"] == cloud_id]
        return found[0] if found else {}

    wait_until(lambda: listed().get("machine") == machine, "the machine is listed with its platform")
    assert tenant.machines.get(machine)["drift"] == []
    driver = world.cloud.driver(region=REGION)
    asyncio.run(ended(driver, cloud_id))
    wait_until(lambda: tenant.machines.get(machine)["drift"] != [], "the drift is known")
    assert tenant.machines.get(machine)["drift"] == [{"field": "status", "catalog": "in-use", "cloud": "gone"}]
    told = [event["data"]["drift"] for event in tenant.events.list() if event["kind"].startswith("machine.")]
    assert told[-1] == [{"field": "status", "catalog": "in-use", "cloud": "gone"}]


async def ended(driver: Any, cloud_id: str) -> None:
    """Destroy the machine past the gateway."""
    try:
        await driver.act(cloud_id, MachineAction.DESTROY)
    finally:
        await driver.close()
