"""A platform that nobody can dial: its connector dials out to a relay, and everything works through that.

The site stands behind a door that translates addresses, so that the relay sees the door's alone, and its own firewall
drops whatever comes in. The gateway reaches the relay, and the relay nothing of the site.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from catalog.messages.handshake import public_text
from catalog.messages.signing_key import load_or_create_key
from gateway.bootstrap import ADMIN_TOKEN_FILE, SIGNING_KEY_FILE, prepare_state_dir
from gateway.relays.ssh_keys import SSH_KEY_FILE
from tests.support.clouds import simulated_cloud
from tests.support.echo import Echo, echo
from tests.support.lab import Lab, require_lab
from tests.support.small_world import (
    GRANT_ALL,
    PATIENCE_S,
    PLATFORM,
    ROOT,
    SERVICES,
    Program,
    SmallWorld,
    start,
)
from tests.support.sshd import Sshd, free_port
from tests.support.waiting import wait_until

GATEWAY, RELAY, DOOR, SITE = "gateway", "relay", "door", PLATFORM
# Answers to what the site itself began come in, and nothing else.
FIREWALL = (
    "add table inet fw; add chain inet fw input { type filter hook input priority -10; policy drop; }; "
    "add rule inet fw input iif lo accept; add rule inet fw input ct state established,related accept"
)
RELAY_CONFIG = "Match User root\n  AllowTcpForwarding yes\n  PermitListen 127.0.0.1:*\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Walled:
    """The world, its lab, and the server at the site that the owner lets others reach."""

    lab: Lab
    world: SmallWorld
    relay: Sshd
    granted: Echo
    connector_config: Path

    def start_connector(self) -> Program:
        """Start the connector, inside the site."""
        with self.lab.enter(SITE):
            program = start(
                [sys.executable, "-m", "gateway", "connector", "serve", "--config", str(self.connector_config)],
                self.world.folder / "connector.log",
            )
            program.ready()
        self.world.programs.append(program)
        return program


def public_line(path: Path) -> str:
    """Return the SSH public line of the key in ``path``, made if missing."""
    return load_or_create_key(path).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@pytest.fixture(scope="module")
def walled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walled]:
    """The platform enrolled and its exit approved; its connector does not run yet."""
    require_lab()
    folder = tmp_path_factory.mktemp("walled")
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(seed=1))
        lab.build({(GATEWAY, RELAY): 1.0, (RELAY, DOOR): 1.0, (DOOR, SITE): 1.0, (GATEWAY, SITE): 1.0})
        assert lab.run(SITE, ["nft", FIREWALL]).returncode == 0
        translate(lab)
        (folder / "cloud").mkdir()
        (folder / "connector").mkdir(mode=0o700)
        prepare_state_dir(folder / "gateway")
        keys = (
            f'restrict,port-forwarding,permitopen="127.0.0.1:*" {public_line(folder / "gateway" / SSH_KEY_FILE)}\n'
            'restrict,port-forwarding,permitlisten="127.0.0.1:*",permitopen="none.invalid:1" '
            f"{public_line(folder / 'connector' / 'dial.key')}"
        )
        with lab.enter(RELAY):
            relay = stack.enter_context(Sshd(folder / RELAY, keys, host=lab.ip(RELAY), config=RELAY_CONFIG))
        with lab.enter(SITE):
            cloud = stack.enter_context(simulated_cloud(folder / "cloud"))
            granted = stack.enter_context(echo(lab.ip(SITE)))
            port = free_port()
        world = SmallWorld(
            folder=folder, cloud=cloud, relays={RELAY: relay}, connector_port=port, listen=f"{lab.ip(GATEWAY)}:8780",
            connector=None,  # type: ignore[arg-type]  # started by the tests
        )  # fmt: skip
        stack.enter_context(lab.enter(GATEWAY))
        stack.callback(world.stop_gateways)
        world.start_gateway()
        config = write_connector(world, relay, at(granted))
        declare(world, relay)
        yield Walled(lab=lab, world=world, relay=relay, granted=granted, connector_config=config)


def translate(lab: Lab) -> None:
    """Let the site out through the door to the relay, under the door's address."""
    relay, door, site = (lab.ip(host) for host in (RELAY, DOOR, SITE))
    rules = (
        "add table ip nat; add chain ip nat out { type nat hook postrouting priority srcnat; }; "
        f"add rule ip nat out ip saddr {site} ip daddr {relay} snat to {door}"
    )
    for host, command in (
        (DOOR, ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]),
        (DOOR, ["nft", rules]),
        (SITE, ["ip", "route", "add", relay, "via", door]),
    ):
        done = lab.run(host, command)
        assert done.returncode == 0, done.stderr


def at(server: Echo) -> str:
    """Return ``host:port`` of ``server``."""
    return f"{server.address[0]}:{server.address[1]}"


