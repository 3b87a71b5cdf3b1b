"""A platform takes back what it granted while a machine is being made: real sshd, a real connector, a real cloud."""

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.client.client import Client
from gateway.client.problems import ApiProblem
from tests.support.small_world import PATIENCE_S, SERVICES, SmallWorld, small_world
from tests.support.waiting import wait_until

# Long enough for the revocation to come while the cloud is at work; the machine is made all the same, afterwards.
CREATES_AFTER_S = 3.0


def grants(world: SmallWorld) -> dict[str, Mapping[str, Any]]:
    """Return the grants by capability."""
    return {each["capability"]: each for each in world.admin.grants.list()}


def revoke(world: SmallWorld, *capabilities: str) -> None:
    """Take grants back, as the platform's owner."""
    for capability in capabilities:
        world.platform.grants.revoke(grants(world)[capability]["id"])


def fault_hits(world: SmallWorld) -> int:
    """Return how often the cloud committed the fault in force."""
    return sum(int(each["hits"]) for each in json.loads(world.cloud.control("GET", "/_faults")[1]))


def ordered(world: SmallWorld, tenant: Client, choice: Mapping[str, str]) -> str:
    """Order a machine, wait until the cloud is at work on it, and return the order's id."""
    world.cloud.faults({"match": "POST /v1/machines", "kind": "latency", "delay_s": CREATES_AFTER_S})
    order = tenant.orders.create(**choice)["id"]
    wait_until(lambda: fault_hits(world) == 1, "the cloud is making the machine")
    return order


def fulfilled(world: SmallWorld, tenant: Client) -> bool:
    """Order a machine as soon as there is an offer of some, and tell whether it was handed over."""
    wait_until(lambda: world.machine_choice() is not None, "machines are on offer", patience_s=PATIENCE_S)
    choice = world.machine_choice()
    assert choice is not None
    order = tenant.orders.create(**choice)["id"]
    done = tenant.orders.wait(order, until=lambda each: each["finished_at"] is not None, timeout_s=PATIENCE_S)
    return done["state"] == "fulfilled"


def test_granted_narrowed_expired_revoked_and_granted_again_while_orders_run(tmp_path: Path) -> None:
    """Each change of the owner's mind ends what runs outside of it, with the reason, and nothing else.

    Narrowed and revoked by the owner through the API; expired, and granted anew by the connector when the gateway asks.
    """
    with small_world(tmp_path) as world:
        world.start_gateway()
        world.declare_network()
        world.enrol()
        world.admin.grant_rules.create(platform="*", capability="*")
        world.connect()
        tenant = world.tenant()
        assert fulfilled(world, tenant)
        choice = world.machine_choice()
        assert choice is not None
        machine = grants(world)["machine"]["id"]

        outside = ordered(world, tenant, {**choice, "size": "s1"})
        world.platform.grants.answer(machine, "grant", scope={"sizes": ["s4"]})
        told = tenant.orders.get(outside)
        assert (told["state"], told["code"]) == ("failed", "grant-ended")
        assert "grants less" in told["reason"]
        world.cloud.faults()
        with pytest.raises(ApiProblem, match="size is not granted"):
            tenant.orders.create(**{**choice, "size": "s1"})
        assert fulfilled(world, tenant), "what is within goes on"

        running = ordered(world, tenant, choice)
        # The connector, which would grant it anew before it ends, is mute meanwhile.
        world.connector.process.send_signal(signal.SIGSTOP)
        try:
            world.platform.grants.answer(machine, "grant", expires_after_s=1.0)
            ended = tenant.orders.wait(
                running, until=lambda each: each["finished_at"] is not None, timeout_s=PATIENCE_S
            )
        finally:
            world.connector.process.send_signal(signal.SIGCONT)
        assert (ended["code"], ended["reason"]) == ("grant-ended", "the grant has expired")
        world.cloud.faults()
        assert fulfilled(world, tenant), "the owner's connector grants it anew"

        running = ordered(world, tenant, choice)
        revoke(world, "machine")
        assert tenant.orders.get(running)["reason"] == "the grant was revoked"
        world.cloud.faults()
        world.admin.grants.ask(machine)
        assert fulfilled(world, tenant), "asked for and granted again"
        versions = [each["reason"] for each in world.admin.grants.history(machine)]
        assert versions[:4] == ["the owner gave other terms"] * 2 + ["the grant has expired", "the grant was revoked"]


def test_revoked_while_a_machine_is_made_and_granted_again(tmp_path: Path) -> None:
    """The order ends and says why; nothing of it is left at the cloud; then all ends, and a new grant works again.

    The cloud makes the machine after the call was cut: *unknown* is looked for, found, and destroyed.
    """
    with small_world(tmp_path) as world:
        world.start_gateway()
        world.declare_network()
        world.enrol()
        connection = world.connect()
        world.accept_all()
        tenant, choice = world.tenant(), world.machine_choice()
        assert choice is not None

        order = ordered(world, tenant, choice)
        revoke(world, "machine")
        told = tenant.orders.get(order)
        assert (told["state"], told["code"], told["reason"]) == ("failed", "grant-ended", "the grant was revoked")
        assert "machine" not in world.on_offer()
        with pytest.raises(ApiProblem):
            tenant.orders.create(**choice)
        reasons = [each for each in tenant.events.list() if each["subject"] == order]
        assert "the grant was revoked" in str(reasons[-1])

        # The others stand, so the tunnel does: over it the late machine is found and destroyed.
        machine = str(told["machine"])
        wait_until(
            lambda: tenant.machines.get(machine)["state"] == "gone", "nothing of it is left", patience_s=PATIENCE_S
        )
        assert [entry["verb"] for entry in world.cloud.ledger()] == ["create", "delete"]
        assert world.admin.connections.get(connection)["state"] == "established"

        revoke(world, *(set(SERVICES) - {"machine"}))
        ended = world.admin.connections.get(connection)
        assert (ended["state"], ended["code"]) == ("failed", "nothing-granted")
        assert all(each["ended_at"] is not None for each in world.admin.connections.sessions(connection))

        world.cloud.faults()
        world.platform.connections.reroute(connection)
        world.wait_connection(connection, "established")
        world.accept_all()
        done = tenant.orders.wait(
            tenant.orders.create(**choice)["id"],
            until=lambda each: each["finished_at"] is not None,
            timeout_s=PATIENCE_S,
        )
        assert done["state"] == "fulfilled", done["reason"]
