"""The smallest world in which Crossway does its job: two real relays, a cloud process, a connector, a gateway.

Everything is a process of its own on loopback, without delays: for what must hold whatever the network is like.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from catalog.messages.handshake import public_text
from catalog.messages.signing_key import load_or_create_key
from catalog.ports import Address
from gateway.bootstrap import ADMIN_TOKEN_FILE, SIGNING_KEY_FILE, prepare_state_dir
from gateway.client.client import Client
from gateway.relays.ssh_keys import SSH_KEY_FILE
from tests.support.clouds import ACCOUNT, SECRET, RunningCloud, simulated_cloud
from tests.support.sshd import Sshd, free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
KILLABLE = Path(__file__).with_name("killable.py")
PATIENCE_S = 60.0
SECRET_FILE = "egress.secret"  # what gateway and provisioner share
PLATFORM = "private"
SERVICES = ("machine", "image", "size", "location", "key-pair", "volume")
GRANT_ALL = "".join(f'[policy.{name}]\ndecision = "grant"\n' for name in SERVICES)


@dataclass(slots=True, kw_only=True)
class Program:
    """A program of ours that says in one JSON line on standard output that it is up."""

    process: "subprocess.Popen[str]"
    log_file: Path

    def ready(self) -> Mapping[str, Any]:
        """Wait for the line and return it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it did not start: {self.log}"
        told: Mapping[str, Any] = json.loads(line)
        return told

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.log_file.read_text(errors="replace")

    def wait_killed(self) -> None:
        """Wait until it has died by SIGKILL."""
        assert self.process.wait(PATIENCE_S) == -signal.SIGKILL, self.log[-3000:]

    def stop(self) -> int:
        """Ask it to end and return its exit code. May be repeated."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """What a platform's owner enrols: a cloud, at its own URL or another, a connector, and where to dial both."""

    name: str
    cloud: RunningCloud
    api: Address
    connector: Address
    key_folder: Path
    url: str = ""
    ca_pem: str = ""


