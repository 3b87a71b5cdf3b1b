"""From enrolment to a machine that is stopped, started, rebooted and destroyed, at a whole OpenStack behind relays."""

import pytest

from tests.support.openstack_cloud.places import REGION
from tests.support.openstack_cloud.seeding import PASSWORD, SIZES
from tests.support.openstack_world import IMAGE, PATIENCE_S, SERVICES, OpenStack, Shopper
from tests.support.small_world import PLATFORM, SmallWorld
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def shopper(world: SmallWorld) -> Shopper:
    """Return somebody who orders."""
    return Shopper(client=world.tenant("acme"))


def test_the_platform_is_enrolled_with_an_endpoint_for_each_service(world: SmallWorld, cloud: OpenStack) -> None:
    """Keystone, Nova and Glance each live on a port of their own, under the cloud's real name, and are approved."""
    platform = world.admin.platforms.get(PLATFORM)
    assert (platform["provider"], platform["region"]) == ("openstack", REGION)
    urls = {each["purpose"]: each["url"] for each in platform["endpoints"] if each["state"] == "approved"}
    assert urls.pop("connector")
    assert urls == {
        "api": cloud.places.public("keystone"),
        "compute": cloud.places.public("nova"),
        "image": cloud.places.public("glance"),
    }


def test_the_handshake_granted_what_the_owner_s_policy_says(world: SmallWorld) -> None:
    """Every capability of the policy is granted, accepted, proved at the cloud, and on offer."""
    assert world.accepted() == world.on_offer() == set(SERVICES)
    (connection,) = world.admin.connections.list()
    sessions = {each["leg"]: each["calls"] for each in world.admin.connections.sessions(connection["id"])}
    assert sessions["gateway"] == sessions["transport"] == sessions["target"] > 0


def test_the_catalog_shows_flavours_and_images_normalised(world: SmallWorld, shopper: Shopper) -> None:
    """A flavour's cores, memory and disk, and an image's system, stand in the terms in which clouds are compared."""
    (offer,) = [each for each in shopper.client.offers.list() if each["capability"] == "machine"]
    shown = shopper.client.offers.get(offer["id"])
    sizes = {each["name"]: each["normalised"] for each in shown["sizes"]}
    assert set(sizes) == set(SIZES)
    facts = {name: (known["vcpu"], known["memory_gib"], known["disk_gib"]) for name, known in sizes.items()}
    assert facts["m1.small"] == (1, 2, 20)
    assert facts["m1.medium"] == (2, 4, 40)
    images = {each["name"]: each["normalised"] for each in shown["images"]}
    debian = images[IMAGE]
    assert (debian["os_family"], debian["os_version"], debian["architecture"]) == ("debian", "12", "x86_64")
    assert world.cloud.address.host not in str(dict(shown))


def test_an_order_becomes_one_active_server(cloud: OpenStack, shopper: Shopper) -> None:
    """The order ends with one server that Nova calls ACTIVE, with an address, of the size and image ordered."""
    order = shopper.order(key="the-first")
    assert shopper.order(key="the-first") == order
    machine = shopper.machine(order)
    (server,) = cloud.servers()
    assert (server["status"], server["id"]) == ("ACTIVE", machine["cloud_id"])
    assert server["metadata"]["crossway-order"] == order
    assert server["flavor"]["id"] == cloud.size("m1.small")
    told = [each["addr"] for network in server["addresses"].values() for each in network]
    assert machine["addresses"] == told != []


@pytest.mark.parametrize(("action", "state"), [("stop", "SHUTOFF"), ("start", "ACTIVE"), ("reboot", "ACTIVE")])
def test_a_machine_is(cloud: OpenStack, shopper: Shopper, action: str, state: str) -> None:
    """What its holder asks for is done to the server, and to no other."""
    (machine,) = [each for each in shopper.client.machines.list() if each["state"] == "in-use"]
    shopper.client.machines.act(machine["id"], action)

    def settled() -> bool:
        (server,) = cloud.servers()
        return bool((server["status"], server["OS-EXT-STS:task_state"]) == (state, None))

    wait_until(settled, f"the server is {state}", patience_s=PATIENCE_S)
    actions = cloud.customer().ask("nova", "GET", f"/v2.1/servers/{machine['cloud_id']}/os-instance-actions")
    assert actions["instanceActions"][0]["action"] == action


def test_what_cannot_be_asked_again_says_so_and_harms_nothing(cloud: OpenStack, shopper: Shopper) -> None:
    """Starting what runs is no failure."""
    (machine,) = [each for each in shopper.client.machines.list() if each["state"] == "in-use"]
    shopper.client.machines.act(machine["id"], "start")
    assert [server["status"] for server in cloud.servers()] == ["ACTIVE"]


def test_a_destroyed_machine_is_gone_from_the_cloud(cloud: OpenStack, shopper: Shopper) -> None:
    """The last of its module: the server is deleted and nothing is left of it."""
    (machine,) = [each for each in shopper.client.machines.list() if each["state"] == "in-use"]
    shopper.destroy(machine["id"])
    assert cloud.servers() == []


def test_the_password_shows_nowhere(world: SmallWorld) -> None:
    """The project's password is in no log and no file of the gateway's."""
    assert world.gateway is not None
    files = b"".join(path.read_bytes() for path in world.state_dir.rglob("*") if path.is_file())
    assert PASSWORD not in world.gateway.log
    assert PASSWORD.encode() not in files
