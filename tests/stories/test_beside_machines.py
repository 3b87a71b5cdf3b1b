"""What is made beside machines at real APIs, from the order to the end; made once though the gateway dies."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from catalog.cloud_assets import AssetKind, CloudAsset
from catalog.ports import ApprovedEndpoint
from gateway.client.client import Client
from gateway.client.problems import ApiProblem
from tests.support.clouds import DEBIAN, REGION, moto_cloud
from tests.support.small_world import GRANT_ALL, SERVICES, SmallWorld, small_world
from tests.support.waiting import wait_until

BESIDE = ("container", "zone", "balancer")
POLICY = GRANT_ALL + "".join(f'[policy.{name}]\ndecision = "grant"\non_end = "destroy"\n' for name in BESIDE)
OPTIONS = {"image_owner": DEBIAN, "sizes": "t3.micro,t3.small"}


@dataclass(frozen=True)
class Shop:
    """A world around a real EC2 API whose owner grants everything, and a project in it."""

    world: SmallWorld
    tenant: Client

    def ready(self, **wanted: Any) -> dict[str, Any]:
        """Order an asset, and return it once it can be used."""
        return self.made(self.tenant.assets.create(**wanted)["id"])

    def made(self, asset: str) -> dict[str, Any]:
        """Wait until the asset's order has ended well, and return it."""
        ended = self.tenant.assets.wait(asset, until=lambda each: each["state"] in {"ready", "failed"}, timeout_s=90)
        assert ended["state"] == "ready", ended
        return dict(ended)

    def there(self, kind: AssetKind = AssetKind.VOLUME) -> list[CloudAsset]:
        """Return what the cloud itself has of the project's, asked past the gateway."""
        known = [each["id"] for each in self.tenant.assets.list(kind=str(kind))]

        async def look() -> list[CloudAsset]:
            cloud = self.world.cloud
            services = tuple(ApprovedEndpoint(**each, dial=cloud.address) for each in cloud.services().values())
            driver = cloud.driver(region=REGION, services=services)
            try:
                found = [await driver.assets.find(kind, {"crossway-asset": each}) for each in known]
            finally:
                await driver.close()
            return [asset for assets in found for asset in assets]

        return asyncio.run(look())

    def states(self) -> set[str]:
        """Return the states in which the project's assets are."""
        return {each["state"] for each in self.tenant.assets.list()}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Everything granted, accepted and on offer."""
    folder = tmp_path_factory.mktemp("world")
    with small_world(folder, running=moto_cloud, services=(*SERVICES, *BESIDE), policy=POLICY) as world:
        world.start_gateway()
        world.declare_network()
        services = world.cloud.services()
        approved = [{"purpose": each, **at, "dial": str(world.cloud.address)} for each, at in services.items()]
        world.enrol(region=REGION, options=OPTIONS, services=services, approved=approved)
        world.connect()
        for grant in world.admin.grants.list():
            world.admin.grants.accept(grant["id"])
        wait_until(lambda: {"machine", "volume", *BESIDE} <= world.on_offer(), "all is on offer", patience_s=180)
        wait_until(lambda: world.machine_choice() is not None, "machines are on offer", patience_s=120)
        yield Shop(world, world.tenant())


def test_a_volume_is_ordered_attached_pictured_and_outlives_its_machine(shop: Shop) -> None:
    """What the catalog offers is ordered; the volume is the machine's until that is gone, and then free again."""
    tenant, choice = shop.tenant, shop.world.machine_choice()
    assert choice is not None
    (offer,) = [each for each in tenant.offers.list() if each["capability"] == "volume"]
    assert offer["state"] == "offered"
    volume = shop.ready(kind="volume", offer=offer["id"], size_gib=3, name="data")
    assert volume["facts"]["size_gib"] == "3"
    order = tenant.orders.create(**choice)
    done = tenant.orders.wait(order["id"], until=lambda each: each["state"] in {"fulfilled", "failed"}, timeout_s=90)
    machine = str(done["machine"])

    tenant.assets.attach(volume["id"], machine)
    assert [asset.machines for asset in shop.there()] == [(tenant.machines.get(machine)["cloud_id"],)]
    picture = shop.ready(kind="snapshot", parent=volume["id"], name="picture")
    tenant.machines.act(machine, "destroy")
    tenant.machines.wait(machine, until=lambda each: each["state"] == "gone", timeout_s=90)
    assert tenant.assets.get(volume["id"])["machines"] == []
    assert len(shop.there()) == 1
    assert shop.ready(kind="volume", parent=picture["id"], name="copy")["facts"]["size_gib"] == "3"
    assert {"asset.creating", "asset.ready"} <= {event["kind"] for event in tenant.events.list()}