@dataclass(slots=True, kw_only=True)
class SmallWorld:
    """The world; make one with ``small_world``."""

    folder: Path
    cloud: RunningCloud
    relays: dict[str, Sshd]
    connector: Program
    connector_port: int
    connector_host: str = "127.0.0.1"
    gateway: Program | None = None
    settings: str = ""
    listen: str = ""  # "": a unix socket in the folder
    program: Path = KILLABLE
    platform_token: str = ""
    server: str = ""
    programs: list[Program] = field(default_factory=list)

    @property
    def state_dir(self) -> Path:
        """Where the gateway keeps its state."""
        return self.folder / "gateway"

    @property
    def admin(self) -> Client:
        """The admin's client."""
        token = (self.state_dir / ADMIN_TOKEN_FILE).read_text().strip()
        return Client(self.server, token, timeout_s=PATIENCE_S)

    @property
    def platform(self) -> Client:
        """The platform owner's client."""
        return Client(self.server, self.platform_token, timeout_s=PATIENCE_S)

    def start_gateway(self, die_at: str | None = None, *, build_deadline_s: float = 900.0) -> Program:
        """Start the gateway on the state it left; with ``die_at`` it kills itself at that step."""
        config = self.folder / "crossway.toml"
        listen = self.listen or f"unix:{self.folder}/api"
        config.write_text(
            f'[gateway]\nstate_dir = "{self.state_dir}"\n[api]\nlisten = "{listen}"\n'
            '[probe]\nicmp = "off"\ninterval_ms = 1.0\n'
            "[orders]\npoll_period_s = 0.1\nretry_first_s = 0.2\n"
            f"build_deadline_s = {build_deadline_s}\n[pools]\nperiod_s = 0.3\n"
            f"[handshake]\nask_again_period_s = 0.5\n{self.settings}"
        )
        self.gateway = self._start("serve", config, die_at)
        self.server = str(self.gateway.ready()["listening"])
        return self.gateway

    def start_provisioner(self, die_at: str | None = None, *, settings: str = "", name: str = "provisioner") -> Program:
        """Start a provisioner on the state it left, reaching the gateway as ``settings`` say; as with the gateway."""
        state_dir = _made(self.folder / name)
        shared = state_dir / SECRET_FILE
        shutil.copy(self.state_dir / SECRET_FILE, shared)
        config = self.folder / f"{name}.toml"
        config.write_text(f'[gateway]\nstate_dir = "{state_dir}"\n[orders]\npoll_period_s = 0.1\n{settings}')
        provisioner = self._start("provision", config, die_at)
        provisioner.ready()
        return provisioner

    def _start(self, program: str, config: Path, die_at: str | None) -> Program:
        more = [die_at] if die_at else []
        argv = [sys.executable, str(self.program), program, str(config), *more]
        started = start(argv, self.folder / f"{config.stem}.log")
        self.programs.append(started)
        return started

    def stop_gateways(self) -> None:
        """Stop every program that still runs, as one does that outlived the case that should have killed it."""
        for program in self.programs:
            program.stop()

    def declare_network(self) -> None:
        """Declare relays alpha and beta, each at a site of its own, both linked to gateway and platform."""
        admin = self.admin
        for name in (*self.relays, PLATFORM):
            admin.sites.create(name=name)
        for name, sshd in self.relays.items():
            admin.relays.create(
                name=name, site=name, host=sshd.host, port=sshd.port, user=sshd.user, host_key=sshd.host_key
            )
            admin.links.create(source="gateway", target=name)
            admin.links.create(source=name, target=PLATFORM)
        admin.links.create(source="alpha", target="beta")

    def enrol(self, *, approved: Sequence[Mapping[str, str]] = (), **changes: Any) -> str:
        """Enrol the platform as its owner would and return its id; ``changes`` replace fields of the enrolment.

        The admin approves what is ``approved`` beside API and connector.
        """
        own = Estate(
            name=PLATFORM,
            cloud=self.cloud,
            api=self.cloud.address,
            connector=Address(host=self.connector_host, port=self.connector_port),
            key_folder=self.folder / "connector",
        )
        enrolled = self.enrol_estate(own, approved=approved, **changes)
        self.platform_token = enrolled["token"]
        return str(enrolled["id"])

    def enrol_estate(
        self, estate: "Estate", *, approved: Sequence[Mapping[str, str]] = (), **changes: Any
    ) -> Mapping[str, Any]:
        """Enrol a platform at the site of the world's own, as its owner would, and return the answer."""
        cloud = estate.cloud
        api = {"url": estate.url or cloud.url}
        if ca_pem := estate.ca_pem or cloud.ca_pem:
            api["ca_pem"] = ca_pem
        connector = {"url": f"http://connector.{estate.name}.example:{estate.connector.port}"}
        enrolment = self.admin.enrolments.create(
            platform_name=estate.name,
            endpoints=[
                {"purpose": "api", **api, "dial": str(estate.api)},
                {"purpose": "connector", **connector, "dial": str(estate.connector)},
                *approved,
            ],
        )
        key = load_or_create_key(estate.key_folder / "key.pem").public_key()
        asked = {
            "name": estate.name, "provider": cloud.provider, "site": PLATFORM, "account": ACCOUNT, "secret": SECRET,
            "api": api, "connector": connector, "public_key": public_text(key),
        }  # fmt: skip
        enrolled: Mapping[str, Any] = Client(self.server, timeout_s=PATIENCE_S).platforms.enrol(
            enrolment_token=enrolment["token"], **{**asked, **changes}
        )
        return enrolled

    def connect(self) -> str:
        """Request the platform's connection, wait until it is established, and return its id."""
        connection = self.platform.connections.request()["id"]
        self.wait_connection(connection, "established")
        return connection

    def wait_connection(self, connection: str, state: str) -> Mapping[str, Any]:
        """Wait until the connection is in ``state`` and return it."""
        found: Mapping[str, Any] = self.admin.connections.wait(
            connection, until=lambda each: each["state"] == state, timeout_s=PATIENCE_S
        )
        return found

    def tenant(self, name: str = "acme") -> Client:
        """Return the client of a new organisation's only project."""
        self.admin.organisations.create(name=name)
        self.admin.projects.create(organisation=name, name="shop")
        token = self.admin.tokens.create(role="member", name=name, project=f"{name}/shop")["token"]
        return Client(self.server, token, timeout_s=PATIENCE_S)

    def accept_all(self) -> None:
        """Accept every grant, as the admin, and wait until all of it is on offer and machines can be ordered."""
        for grant in self.admin.grants.list():
            if grant["state"] == "granted":
                self.admin.grants.accept(grant["id"])
        # One offer comes after the other, each when the cloud has proved it.
        wait_until(lambda: self.on_offer() == self.accepted(), "what was accepted is on offer")
        wait_until(lambda: self.machine_choice() is not None, "machines are on offer")

    def accepted(self) -> set[str]:
        """Return the capabilities that both sides granted."""
        return {each["capability"] for each in self.admin.grants.list() if each["state"] == "accepted"}

    def on_offer(self) -> set[str]:
        """Return the capabilities on offer now."""
        return {each["capability"] for each in self.admin.offers.list() if each["state"] == "offered"}

    def machine_choice(self) -> Mapping[str, str] | None:
        """Return offer, size and image for an order; None while machines are not on offer."""
        for each in self.admin.offers.list():
            if (each["capability"], each["state"]) == ("machine", "offered"):
                offer = self.admin.offers.get(each["id"])
                if offer["sizes"] and offer["images"]:
                    size, image = offer["sizes"][0], offer["images"][0]
                    return {"offer": each["id"], "size": str(size["id"]), "image": str(image["id"])}
        return None

    def created(self) -> list[str]:
        """Return the cloud ids of all machines the cloud ever created, from its own ledger."""
        return [str(entry["machine"]) for entry in self.cloud.ledger() if entry["verb"] == "create"]


