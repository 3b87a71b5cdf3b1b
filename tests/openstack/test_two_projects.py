"""Two projects of one OpenStack are two platforms of one gateway, and nothing of one is ever taken for the other's."""

from collections.abc import Iterator

import pytest

from tests.support.openstack_cloud.seeding import PROJECTS
from tests.support.openstack_world import OpenStack, Shopper, further_platform
from tests.support.small_world import PLATFORM, SmallWorld


@pytest.fixture(scope="module")
def shoppers(world: SmallWorld, cloud: OpenStack) -> Iterator[dict[str, Shopper]]:
    """Return, by the cloud's project, somebody who orders there."""
    client = world.tenant("acme")
    with further_platform(world, cloud, project="bank") as platform:
        yield {"shop": Shopper(client=client), "bank": Shopper(client=client, platform=platform)}


def test_an_order_is_made_in_its_platform_s_project_and_nowhere_else(
    cloud: OpenStack, shoppers: dict[str, Shopper]
) -> None:
    """The same cloud, sizes and images: what tells the two apart is whose project the platform is."""
    machines = {project: shopper.machine(shopper.order()) for project, shopper in shoppers.items()}
    assert {project: machine["platform"] for project, machine in machines.items()} == {
        "shop": PLATFORM,
        "bank": "bank",
    }
    for project in PROJECTS:
        (server,) = cloud.servers(project)
        assert server["id"] == machines[project]["cloud_id"]
        assert server["tenant_id"] == cloud.customer(project).project


def test_what_is_done_to_one_leaves_the_other_alone(cloud: OpenStack, shoppers: dict[str, Shopper]) -> None:
    """Destroying the one project's machines touches none of the other's."""
    machines = {each["platform"]: each for each in shoppers["shop"].client.machines.list() if each["state"] == "in-use"}
    shoppers["shop"].destroy(machines[PLATFORM]["id"])
    assert cloud.servers("shop") == []
    assert [server["id"] for server in cloud.servers("bank")] == [machines["bank"]["cloud_id"]]
    shoppers["bank"].destroy(machines["bank"]["id"])
    assert cloud.servers("bank") == []
