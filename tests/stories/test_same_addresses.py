"""Two platforms whose networks have the same addresses, down to the port and the URL: each gets its own answers.

Root, network namespaces, real sshd. North lies behind relay alpha, south behind beta, which is reached over alpha: one
connection to alpha carries both. What answers at one address is told apart by nothing but the way to it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from catalog.messages.handshake import public_text
from catalog.messages.signing_key import load_or_create_key
from gateway.bootstrap import ADMIN_TOKEN_FILE, SIGNING_KEY_FILE, prepare_state_dir
from gateway.client.client import Client
from gateway.relays.ssh_keys import SSH_KEY_FILE
from tests.support.clouds import RunningCloud, simulated_cloud
from tests.support.lab import Lab, require_lab
from tests.support.small_world import GRANT_ALL, PATIENCE_S, ROOT, SERVICES, SmallWorld, start
from tests.support.sshd import Sshd
from tests.support.waiting import wait_until

GATEWAY, ALPHA, BETA, NORTH, SOUTH = "gateway", "alpha", "beta", "north", "south"
EXITS = {NORTH: ALPHA, SOUTH: BETA}
ROUTES = {NORTH: ALPHA, SOUTH: f"{ALPHA}>{BETA}"}
# The one address of both sites, and what listens there.
SAME, API_PORT, CONNECTOR_PORT = "192.168.7.10", 8774, 9000
URL = f"http://cloud.private.example:{API_PORT}"
ORDERS_EACH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """The world with both platforms connected, and machines of both on offer."""

    lab: Lab
    world: SmallWorld
    clouds: dict[str, RunningCloud]
    connections: dict[str, str]

    def choices(self) -> dict[str, dict[str, str]]:
        """Return what can be ordered, by platform; without those that offer no machine yet."""
        admin = self.world.admin
        found = {}
        for each in admin.offers.list():
            if (each["capability"], each["state"]) == ("machine", "offered"):
                offer = admin.offers.get(each["id"])
                if offer["sizes"] and offer["images"]:
                    chosen = {"offer": each["id"], "size": offer["sizes"][0]["id"], "image": offer["images"][0]["id"]}
                    found[str(each["platform"])] = chosen
        return found

    def made(self, site: str) -> set[str]:
        """Return the orders for which the cloud of ``site`` made a machine, as it says itself."""
        with self.lab.enter(site):
            return {each["tags"]["crossway-order"] for each in self.clouds[site].ledger()}


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    """Both platforms connected."""
    require_lab()
    folder = tmp_path_factory.mktemp("twins")
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(seed=1))
        lab.build({(GATEWAY, ALPHA): 2.0, (ALPHA, BETA): 2.0, (ALPHA, NORTH): 1.0, (BETA, SOUTH): 1.0})
        prepare_state_dir(folder / "gateway")
        key = load_or_create_key(folder / "gateway" / SSH_KEY_FILE).public_key()
        line = f"restrict,port-forwarding {key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()}"
        relays = {}
        for relay in (ALPHA, BETA):
            with lab.enter(relay):
                relays[relay] = stack.enter_context(Sshd(folder / relay, line, host=lab.ip(relay)))
        clouds = {name: stack.enter_context(running_site(lab, folder, name)) for name in EXITS}
        world = SmallWorld(
            folder=folder, cloud=clouds[NORTH], relays=relays, connector_port=CONNECTOR_PORT,
            listen=f"{lab.ip(GATEWAY)}:8780", settings='accept = ["*/*"]\n',
            connector=None,  # type: ignore[arg-type]  # each site has its own
        )  # fmt: skip
        stack.enter_context(lab.enter(GATEWAY))
        stack.callback(world.stop_gateways)
        world.start_gateway()
        declare(world)
        connections = {name: enrolled(world, folder, name).connections.request()["id"] for name in EXITS}
        for connection in connections.values():
            world.wait_connection(connection, "established")
        found = Twins(lab=lab, world=world, clouds=clouds, connections=connections)
        wait_until(
            lambda: found.choices().keys() == EXITS.keys(), "machines of both are on offer", patience_s=PATIENCE_S
        )
        yield found


@contextmanager
def running_site(lab: Lab, folder: Path, name: str) -> Iterator[RunningCloud]:
    """Run cloud and connector of a site at the address that both have; the relay before it knows the way there."""
    exit_relay, here = EXITS[name], folder / name
    here.mkdir(mode=0o700)
    for host, words in (
        (name, f"address add {SAME}/32 dev lo"),
        (exit_relay, f"route add {SAME}/32 via {lab.ip(name)} dev to-{name} onlink"),
    ):
        done = lab.run(host, ["ip", *words.split()])
        assert done.returncode == 0, done.stderr
    argv = [sys.executable, "-m", "gateway", "connector", "serve", "--config", str(write_connector(folder, name))]
    with ExitStack() as stack:
        with lab.enter(name):
            log_in = (account(name), secret(name))
            cloud = stack.enter_context(simulated_cloud(here, host=SAME, port=API_PORT, log_in=log_in))
            connector = start(argv, here / "connector.log")
        stack.callback(connector.stop)
        connector.ready()
        yield cloud


def account(name: str) -> str:
    """Return the account that the cloud of this site knows, and no other does."""
    return f"account-{name}"


def secret(name: str) -> str:
    """Return the account's secret."""
    return f"secret of {name}"


