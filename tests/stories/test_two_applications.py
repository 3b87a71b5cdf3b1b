"""`crossway serve` takes orders, `crossway provision` makes machines, each in a process of its own, over RabbitMQ.

The provisioner has no tunnel, no account and no grant of its own: it calls the cloud through the gateway, as far as the
grants allow.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from drivers.provisioner.steps import PROVISION_STEPS
from tests.support.clouds import SECRET
from tests.support.rabbitmq import RabbitmqServer
from tests.support.small_world import PATIENCE_S, Program, SmallWorld, small_world
from tests.support.sshd import free_port
from tests.support.waiting import wait_until

ENDED = {"fulfilled", "failed"}
# What an order that begins and ends well goes through.
COLD = [step for step in PROVISION_STEPS if not step.startswith("provision.destroy")]


class Apart:
    """A world whose machines are made by a provisioner of its own, and what to order there."""

    def __init__(self, world: SmallWorld, settings: str) -> None:
        self.world = world
        self.settings = settings
        self.tenant = world.tenant()
        choice = world.machine_choice()
        assert choice is not None
        self.choice = choice

    def start_provisioner(self, die_at: str | None = None) -> Program:
        """Start a provisioner; one that a failed test left behind is stopped first."""
        for left in self.world.programs:
            if left is not self.world.gateway:
                left.stop()
        return self.world.start_provisioner(die_at, settings=self.settings)

    def order(self) -> Mapping[str, Any]:
        """Order a machine."""
        return self.tenant.orders.create(**self.choice)

    def ended(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the order once it has ended."""
        return self.tenant.orders.wait(order["id"], until=lambda each: each["state"] in ENDED, timeout_s=2 * PATIENCE_S)


@pytest.fixture(scope="module")
def apart(rabbitmq_server: RabbitmqServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """A connected world with machines on offer, and no provisioner yet."""
    settings = f'[queue]\nurl = "{rabbitmq_server.url}"\n[provision]\nlisten = "127.0.0.1:{free_port()}"\n'
    with small_world(tmp_path_factory.mktemp("world"), settings=f'accept = ["*/*"]\n{settings}', boot_s=0.4) as world:
        world.start_gateway()
        world.declare_network()
        world.enrol()
        world.connect()
        wait_until(lambda: world.machine_choice() is not None, "machines are on offer")
        yield Apart(world, settings)


def test_an_order_waits_for_a_provisioner_and_is_fulfilled_once(apart: Apart) -> None:
    """Without one it waits, and costs nothing; with one there is exactly one machine, which can be given back."""
    order = apart.order()
    assert apart.tenant.orders.get(order["id"])["state"] not in ENDED
    assert apart.world.created() == []
    provisioner = apart.start_provisioner()
    done = apart.ended(order)
    assert (done["state"], alive(apart.world)) == ("fulfilled", [order["id"]]), done
    steps = {each["step"] for each in apart.tenant.orders.steps(order["id"])}
    assert {"provision.create.begin", "provision.running"} <= steps
    apart.tenant.machines.act(done["machine"], "destroy")
    wait_until(lambda: not alive(apart.world), "it is destroyed at the cloud", patience_s=PATIENCE_S)
    assert provisioner.stop() == 0
    assert apart.world.gateway is not None
    assert SECRET not in provisioner.log + apart.world.gateway.log


@pytest.mark.parametrize("step", COLD)
def test_an_order_survives_a_kill_of_its_provisioner_at(apart: Apart, step: str) -> None:
    """Killed at this step and started again, exactly one machine was made, and the gateway never noticed."""
    before = len(apart.world.created())
    dying = apart.start_provisioner(die_at=step)
    order = apart.order()
    dying.wait_killed()
    provisioner = apart.start_provisioner()
    done = apart.ended(order)
    assert (done["state"], done["attempts"]) == ("fulfilled", 1), done
    assert len(apart.world.created()) == before + 1
    assert alive(apart.world).count(order["id"]) == 1
    provisioner.stop()


def test_a_gateway_that_dies_in_the_middle_finds_its_order_made(apart: Apart) -> None:
    """It dies while the provisioner asks the cloud through it; the next gateway is asked, and the machine made once."""
    before = len(apart.world.created())
    provisioner = apart.start_provisioner()
    apart.world.cloud.faults({"match": "POST /v1/machines", "kind": "latency", "delay_s": 3.0, "times": 1})
    order = apart.order()
    wait_until(lambda: apart.world.cloud.hits() == [1], "the call is under way", patience_s=PATIENCE_S)
    assert apart.world.gateway is not None
    apart.world.gateway.process.kill()
    apart.world.gateway.wait_killed()
    apart.world.start_gateway()
    done = apart.ended(order)
    assert done["state"] == "fulfilled", done
    assert len(apart.world.created()) == before + 1
    provisioner.stop()


def alive(world: SmallWorld) -> list[str]:
    """Return the orders of the machines that the cloud's own ledger has, created and not deleted."""
    made: dict[str, str] = {}
    for entry in world.cloud.ledger():
        if entry["verb"] == "create":
            made[entry["machine"]] = entry["tags"]["crossway-order"]
        else:
            made.pop(entry["machine"], None)
    return list(made.values())
