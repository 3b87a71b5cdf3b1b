"""The small world with a whole OpenStack behind its relays, for ``make test-openstack``.

The cloud's programs belong to ``openstack_cloud.run``, which ends them when its standard input does: also when the
tests are killed.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from catalog.messages.handshake import public_text
from catalog.messages.signing_key import load_or_create_key
from catalog.ports import Address
from gateway.client.client import Client
from tests.support.clouds import RunningCloud
from tests.support.openstack_cloud.places import CATALOG, NAME, REGION, Places
from tests.support.openstack_cloud.rest import Customer, log_in
from tests.support.openstack_cloud.seeding import PASSWORD, PROJECTS
from tests.support.small_world import PLATFORM, ROOT, SmallWorld, small_world, start_connector
from tests.support.sshd import free_port
from tests.support.waiting import wait_until

PATIENCE_S: Final = 180.0  # a create took 10 s on two busy cores, and several may be under way
IMAGE: Final = "debian-12-generic-amd64"
SERVICES: Final = ("machine", "image", "size", "key-pair")  # the cloud has no volumes, and one place
POLICY: Final = "".join(f'[policy.{name}]\ndecision = "grant"\n' for name in SERVICES)
# What of the catalog Crossway speaks to, and what an endpoint for it is called.
_SERVICES: Final = {"compute": "compute", "image": "image"}


@dataclass(slots=True, kw_only=True)
class OpenStack(RunningCloud):
    """A whole OpenStack, and the customer of it whose platform the world enrols."""

    places: Places
    project: str = "shop"

    def command(self, *words: object) -> None:
        """Have the cloud's runner do something, see its module."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert json.loads(answer or "{}") == {"done": True}, "the cloud's runner has ended"

    def steer(self, **steering: object) -> None:
        """Tell the hypervisors how to behave from now on."""
        self.command("steer", steering)

    def customer(self, project: str | None = None) -> Customer:
        """Return the customer with a token of its own, past the product."""
        of = project or self.project
        return log_in(self.places, PROJECTS[of], PASSWORD, of)

    def servers(self, project: str | None = None) -> list[dict[str, Any]]:
        """Return the project's servers as Nova tells them, whatever their state."""
        listed = self.customer(project).ask("nova", "GET", "/v2.1/servers/detail")["servers"]
        return [dict(server) for server in listed]

    def wait_empty(self, project: str | None = None) -> None:
        """Wait until the project has no server."""
        wait_until(lambda: not self.servers(project), "nothing is left at the cloud", patience_s=PATIENCE_S)

    def size(self, name: str) -> str:
        """Return the id of a flavour."""
        return str(self.customer().named("nova", "/v2.1/flavors", name)["id"])

    def image(self, name: str) -> str:
        """Return the id of an image."""
        return str(self.customer().named("glance", "/v2/images", name)["id"])

    def services(self) -> Mapping[str, Mapping[str, str]]:
        """Return the services beside Keystone as the platform's owner names them at enrolment."""
        return {kind: {"url": self.places.public(CATALOG[kind][0])} for kind in _SERVICES}


