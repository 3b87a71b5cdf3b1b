"""What goes wrong at an OpenStack, and how orders end then: with one machine, or with none and a reason."""

from collections.abc import Iterator

import pytest

from tests.support.openstack_cloud.rest import call
from tests.support.openstack_cloud.seeding import MACHINES_QUOTA
from tests.support.openstack_world import PATIENCE_S, OpenStack, Shopper
from tests.support.small_world import SmallWorld
from tests.support.waiting import wait_until

SHORT_S = 6  # a token's life: less than any story here lasts


@pytest.fixture(scope="module")
def shopper(world: SmallWorld) -> Shopper:
    """Return somebody who orders."""
    return Shopper(client=world.tenant("acme"))


@pytest.fixture
def steered(cloud: OpenStack) -> Iterator[OpenStack]:
    """Return the cloud, whose hypervisors behave again after the test."""
    yield cloud
    cloud.steer()


def test_a_server_that_is_scheduled_but_not_active_is_no_machine_yet(steered: OpenStack, shopper: Shopper) -> None:
    """While Nova still builds, whatever its task state says, the order goes on; it ends only when all is ACTIVE."""
    steered.steer(boot_s=6.0)
    order = shopper.order()
    wait_until(lambda: len(steered.servers()) == 1, "the server is being built", patience_s=PATIENCE_S)
    while (server := steered.servers()[0])["status"] == "BUILD":
        seen = shopper.client.orders.get(order)
        # Asked after the server's state, so it may be over by now; then the server is active by now, too.
        assert seen["state"] == "creating" or steered.servers()[0]["status"] == "ACTIVE"
    assert server["status"] == "ACTIVE"
    shopper.destroy(shopper.machine(order)["id"])


def test_tokens_that_end_are_not_noticed(cloud: OpenStack, shopper: Shopper) -> None:
    """With tokens that live for seconds, orders, the actions between and the catalog go on without a failed call."""
    cloud.command("token-life", SHORT_S)
    try:
        machine = shopper.machine(shopper.order())
        begun = cloud.customer().token
        wait_until(lambda: not works(cloud, begun), "a token of before has ended", patience_s=PATIENCE_S)
        shopper.client.machines.act(machine["id"], "stop")
        wait_until(
            lambda: [each["status"] for each in cloud.servers()] == ["SHUTOFF"], "stopped", patience_s=PATIENCE_S
        )
        shopper.client.machines.act(machine["id"], "start")
        assert shopper.client.orders.get(machine["order"])["attempts"] == 1
        shopper.destroy(machine["id"])
    finally:
        cloud.command("token-life", 3600)


def works(cloud: OpenStack, token: str) -> bool:
    """Return whether Keystone still takes the token."""
    return call(cloud.places, "keystone", "GET", "/v3/auth/projects", token=token).status == 200


def test_a_quota_refused_is_tried_again_and_told(cloud: OpenStack, shopper: Shopper) -> None:
    """With the project's quota used up an order ends failed, saying so, after the attempts that the gateway may make.

    When a machine was given back meanwhile, the next attempt gets its place.
    """
    machines = [shopper.machine(order) for order in [shopper.order() for _ in range(MACHINES_QUOTA)]]
    refused = shopper.ended(shopper.order())
    assert (refused["state"], refused["code"], refused["attempts"]) == ("failed", "cloud-quota-exhausted", 3)
    assert "quota at the cloud is used up" in refused["reason"]
    assert len(cloud.servers()) == MACHINES_QUOTA

    waiting = shopper.order()
    wait_until(lambda: shopper.client.orders.get(waiting)["next_attempt_at"] is not None, "it was refused once")
    shopper.destroy(machines.pop()["id"])
    machines.append(shopper.machine(waiting))
    for machine in machines:
        shopper.destroy(machine["id"])
    assert cloud.servers() == []


def test_a_size_that_fits_nowhere_leaves_nothing(cloud: OpenStack, shopper: Shopper) -> None:
    """Nova takes the order and makes an ERROR server of it: each is deleted, and the order says what Nova said."""
    failed = shopper.ended(shopper.order("m1.vast"))
    assert failed["state"] == "failed"
    assert "No valid host was found" in failed["reason"]
    cloud.wait_empty()


def test_a_hypervisor_that_refuses_once_is_asked_again(steered: OpenStack, shopper: Shopper) -> None:
    """The first server ends in ERROR and is deleted; the second attempt makes the one machine of the order."""
    steered.steer(refuses=".")
    order = shopper.order()
    wait_until(lambda: shopper.client.orders.get(order)["attempts"] == 2, "a second attempt", patience_s=PATIENCE_S)
    steered.steer()
    machine = shopper.machine(order)
    (server,) = steered.servers()
    assert server["id"] == machine["cloud_id"]
    shopper.destroy(machine["id"])


def test_nova_s_api_killed_in_the_middle_of_an_order(steered: OpenStack, shopper: Shopper) -> None:
    """Whatever the gateway asked when it died, the order ends with exactly one server when it is back."""
    steered.steer(boot_s=3.0)
    orders = [shopper.order() for _ in range(3)]
    wait_until(lambda: len(steered.servers()) >= 1, "the first server is being built", patience_s=PATIENCE_S)
    steered.command("kill", "nova-api")
    steered.command("start", "nova-api")
    machines = [shopper.machine(order) for order in orders]
    assert sorted(server["id"] for server in steered.servers()) == sorted(each["cloud_id"] for each in machines)
    for machine in machines:
        shopper.destroy(machine["id"])
    steered.wait_empty()


@pytest.mark.parametrize("step", ["provision.create.begin", "provision.create.end", "provision.created"])
def test_the_gateway_killed_in_the_middle_of_an_order(world: SmallWorld, cloud: OpenStack, step: str) -> None:
    """Killed around the create and started again, it ends the order with exactly one server."""
    shopper = Shopper(client=world.tenant(step.replace("provision.", "")))
    assert world.gateway is not None
    world.gateway.stop()
    dying = world.start_gateway(die_at=step)
    order = shopper.order(key=step)
    dying.wait_killed()
    world.start_gateway()
    machine = shopper.machine(order)
    (server,) = cloud.servers()
    assert (server["id"], server["status"]) == (machine["cloud_id"], "ACTIVE")
    shopper.destroy(machine["id"])
