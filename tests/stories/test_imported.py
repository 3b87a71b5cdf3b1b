"""A machine that its owner made at a real EC2 API is imported: watched, steered, let go of, destroyed on request."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from catalog.clouds import CloudDriver, CloudMachine, MachineSpec, MachineStatus
from gateway.client import ApiProblem
from gateway.client.client import Client
from gateway.client.ordered import Order
from tests.support.clouds import DEBIAN, REGION, moto_cloud
from tests.support.small_world import SmallWorld, small_world
from tests.support.waiting import wait_until

T = TypeVar("T")

OPTIONS = {"image_owner": DEBIAN, "sizes": "t3.micro,t3.small"}
VERBS = ["create", "list", "reboot", "stop", "start", "destroy", "adopt"]
POLICY = (
    f'[policy.machine]\ndecision = "grant"\nverbs = {json.dumps(VERBS)}\nscope = {{ networks = ["subnet-*"] }}\n'
    + "".join(f'[policy.{name}]\ndecision = "grant"\n' for name in ("image", "size", "network"))
)
SERVICES = ("machine", "image", "size", "network")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """A world around a real EC2 API, whose owner lets machines of its own be adopted, and is listed every second."""
    folder = tmp_path_factory.mktemp("world")
    settings = "[discovery]\nperiod_s = 1.0\n"
    with small_world(folder, policy=POLICY, services=SERVICES, settings=settings, running=moto_cloud) as world:
        world.start_gateway()
        world.declare_network()
        world.enrol(region=REGION, options=OPTIONS)
        world.connect()
        world.accept_all()
        yield world


def at_cloud(world: SmallWorld, work: Callable[[CloudDriver], Awaitable[T]]) -> T:
    """Do ``work`` at the cloud, past the gateway."""

    async def done() -> T:
        driver: CloudDriver = world.cloud.driver(region=REGION)
        try:
            return await work(driver)
        finally:
            await driver.close()

    return asyncio.run(done())


def networks(world: SmallWorld) -> list[str]:
    """Return the networks that can be ordered."""
    (offer,) = [each for each in world.admin.offers.list() if each["capability"] == "machine"]
    return [str(each["id"]) for each in world.admin.offers.get(offer["id"])["networks"]]


def found(world: SmallWorld, name: str) -> str:
    """Make a machine as its owner would, wait until the gateway knows of it, and return its id at the cloud."""
    choice = world.machine_choice()
    assert choice is not None
    spec = MachineSpec(
        name=name, size=choice["size"], image=choice["image"], tags={"owner": "us"}, network=networks(world)[0]
    )
    cloud_id = at_cloud(world, lambda driver: driver.create_machine(spec)).cloud_id
    wait_until(lambda: cloud_id in listed(world), "the machine is listed with its platform")
    return cloud_id


def listed(world: SmallWorld) -> dict[str, Any]:
    """Return the machines at the platform by their ids there."""
    return {each["cloud_id"]: dict(each) for each in world.admin.platforms.machines("private")}


def seen(world: SmallWorld, cloud_id: str) -> CloudMachine | None:
    """Return the machine as its cloud tells it."""
    return at_cloud(world, lambda driver: driver.machine(cloud_id))


def is_ended(world: SmallWorld, cloud_id: str) -> bool:
    """Return whether nothing runs of the machine any more."""
    machine = seen(world, cloud_id)
    return machine is None or machine.status is MachineStatus.GONE


def refused(work: Callable[[], object]) -> tuple[int, str | None]:
    """Return with which status ``work`` is refused, and about which field."""
    with pytest.raises(ApiProblem) as problem:
        work()
    return problem.value.status, problem.value.field


def imported(world: SmallWorld, cloud_id: str, project: str, custody: str) -> str:
    """Import the machine and return its id here."""
    asked = {"platform": "private", "machine": cloud_id, "project": project, "custody": custody}
    return str(world.admin.machines.import_existing(**asked)["id"])


def test_an_owner_s_machine_is_watched_then_steered_then_let_go(world: SmallWorld) -> None:
    """Observed, its project sees it and cannot touch it; managed, it stops at the cloud; released, it is left as it is.

    Only when somebody asks for just that is it destroyed, although it carries no mark of ours.
    """
    tenant: Client = world.tenant("watchers")
    cloud_id = found(world, "by-hand")
    machine = imported(world, cloud_id, "watchers/shop", "observed")
    shown = tenant.machines.get(machine)
    assert (shown["cloud_id"], shown["custody"], shown["state"]) == (cloud_id, "observed", "in-use")
    assert shown["network"] == networks(world)[0]
    assert refused(lambda: tenant.machines.act(machine, "stop")) == (403, "action")
    assert refused(lambda: tenant.machines.act(machine, "destroy")) == (403, "action")
    running = seen(world, cloud_id)
    assert running is not None
    assert running.status is MachineStatus.RUNNING

    world.admin.machines.entrust(machine, "managed")
    tenant.machines.act(machine, "stop")
    assert world.admin.machines.release(machine)["state"] == "gone"
    left = seen(world, cloud_id)
    assert left is not None
    assert (left.status, dict(left.tags)["owner"]) == (MachineStatus.STOPPED, "us")

    again = imported(world, cloud_id, "watchers/shop", "managed")
    tenant.machines.act(again, "destroy")
    wait_until(lambda: tenant.machines.get(again)["state"] == "gone", "it is destroyed")
    assert is_ended(world, cloud_id)


def test_an_order_is_attached_to_a_network_that_is_granted(world: SmallWorld) -> None:
    """Several are granted, so that one has to be named; the machine is in that one, and drifts from nothing."""
    tenant: Client = world.tenant("networkers")
    choice = world.machine_choice()
    assert choice is not None

    def ordered(network: str | None) -> Order:
        return tenant.orders.create(offer=choice["offer"], size=choice["size"], image=choice["image"], network=network)

    assert refused(lambda: ordered(None)) == (403, "network")
    network = networks(world)[-1]
    order = ordered(network)
    done = tenant.orders.wait(order["id"], until=lambda each: each["state"] in {"fulfilled", "failed"}, timeout_s=60)
    assert done["state"] == "fulfilled"
    machine = tenant.machines.get(str(done["machine"]))
    attached = seen(world, str(machine["cloud_id"]))
    assert attached is not None
    assert (machine["network"], attached.network) == (network, network)
    wait_until(lambda: str(machine["cloud_id"]) in listed(world), "it is listed")
    assert tenant.machines.get(machine["id"])["drift"] == []