def write_connector(folder: Path, name: str) -> Path:
    """Write the file of a site's connector and return its path."""
    gateway_key = public_text(load_or_create_key(folder / "gateway" / SIGNING_KEY_FILE).public_key())
    config = folder / name / "connector.toml"
    config.write_text(
        f'[connector]\nlisten = "{SAME}:{CONNECTOR_PORT}"\nplatform = "{name}"\nkey_file = "key.pem"\n'
        f'gateway_key = "{gateway_key}"\nstate_file = "state.json"\n'
        f'[service]\nprovider = "simulated"\nservices = {json.dumps([*SERVICES, "forward"])}\n{GRANT_ALL}'
        f'[policy.forward]\ndecision = "grant"\ndestinations = ["{SAME}:{API_PORT}"]\n'
    )
    return config


def declare(world: SmallWorld) -> None:
    """Declare the sites, the relays and the only ways there are."""
    admin = world.admin
    for name in (ALPHA, BETA, NORTH, SOUTH):
        admin.sites.create(name=name)
    for name, sshd in world.relays.items():
        admin.relays.create(
            name=name, site=name, host=sshd.host, port=sshd.port, user=sshd.user, host_key=sshd.host_key
        )
    for source, target in ((GATEWAY, ALPHA), (ALPHA, BETA), (ALPHA, NORTH), (BETA, SOUTH)):
        admin.links.create(source=source, target=target)


def enrolled(world: SmallWorld, folder: Path, name: str) -> Client:
    """Enrol a platform, by the address and the URLs that both have, and return its owner's client."""
    connector = {"url": f"http://connector.private.example:{CONNECTOR_PORT}"}
    enrolment = world.admin.enrolments.create(
        platform_name=name,
        endpoints=[
            {"purpose": "api", "url": URL, "dial": f"{SAME}:{API_PORT}"},
            {"purpose": "connector", **connector, "dial": f"{SAME}:{CONNECTOR_PORT}"},
        ],
    )
    done = Client(world.server, timeout_s=PATIENCE_S).platforms.enrol(
        enrolment_token=str(enrolment["token"]), name=name, provider="simulated", site=name, account=account(name),
        secret=secret(name), api={"url": URL}, connector=connector,
        public_key=public_text(load_or_create_key(folder / name / "key.pem").public_key()),
    )  # fmt: skip
    return Client(world.server, done["token"], timeout_s=PATIENCE_S)


def test_each_is_connected_by_its_own_way(twins: Twins) -> None:
    """Log-in and handshake went to the right ones: the other cloud knows no such account, its owner signs otherwise."""
    admin = twins.world.admin
    assert {name: admin.connections.get(each)["route"] for name, each in twins.connections.items()} == ROUTES
    # One connection carries both, so what told them apart was not the connection.
    twins.world.relays[ALPHA].wait_connections(1)
    accounts = {name: admin.platforms.get(name)["account"] for name in EXITS}
    assert accounts == {name: account(name) for name in EXITS}


def test_machines_are_made_where_they_were_ordered(twins: Twins) -> None:
    """Orders of both at once, in turns: each cloud's own ledger has the orders of its platform and no other."""
    tenant, choices = twins.world.tenant(), twins.choices()
    ordered: dict[str, set[str]] = {name: set() for name in EXITS}
    for number in range(ORDERS_EACH):
        for name in EXITS:
            ordered[name].add(tenant.orders.create(**choices[name], idempotency_key=f"{name}-{number}")["id"])
    for order in set().union(*ordered.values()):
        done = tenant.orders.wait(
            order, until=lambda each: each["state"] in {"fulfilled", "failed"}, timeout_s=PATIENCE_S
        )
        assert done["state"] == "fulfilled", done
    assert {name: twins.made(name) for name in EXITS} == ordered


def test_streams_lead_to_the_one_that_was_named(twins: Twins) -> None:
    """``crossway forward`` to the same address and port of both: what answers is the ledger of the platform named."""
    choices = twins.choices()
    tenant = twins.world.tenant("streams")
    for name in EXITS:
        order = tenant.orders.create(**choices[name])["id"]
        tenant.orders.wait(order, until=lambda each: each["state"] == "fulfilled", timeout_s=PATIENCE_S)
        told = forwarded(twins, name)
        assert {each["tags"]["crossway-order"] for each in told} == twins.made(name)
        assert order in twins.made(name)


def forwarded(twins: Twins, platform: str) -> list[dict[str, Any]]:
    """Return the ledger of whatever answers at the same address of ``platform``, asked by ``crossway forward``."""
    token = str(twins.world.state_dir / ADMIN_TOKEN_FILE)
    command = [sys.executable, "-m", "gateway", "forward", platform, f"{SAME}:{API_PORT}", "--stdio",
               "--server", twins.world.server, "--token-file", token]  # fmt: skip
    asked = b"GET /_ledger HTTP/1.1\r\nHost: cloud\r\nConnection: close\r\n\r\n"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(asked)
        program.stdin.flush()
        # A server of HTTP takes the end of what is said for the end of all: it is said after the answer.
        told = program.stdout.read()
    assert program.returncode == 0
    ledger: list[dict[str, Any]] = json.loads(told.partition(b"\r\n\r\n")[2])
    return ledger