@contextmanager
def small_world(
    folder: Path,
    *,
    policy: str = GRANT_ALL,
    boot_s: float = 0.2,
    settings: str = "",
    services: Sequence[str] = SERVICES,
    running: Callable[[Path], AbstractContextManager[RunningCloud]] | None = None,
) -> Iterator[SmallWorld]:
    """Run relays, cloud (simulated, or what ``running`` runs) and connector; ``start_gateway`` starts the gateway."""
    with ExitStack() as stack:
        state_dir = folder / "gateway"
        prepare_state_dir(state_dir)
        ssh_key = load_or_create_key(state_dir / SSH_KEY_FILE).public_key()
        line = ssh_key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        relays = {
            name: stack.enter_context(Sshd(folder / name, f"restrict,port-forwarding {line}"))
            for name in ("alpha", "beta")
        }
        at = _made(folder / "cloud")
        cloud = stack.enter_context(running(at) if running else simulated_cloud(at, boot_s=boot_s))
        port = free_port()
        world = SmallWorld(
            folder=folder,
            cloud=cloud,
            relays=relays,
            connector=start_connector(folder, port, policy=policy, services=services, provider=cloud.provider),
            connector_port=port,
            settings=settings,
        )
        stack.callback(world.connector.stop)
        try:
            yield world
        finally:
            world.stop_gateways()


def start_connector(
    folder: Path,
    port: int,
    *,
    policy: str,
    services: Sequence[str],
    provider: str,
    host: str = "127.0.0.1",
    platform: str = PLATFORM,
    name: str = "connector",
) -> Program:
    """Start a connector that keeps its state in ``folder / name`` and answers by ``policy``."""
    directory = _made(folder / name)
    gateway_key = public_text(load_or_create_key(folder / "gateway" / SIGNING_KEY_FILE).public_key())
    load_or_create_key(directory / "key.pem")
    config = directory / "connector.toml"
    config.write_text(
        f'[connector]\nlisten = "{host}:{port}"\nplatform = "{platform}"\nkey_file = "key.pem"\n'
        f'gateway_key = "{gateway_key}"\nstate_file = "state.json"\n'
        f'[service]\nprovider = "{provider}"\nservices = {json.dumps(list(services))}\n{policy}'
    )
    program = start(
        [sys.executable, "-m", "gateway", "connector", "serve", "--config", str(config)], folder / f"{name}.log"
    )
    program.ready()
    return program


def start(argv: list[str], log_file: Path) -> Program:
    """Start a program of ours from the repository, logging to ``log_file``."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with log_file.open("ab") as log:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=ROOT)
    return Program(process=process, log_file=log_file)


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
