"""S1's platform-to-platform tunnel: one platform's connector has a port that leads to what another granted it.

In a network namespace of its own: loopback is never forwarded to, so there must be another address.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from catalog.messages.handshake import public_text
from catalog.messages.signing_key import load_or_create_key
from gateway.bootstrap import ADMIN_TOKEN_FILE, SIGNING_KEY_FILE
from gateway.client.client import Client
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
    small_world,
    start,
)
from tests.support.sshd import free_port

ASKER = "asker"


@dataclass(slots=True, kw_only=True)
class Pair:
    """The platform that grants, with its server; and the one that joins, with its connector's port."""

    world: SmallWorld
    granted: Echo
    asker: Client
    port: int
    connector: Program

    def stream(self) -> socket.socket:
        """Return a connection to the asker's own port, as a program at its site has it."""
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.settimeout(PATIENCE_S)
        return sock

    def answer(self, said: bytes) -> bytes:
        """Say something over a new stream and return all that comes back."""
        with self.stream() as stream:
            stream.sendall(said)
            stream.shutdown(socket.SHUT_WR)
            heard = b""
            while piece := stream.recv(1000):
                heard += piece
            return heard


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both enrolled; the one is connected and grants forwarding to platforms, the other's connector has its port."""
    require_lab()
    with Lab(seed=1) as lab:
        address = lab.add_host("site")
        with lab.enter("site"), echo(address) as granted:
            to = f"{address}:{granted.address[1]}"
            rule = f'[policy.forward]\ndecision = "grant"\nverbs = ["join"]\ndestinations = ["{to}"]\n'
            folder = tmp_path_factory.mktemp("pair")
            with small_world(folder, policy=GRANT_ALL + rule, services=[*SERVICES, "forward"]) as world:
                world.start_gateway()
                world.declare_network()
                world.enrol()
                world.connect()
                (grant,) = (each for each in world.admin.grants.list() if each["capability"] == "forward")
                world.admin.grants.accept(grant["id"])
                port = free_port()
                asker = enrol_asker(world)
                connector = start_asker(world, port, to)
                yield Pair(world=world, granted=granted, asker=asker, port=port, connector=connector)


def enrol_asker(world: SmallWorld) -> Client:
    """Enrol the platform that joins, with the key of its own connector, and return its owner's client."""
    directory = world.folder / ASKER
    directory.mkdir(mode=0o700)
    key = public_text(load_or_create_key(directory / "key.pem").public_key())
    api = {"url": world.cloud.url}
    enrolment = world.admin.enrolments.create(
        platform_name=ASKER, endpoints=[{"purpose": "api", **api, "dial": str(world.cloud.address)}]
    )
    enrolled = Client(world.server, timeout_s=PATIENCE_S).platforms.enrol(
        enrolment_token=enrolment["token"], name=ASKER, provider="simulated", site=PLATFORM,
        account="ASKER", secret="askers own", api=api, public_key=key,
    )  # fmt: skip
    return Client(world.server, enrolled["token"], timeout_s=PATIENCE_S)


def start_asker(world: SmallWorld, port: int, to: str) -> Program:
    """Start the connector of the platform that joins."""
    gateway_key = public_text(load_or_create_key(world.state_dir / SIGNING_KEY_FILE).public_key())
    config = world.folder / ASKER / "connector.toml"
    config.write_text(
        f'[connector]\nlisten = "127.0.0.1:{free_port()}"\nplatform = "{ASKER}"\nkey_file = "key.pem"\n'
        f'gateway_key = "{gateway_key}"\nstate_file = "state.json"\n'
        f'[service]\nprovider = "simulated"\nservices = {json.dumps(SERVICES)}\n'
        f'[gateway]\nurl = "{world.server}"\n'
        f'[[join]]\nlisten = "127.0.0.1:{port}"\nplatform = "{PLATFORM}"\nto = "{to}"\n'
    )
    argv = [sys.executable, "-m", "gateway", "connector", "serve", "--config", str(config)]
    program = start(argv, world.folder / ASKER / "log")
    program.ready()
    world.programs.append(program)
    return program


def test_without_the_others_consent_nothing_passes(pair: Pair) -> None:
    """A port there is, but no connection: the stream ends at once, nothing is dialled, and the log says why."""
    assert pair.answer(b"hello") == b""
    assert "you have no connection to this platform" in pair.connector.log
    connection = pair.asker.connections.request(target=PLATFORM)["id"]
    assert pair.world.admin.connections.get(connection)["state"] == "awaiting-consent"
    assert pair.answer(b"hello") == b""
    assert pair.granted.accepted == 0


def test_with_consent_and_grant_it_passes_until_the_owner_takes_it_back(pair: Pair) -> None:
    """Bytes and half-closes pass over the asker's own connection; closing that by the owner cuts what runs at once."""
    world = pair.world
    (waiting,) = (each for each in pair.asker.connections.list() if each["target"] == PLATFORM)
    world.platform.connections.consent(waiting["id"], allow=True)
    world.wait_connection(waiting["id"], "established")
    said = b"hello " * 50_000
    assert pair.answer(said) == said.upper() + f" heard {len(said)}".encode()
    calls = {each["calls"] for each in world.admin.connections.sessions(waiting["id"])}
    assert min(calls) >= 1
    with pair.stream() as stream:
        stream.sendall(b"idle")
        assert stream.recv(100) == b"IDLE"
        began_s = time.monotonic()
        world.platform.connections.close(waiting["id"])
        assert stream.recv(100) == b""
        assert time.monotonic() - began_s < 5
    assert pair.answer(b"hello") == b""


def test_users_of_the_gateway_are_not_platforms(pair: Pair) -> None:
    """What is granted to platforms alone is refused to an admin, who is told so."""
    token = str(pair.world.state_dir / ADMIN_TOKEN_FILE)
    to = f"{pair.granted.address[0]}:{pair.granted.address[1]}"
    command = [sys.executable, "-m", "gateway", "forward", PLATFORM, to, "--stdio",
               "--server", pair.world.server, "--token-file", token]  # fmt: skip
    done = subprocess.run(command, input=b"hello", capture_output=True, timeout=PATIENCE_S, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (5, b"")
    assert "'open' of 'forward' is not granted" in done.stderr.decode()
