"""A relay that is somebody else of a sudden, and a gateway that dies: nobody is trusted, nothing is forgotten.

Root, network namespaces, real sshd, and the gateway as a process of its own. Two relays lead to the platform and
nothing else does, so one carries the connection and the other stands by.
"""

import functools
import json
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import asyncssh
import pytest

from gateway.client.client import Client
from gateway.connector import commands
from tests.support.clouds import simulated_cloud
from tests.support.lab import require_lab
from tests.support.lab_world import LabWorld, lab_world
from tests.support.small_world import GRANT_ALL, PATIENCE_S, PLATFORM, SERVICES
from tests.support.waiting import wait_until

# The owner is asked for volumes; everything that is granted is accepted.
POLICY = GRANT_ALL.replace('[policy.volume]\ndecision = "grant"', '[policy.volume]\ndecision = "ask"')
# Links and routes are looked at every second, so that what has come back is soon seen.
SETTINGS = 'accept = ["*/*"]\n[routing]\nreview_period_s = 1.0\n'
BOOT_S = 1.0


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for what takes some reviews."""
    wait_until(holds, what, patience_s=PATIENCE_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The platform's connection, a tenant, and what the gateway says of both."""

    lab: LabWorld
    connection: str
    tenant: str  # its token

    @property
    def row(self) -> Mapping[str, Any]:
        """The connection as the API shows it."""
        return self.lab.world.admin.connections.get(self.connection)

    @property
    def orders(self) -> Any:
        """The tenant's orders, at whatever gateway runs now."""
        return Client(self.lab.world.server, self.tenant, timeout_s=PATIENCE_S).orders

    def logged(self, message: str) -> list[Mapping[str, Any]]:
        """Return what gateways have logged under ``message``, oldest first."""
        assert self.lab.world.gateway is not None
        lines = (json.loads(line) for line in self.lab.world.gateway.log.splitlines() if message in line)
        return [line for line in lines if line["message"] == message]

    def sessions(self) -> list[Mapping[str, Any]]:
        """Return the sessions that are open."""
        found = self.lab.world.admin.connections.sessions(self.connection)
        return [each for each in found if each["ended_at"] is None]

    def alarm(self, relay: str) -> str | None:
        """Return since when the API says that ``relay`` shows another host key."""
        relays = self.lab.world.admin.network_status()["relays"]
        return next(each["host_key_mismatch_since"] for each in relays if each["name"] == relay)

    def notes(self, relay: str) -> set[str]:
        """Return why links of ``relay`` cannot be measured."""
        return {each["note"] for each in self.lab.world.admin.network_links(near=relay)}

    def candidates(self) -> list[str]:
        """Return the routes that can be used now: changed weights are answered by a decision that is stored."""
        admin = self.lab.world.admin
        decisions = admin.connections.decisions
        seen, hops = len(list(decisions(self.connection))), admin.weights.get()["hops"]
        admin.weights.set({"hops": 5.1 if hops == 5.0 else 5.0})
        until(lambda: len(list(decisions(self.connection))) > seen, "the new weights are answered")
        found = admin.connections.routes(self.connection)["candidates"]
        return [each["route"] for each in found if each["cost_ms"] is not None]

    def metrics(self) -> str:
        """Return all metrics."""
        world = self.lab.world
        request = urllib.request.Request(
            f"{world.server}/metrics", headers={"Authorization": f"Bearer {world.admin.wire.token}"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
            return str(reply.read().decode())

    def ledger(self) -> list[dict[str, Any]]:
        """Return what the cloud carried out, as it says itself."""
        with self.lab.lab.enter(PLATFORM):
            return self.lab.world.cloud.ledger()

    def order(self, key: str) -> str:
        """Order a machine and return the order's id."""
        choice = self.lab.world.machine_choice()
        assert choice is not None
        return str(self.orders.create(**choice, idempotency_key=key)["id"])

    def fulfilled(self, order: str) -> int:
        """Wait until ``order`` is fulfilled; return how many machines the cloud made for it."""
        ends = {"fulfilled", "failed", "cancelled"}
        done = self.orders.wait(order, until=lambda each: each["state"] in ends, timeout_s=PATIENCE_S)
        assert done["state"] == "fulfilled", done
        return self.made_for(order)

    def made_for(self, order: str) -> int:
        """Return how many machines the cloud made for ``order``."""
        made = [each for each in self.ledger() if each["verb"] == "create"]
        return sum(each["tags"].get("crossway-order") == order for each in made)

    def show_key(self, relay: str, key: asyncssh.SSHKey) -> None:
        """Have the relay's sshd killed and started with ``key`` as its host key."""
        sshd = self.lab.world.relays[relay]
        self.lab.kill(relay)
        sshd.show_key(key)
        self.lab.restart(relay)


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connected]:
    """The platform connected over one relay, the other standing by, and machines on offer."""
    require_lab()
    folder = tmp_path_factory.mktemp("trust")
    cloud = functools.partial(simulated_cloud, boot_s=BOOT_S)
    with (
        lab_world(folder, policy=POLICY, services=SERVICES, settings=SETTINGS, running=cloud) as lab,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("CROSSWAY_PROBE__IN_USE_AGE_S", "1.0")
        world = lab.world
        world.start_gateway()
        world.declare_network()
        world.enrol()
        connection = world.connect()
        world.admin.organisations.create(name="acme")
        world.admin.projects.create(organisation="acme", name="shop")
        token = world.admin.tokens.create(role="member", name="acme", project="acme/shop")["token"]
        found = Connected(lab=lab, connection=connection, tenant=token)
        until(lambda: world.machine_choice() is not None, "machines are on offer")
        until(lambda: bool(found.logged("standby is ready")), "a standby is ready")
        yield found


def test_a_relay_with_another_host_key_is_left_and_cried_out(connected: Connected) -> None:
    """A relay's sshd comes back with another host key: refused, alarmed, avoided; with the right one all is well."""
    relays, sshd = connected.lab.world.relays, connected.lab.world.relays[(swapped := connected.row["route"])]
    (other,) = relays.keys() - {swapped}
    sessions = connected.sessions()
    connected.show_key(swapped, asyncssh.generate_private_key("ssh-ed25519"))
    until(lambda: connected.alarm(swapped) is not None, "the API shows the alarm")
    until(lambda: connected.row["route"] == other, "the standby took over")
    assert connected.row["state"] == "established"
    assert [each["id"] for each in connected.sessions()] == [each["id"] for each in sessions]
    assert connected.fulfilled(connected.order("over-the-other")) == 1
    until(lambda: "host-key-mismatch" in connected.notes(swapped), "its links say why they are down")
    assert connected.candidates() == [other]
    assert f'crossway_host_key_mismatches_total{{relay="{swapped}"}}' in connected.metrics()
    assert [each["relay"] for each in connected.logged("relay shows another host key")] == [swapped]
    assert connected.alarm(other) is None
    assert "Accepted publickey" not in sshd.log
    connected.show_key(swapped, sshd.key)
    until(lambda: connected.alarm(swapped) is None, "the alarm is over")
    until(lambda: swapped in connected.candidates(), "the relay is a candidate again")
    until(lambda: "Accepted publickey" in sshd.log, "it is logged in to again")
    assert connected.logged("tunnel ended") == connected.logged("connection failed") == []


def test_a_killed_gateway_goes_on_where_it_was(connected: Connected) -> None:
    """SIGKILL with a connection, an order and a question to the owner under way: started again, all are finished.

    Nobody asks for anything: tunnel and standby are rebuilt, the dead tunnel's sessions have ended and three others
    are open, the machine is made once, and what the owner granted meanwhile is on offer.
    """
    world = connected.lab.world
    before, standbys = connected.sessions(), len(connected.logged("standby is ready"))
    grant = next(each for each in world.admin.grants.list() if each["capability"] == "volume")
    assert grant["state"] == "requested"
    order = connected.order("over-a-death")
    until(lambda: connected.made_for(order) == 1, "the machine is being made")
    assert connected.orders.get(order)["state"] == "creating"
    assert world.gateway is not None
    os.kill(world.gateway.process.pid, signal.SIGKILL)
    world.gateway.wait_killed()
    for relay in world.relays.values():
        relay.wait_connections(0)
    owner_grants(connected, "volume")
    world.start_gateway()
    world.wait_connection(connected.connection, "established")
    after = {each["leg"]: each for each in connected.sessions()}
    assert set(after) == {"gateway", "transport", "target"}
    assert after["target"]["parent_id"] == after["transport"]["id"]
    assert after["transport"]["parent_id"] == after["gateway"]["id"]
    assert not {each["id"] for each in before} & {each["id"] for each in after.values()}
    assert connected.fulfilled(order) == 1
    until(lambda: "volume" in world.on_offer(), "what the owner granted meanwhile is on offer")
    until(lambda: len(connected.logged("standby is ready")) > standbys, "a standby is ready again")
    assert connected.fulfilled(connected.order("after-the-death")) == 1


def owner_grants(connected: Connected, capability: str) -> None:
    """Have the owner grant ``capability``, which waits at the connector."""
    config = connected.lab.world.folder / "connector" / "connector.toml"
    (pending,) = [each for each in commands.list_pending(config) if each.capability == capability]
    commands.answer(config, pending.request_id, capability, "grant")