def test_a_machine_behind_a_balancer_has_a_name_and_a_bucket(shop: Shop) -> None:
    """Everything that a shop needs is ordered by the same way, and gone within the end rule once it is taken back."""
    tenant, choice = shop.tenant, shop.world.machine_choice()
    assert choice is not None
    order = tenant.orders.create(**choice)
    done = tenant.orders.wait(order["id"], until=lambda each: each["state"] in {"fulfilled", "failed"}, timeout_s=90)
    machine = str(done["machine"])
    balancer = shop.ready(kind="balancer", offer="private", name="front", options={"port": 80, "machine_port": 8080})
    tenant.assets.attach(balancer["id"], machine)
    (seen,) = shop.there(AssetKind.BALANCER)
    assert seen.machines == (tenant.machines.get(machine)["cloud_id"],)
    zone = shop.ready(kind="zone", offer="private", options={"domain": "shop.example.org"})
    named = {"host": "www.shop.example.org", "record_type": "CNAME", "value": balancer["facts"]["address"]}
    shop.ready(kind="record", parent=zone["id"], options=named)
    with pytest.raises(ApiProblem, match="has this record already"):
        tenant.assets.create(kind="record", parent=zone["id"], options=named)
    shop.ready(kind="container", offer="private", name="pictures")
    assert [len(shop.there(kind)) for kind in (AssetKind.ZONE, AssetKind.CONTAINER)] == [1, 1]

    for grant in shop.world.admin.grants.list():
        if grant["capability"] in BESIDE:
            shop.world.admin.grants.revoke(grant["id"])

    def left() -> set[str]:
        kinds = {*BESIDE, "record"}
        return {each["state"] for each in tenant.assets.list() if each["kind"] in kinds}

    wait_until(lambda: left() == {"gone"}, "everything is gone", patience_s=180)
    assert [*shop.there(AssetKind.BALANCER), *shop.there(AssetKind.ZONE), *shop.there(AssetKind.CONTAINER)] == []


@pytest.mark.parametrize("step", ["provision.create.begin", "provision.create.end"])
def test_a_gateway_that_dies_while_a_volume_is_made_makes_one(shop: Shop, step: str) -> None:
    """Killed before the call, or between call and record, the next one makes it, or finds what was made: one."""
    shop.world.stop_gateways()
    dying = shop.world.start_gateway(die_at=step)
    volume = shop.tenant.assets.create(kind="volume", offer="private", size_gib=4, name="once")["id"]
    dying.wait_killed()
    shop.world.start_gateway()
    shop.made(volume)
    assert len([asset for asset in shop.there() if asset.tags["crossway-asset"] == volume]) == 1


def test_once_its_grant_is_taken_back_nothing_more_is_made_and_everything_can_go(shop: Shop) -> None:
    """The offer is gone at once, an order refused; what is there is told of it, and its project can still end it."""
    assert shop.states() <= {"ready", "gone"}
    (grant,) = [each for each in shop.world.admin.grants.list() if each["capability"] == "volume"]
    shop.world.admin.grants.revoke(grant["id"])
    with pytest.raises(ApiProblem):
        shop.tenant.assets.create(kind="volume", offer="private", size_gib=1)
    there = [each for each in shop.tenant.assets.list() if each["state"] == "ready"]
    assert all("can still be destroyed" in each["notice"] for each in there)
    for asset in there:
        shop.tenant.assets.destroy(asset["id"])
    wait_until(lambda: shop.states() == {"gone"}, "everything is gone", patience_s=120)
    assert [*shop.there(), *shop.there(AssetKind.SNAPSHOT)] == []
