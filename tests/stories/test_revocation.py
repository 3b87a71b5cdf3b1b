"""A platform takes back what it granted while a machine is being made: real sshd, a real connector, a real cloud."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.client.client import Client
from gateway.client.problems import ApiProblem
from tests.support.small_world import PATIENCE_S, SERVICES, SmallWorld, small_world
from tests.support.sshd import wait_until

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