@contextmanager
def openstack(folder: Path) -> Iterator[OpenStack]:
    """Run a cloud in ``folder`` until the block ends, however it ends."""
    command = [sys.executable, "-m", "tests.support.openstack_cloud.run", str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdin is not None
    assert process.stdout is not None
    line = ""
    try:
        line = process.stdout.readline()
        assert line, "the cloud did not come up; what it said stands above"
        told = json.loads(line)
        places = Places(root=Path(told["root"]), ports=told["ports"])
        yield OpenStack(
            process=process, arguments=command, provider="openstack", url_host=NAME,
            address=Address(host="127.0.0.1", port=places.ports["keystone"]), places=places,
        )  # fmt: skip
    finally:
        process.stdin.close()
        if not line:
            # Not up yet, so it does not read.
            process.terminate()
        process.wait()
        process.stdout.close()


def enrol(world: SmallWorld, cloud: OpenStack) -> str:
    """Enrol the cloud's project as its owner would; every service has a port, and an endpoint, of its own."""
    return world.enrol(
        approved=_approved(cloud), services=cloud.services(), account=PROJECTS[cloud.project], secret=PASSWORD,
        region=REGION, options={"project": cloud.project},
    )  # fmt: skip


@contextmanager
def openstack_world(folder: Path, cloud: OpenStack, *, settings: str = "") -> Iterator[SmallWorld]:
    """Run a world with the cloud's project as its platform: enrolled, connected, everything granted on offer."""
    with small_world(
        folder, services=SERVICES, policy=POLICY, settings=settings, running=lambda _: nullcontext(cloud)
    ) as world:
        world.start_gateway()
        world.declare_network()
        enrol(world, cloud)
        world.connect()
        world.accept_all()
        yield world


@contextmanager
def further_platform(world: SmallWorld, cloud: OpenStack, *, project: str) -> Iterator[str]:
    """Enrol and connect another project of the cloud as a platform of its name, and yield the platform's name."""
    port, name = free_port(), f"connector-{project}"
    connector = start_connector(
        world.folder, port, policy=POLICY, services=SERVICES, provider="openstack", platform=project, name=name
    )
    try:
        endpoints = _approved(cloud)
        api = {"url": cloud.url}
        at = {"url": f"http://connector.{project}.example:{port}"}
        enrolment = world.admin.enrolments.create(
            platform_name=project,
            endpoints=[
                {"purpose": "api", **api, "dial": str(cloud.address)},
                {"purpose": "connector", **at, "dial": f"127.0.0.1:{port}"},
                *endpoints,
            ],
        )
        key = load_or_create_key(world.folder / name / "key.pem").public_key()
        token = Client(world.server, timeout_s=PATIENCE_S).platforms.enrol(
            enrolment_token=str(enrolment["token"]), name=project, provider="openstack", site=PLATFORM,
            account=PROJECTS[project], secret=PASSWORD, api=api, connector=at, services=cloud.services(),
            region=REGION, public_key=public_text(key), options={"project": project},
        )["token"]  # fmt: skip
        connection = Client(world.server, token, timeout_s=PATIENCE_S).connections.request()["id"]
        world.wait_connection(connection, "established")
        world.accept_all()
        yield project
    finally:
        connector.stop()


def _approved(cloud: OpenStack) -> list[Mapping[str, str]]:
    """Return what an admin approves of the cloud's services."""
    return [
        {"purpose": kind, **named, "dial": f"127.0.0.1:{cloud.places.ports[CATALOG[kind][0]]}"}
        for kind, named in cloud.services().items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shopper:
    """A project of the gateway's that orders machines of a platform."""

    client: Client
    platform: str = PLATFORM

    def order(self, size: str = "m1.small", *, key: str | None = None) -> str:
        """Order a machine and return the order's id."""
        choice = {"offer": self.platform, "size": size, "image": IMAGE}
        return str(self.client.orders.create(**choice, idempotency_key=key)["id"])

    def ended(self, order: str) -> Mapping[str, Any]:
        """Wait until the order has ended and return it."""
        done: Mapping[str, Any] = self.client.orders.wait(
            order, until=lambda each: each["state"] in {"fulfilled", "failed", "cancelled"}, timeout_s=PATIENCE_S
        )
        return done

    def machine(self, order: str) -> Mapping[str, Any]:
        """Return the machine of an order that must end fulfilled."""
        done = self.ended(order)
        assert done["state"] == "fulfilled", done
        machine: Mapping[str, Any] = self.client.machines.get(done["machine"])
        return machine

    def destroy(self, machine: str) -> None:
        """Destroy the machine and wait until it is gone."""
        self.client.machines.act(machine, "destroy")
        self.client.machines.wait(machine, until=lambda each: each["state"] == "gone", timeout_s=PATIENCE_S)