def write_connector(world: SmallWorld, relay: Sshd, destination: str) -> Path:
    """Write the connector's file and return its path."""
    directory = world.folder / "connector"
    gateway_key = public_text(load_or_create_key(world.state_dir / SIGNING_KEY_FILE).public_key())
    config = directory / "connector.toml"
    config.write_text(
        f'[connector]\nlisten = "127.0.0.1:{world.connector_port}"\nplatform = "{PLATFORM}"\nkey_file = "key.pem"\n'
        f'gateway_key = "{gateway_key}"\nstate_file = "state.json"\n'
        f'[service]\nprovider = "simulated"\nservices = {json.dumps([*SERVICES, "forward"])}\n{GRANT_ALL}'
        f'[policy.forward]\ndecision = "grant"\ndestinations = ["{destination}"]\n'
        f'[gateway]\nurl = "http://{world.listen}"\n'
        f'[dial_out]\nkey_file = "dial.key"\napi = "{world.cloud.address}"\ndestinations = ["{destination}"]\n'
        f'[[dial_out.relays]]\nname = "{RELAY}"\nhost = "{relay.host}"\nport = {relay.port}\nuser = "{relay.user}"\n'
        f'host_key = "{relay.host_key}"\n'
    )
    return config


def declare(world: SmallWorld, relay: Sshd) -> None:
    """Declare the network, enrol the platform and approve its exit; no link leads to its site."""
    admin = world.admin
    for name in (RELAY, PLATFORM):
        admin.sites.create(name=name)
    admin.relays.create(
        name=RELAY, site=RELAY, host=relay.host, port=relay.port, user=relay.user, host_key=relay.host_key
    )
    admin.links.create(source="gateway", target=RELAY)
    world.enrol()
    admin.exits.approve(platform=PLATFORM, relay=RELAY)


def test_without_its_connector_the_platform_is_not_reached(walled: Walled) -> None:
    """There is no route, and nobody tries to dial into the site."""
    dialled = walled.lab.count_packets(GATEWAY, f"ip daddr {walled.lab.ip(SITE)} tcp flags & (syn | ack) == syn")
    connection = walled.world.platform.connections.request()["id"]
    assert walled.world.wait_connection(connection, "failed")["code"] == "no-route"
    walled.world.admin.connections.close(connection)
    assert dialled.packets() == 0


def test_the_connector_dials_out_and_everything_works_through_it(walled: Walled) -> None:
    """Handshake, cloud API and forwarding go over the relay's loopback; nothing is dialled into the site."""
    lab, world = walled.lab, walled.world
    dialled = lab.count_packets(SITE, "iif != lo tcp flags & (syn | ack) == syn", hook="input")
    seen = {host: lab.count_packets(RELAY, f"ip saddr {lab.ip(host)}", hook="input") for host in (DOOR, SITE)}
    connector = walled.start_connector()
    wait_until(lambda: next(world.admin.exits.list())["ports"] != {}, "its ports are announced")
    connection = world.connect()
    assert world.admin.connections.get(connection)["route"] == RELAY
    (found,) = world.admin.exits.list()
    assert set(found["ports"]) == {"api", "connector", at(walled.granted)}
    for grant in world.admin.grants.list(state="granted"):
        world.admin.grants.accept(grant["id"])
    wait_until(lambda: "size" in world.on_offer(), "the inventory was read through the relay")
    done = forward(walled, at(walled.granted))
    assert done.stdout == b"HELLO heard 5", done.stderr
    beside = forward(walled, f"{lab.ip(SITE)}:{world.connector_port}")
    assert beside.returncode == 5
    assert dialled.packets() == 0
    assert (seen[DOOR].packets() > 0, seen[SITE].packets()) == (True, 0)
    assert connector.process.poll() is None


def test_a_connector_that_comes_back_is_taken_up_again(walled: Walled) -> None:
    """Restarted, it gets other ports; the gateway goes on with those, without anybody doing anything."""
    world = walled.world
    world.programs[-1].stop()
    (before,) = world.admin.exits.list()
    walled.start_connector()
    wait_until(lambda: next(world.admin.exits.list())["ports"] != before["ports"], "other ports are announced")
    wait_until(lambda: forward(walled, at(walled.granted)).stdout == b"HELLO heard 5", "streams pass again")


def forward(walled: Walled, to: str) -> "subprocess.CompletedProcess[bytes]":
    """Say hello to ``to`` by ``crossway forward``."""
    token = str(walled.world.state_dir / ADMIN_TOKEN_FILE)
    command = [sys.executable, "-m", "gateway", "forward", PLATFORM, to, "--stdio",
               "--server", walled.world.server, "--token-file", token]  # fmt: skip
    return subprocess.run(command, input=b"hello", capture_output=True, timeout=PATIENCE_S, check=False, cwd=ROOT)
