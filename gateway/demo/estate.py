"""The demo's world, running: relays, clouds, connectors and the gateway, each a real program in its own place.

Two platforms are real EC2 API servers (moto) over TLS under their real host names with a private authority; the third
is a simulated private cloud with durable state. Everything lives in one directory and ends with the WAN.
"""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from catalog.messages.handshake import public_text
from catalog.messages.signing_key import load_or_create_key
from gateway.bootstrap import ADMIN_TOKEN_FILE, SIGNING_KEY_FILE, prepare_state_dir
from gateway.clock import SystemClock
from gateway.demo.cities import GATEWAY, PLATFORMS, RELAYS, links
from gateway.demo.clouds.ca import PrivateAuthority
from gateway.demo.relays import RelaySshd
from gateway.demo.wan.ports import Wan
from gateway.relays.ssh_keys import SSH_KEY_FILE

READY_TIMEOUT_S = 60.0
CLOUD_PORT = 8443
CONNECTOR_PORT = 7443
LOOPBACK_PORTS = range(8780, 8800)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlatform:
    """What is particular to one platform of the demo."""

    site: str
    provider: str
    region: str
    account: str
    url: str  # scheme and real host name; the port is added
    policy: str  # the owner's rules, as the connector's TOML has them
    options: dict[str, str] = field(default_factory=dict)


# Each owner grants something else, so that every kind of decision is seen.
_GRANT = 'decision = "grant"\n'
DEMO_PLATFORMS = (
    DemoPlatform(
        site="ohio",
        provider="ec2",
        region="us-east-2",
        account="AKIACROSSWAYOHIO",
        url="https://ec2.us-east-2.amazonaws.com",
        policy="".join(f"[policy.{name}]\n{_GRANT}" for name in ("image", "size", "location", "key-pair", "volume"))
        + f"[policy.machine]\n{_GRANT}quota = 20\n",
        options={"image_owner": "136693071363"},
    ),
    DemoPlatform(
        site="mumbai",
        provider="ec2",
        region="ap-south-1",
        account="AKIACROSSWAYMUMBAI",
        url="https://ec2.ap-south-1.amazonaws.com",
        policy="".join(f"[policy.{name}]\n{_GRANT}" for name in ("image", "size", "location"))
        + f'[policy.machine]\n{_GRANT}quota = 5\nexpires_after_s = 604800.0\n[policy.key-pair]\ndecision = "deny"\n',
        options={"image_owner": "136693071363"},
    ),
    DemoPlatform(
        site="dubai",
        provider="simulated",
        region="private-1",
        account="gateway",
        url="http://cloud.dubai.internal",
        policy="".join(f"[policy.{name}]\n{_GRANT}" for name in ("image", "size", "location", "machine"))
        + '[policy.volume]\ndecision = "ask"\n',
    ),
)
SERVICES = ("machine", "image", "size", "location", "key-pair", "volume")


class DemoFailed(Exception):
    """A part of the demo's world did not start, or a step did not hold; the text says which and why."""


@dataclass(slots=True, kw_only=True)
class Estate:
    """Everything that runs in one demo. Use as a context manager; leaving it ends every program."""

    wan: Wan
    directory: Path
    review_period_s: float = 2.0
    relays: dict[str, RelaySshd] = field(default_factory=dict)
    ports: dict[tuple[str, str], int] = field(default_factory=dict)  # (site, "api" | "connector") -> port
    secrets: dict[str, str] = field(default_factory=dict)  # site -> the primary account's secret
    connector_keys: dict[str, str] = field(default_factory=dict)
    server: str = ""
    ca_pem: str = ""
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def state_dir(self) -> Path:
        """Where the demo's gateway keeps its state."""
        return self.directory / "gateway"

    def admin_token(self) -> str:
        """Return the token that the gateway wrote for its first admin."""
        return (self.state_dir / ADMIN_TOKEN_FILE).read_text(encoding="ascii").strip()

    def connector_config(self, site: str) -> Path:
        """Return the settings file of the connector at ``site``."""
        return self.directory / f"connector-{site}" / "connector.toml"

    def dial(self, source: str, site: str, port: int) -> str:
        """Return what a program at ``source`` dials to reach ``port`` at ``site``."""
        return str(self.wan.address_from(source, site, port))

    def dials_from(self, site: str, port: int) -> dict[str, str]:
        """Return, for every relay's site, what is dialled from there; empty where one address serves everybody."""
        if self.wan.one_address_per_host:
            return {}
        sources = (city.site for city in (GATEWAY, *RELAYS) if city.site != site)
        return {source: self.dial(source, site, port) for source in sources}

    def _start(self) -> None:
        self._stack.enter_context(self.wan)
        for city in (GATEWAY, *RELAYS, *PLATFORMS):
            self.wan.add_host(city.site)
        for link in links():
            self.wan.add_link(link.a, link.b, **link.settings)
        prepare_state_dir(self.state_dir)
        ssh_key = load_or_create_key(self.state_dir / SSH_KEY_FILE).public_key()
        line = ssh_key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        for city in RELAYS:
            directory = self.directory / city.site
            self.relays[city.site] = RelaySshd.start(self.wan, city.site, directory=directory, client_key=line)
        clouds = [self._start_cloud(platform) for platform in DEMO_PLATFORMS]
        connectors = [self._start_connector(platform) for platform in DEMO_PLATFORMS]
        gateway = self._start_gateway()
        for program in (*clouds, *connectors, gateway):
            program.wait_ready()

    def _start_cloud(self, platform: DemoPlatform) -> "_Program":
        site = platform.site
        directory = self.directory / f"cloud-{site}"
        directory.mkdir(mode=0o700)
        port = self.ports[site, "api"] = self.wan.free_port(CLOUD_PORT)
        secret = self.secrets[site] = secrets.token_urlsafe(24)
        listen = ["--listen", f"{self.wan.ip(site)}:{port}", "--region", platform.region]
        if platform.provider == "simulated":
            _write_private(directory / "secret", secret)
            more = ["--state", f"{directory}/cloud.sqlite3", "--account", platform.account]
            more += ["--secret-file", f"{directory}/secret"]
            return self._program(site, "gateway.demo.clouds.simulated_cloud", [*listen, *more], directory)
        authority = PrivateAuthority("Crossway demo authority", now_s=SystemClock().now_s())
        issued = authority.issue([platform.url.removeprefix("https://")])
        (directory / "ca.pem").write_text(authority.ca_pem)
        (directory / "cert.pem").write_text(issued.certificate_pem)
        _write_private(directory / "key.pem", issued.key_pem)
        _write_private(directory / "accounts.json", json.dumps({platform.account: secret}))
        more = ["--cert", f"{directory}/cert.pem", "--key", f"{directory}/key.pem"]
        more += ["--accounts", f"{directory}/accounts.json"]
        return self._program(site, "gateway.demo.clouds.moto_ec2", [*listen, *more], directory)

    def ca_of(self, site: str) -> str | None:
        """Return the authority of the platform's API server; None for plain HTTP."""
        path = self.directory / f"cloud-{site}" / "ca.pem"
        return path.read_text() if path.exists() else None

    def _start_connector(self, platform: DemoPlatform) -> "_Program":
        site = platform.site
        config = self.connector_config(site)
        config.parent.mkdir(mode=0o700)
        port = self.ports[site, "connector"] = self.wan.free_port(CONNECTOR_PORT)
        gateway_key = public_text(load_or_create_key(self.state_dir / SIGNING_KEY_FILE).public_key())
        self.connector_keys[site] = public_text(load_or_create_key(config.parent / "key.pem").public_key())
        config.write_text(
            f'[connector]\nlisten = "{self.wan.ip(site)}:{port}"\nplatform = "{site}"\nkey_file = "key.pem"\n'
            f'gateway_key = "{gateway_key}"\nstate_file = "state.json"\n\n[service]\nprovider = "{platform.provider}"\n'
            f'region = "{platform.region}"\nservices = {json.dumps(SERVICES)}\n\n{platform.policy}'
        )
        return self._program(site, "gateway", ["connector", "serve", "--config", str(config)], config.parent)

    def _start_gateway(self) -> "_Program":
        listener, port = _listen_on_loopback()
        self._stack.callback(listener.close)
        self.server = f"http://127.0.0.1:{port}"
        config = self.directory / "crossway.toml"
        timing = "connect" if self.wan.one_address_per_host else "banner"
        config.write_text(
            f'[gateway]\nname = "demo"\nsite = "{GATEWAY.site}"\nstate_dir = "{self.state_dir}"\n\n'
            f'[api]\nlisten = "fd:{listener.fileno()}"\n\n[log]\nlevel = "INFO"\n\n'
            f"[routing]\nreview_period_s = {self.review_period_s}\n\n"
            f'[probe]\ntcp_timing = "{timing}"\nicmp = "{"auto" if timing == "connect" else "off"}"\n'
            f"in_use_age_s = {self.review_period_s / 2}\nrival_age_s = {self.review_period_s}\n\n"
            '[handshake]\naccept = ["ohio/*"]\nask_again_period_s = 1.0\n\n'
            "[orders]\npoll_period_s = 0.2\n\n[pools]\nperiod_s = 1.0\n"
        )
        return self._program(
            GATEWAY.site,
            "gateway",
            ["serve", "--config", str(config)],
            self.state_dir,
            pass_fds=(listener.fileno(),),
            capabilities=("net_raw",),
        )

    def _program(self, host: str, module: str, arguments: list[str], directory: Path, **more: Any) -> "_Program":
        """Start a module of ours in ``host``; what it says on standard error goes to ``directory``/log."""
        log_file = directory / "log"
        out = directory / "out"
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with log_file.open("wb") as errors, out.open("wb") as output:
            process = self.wan.popen(
                host,
                [sys.executable, "-m", module, *arguments],
                stdout=output,
                stderr=errors,
                env=environment,
                **more,
            )
        return _Program(name=f"{module} at {host}", process=process, out=out, log_file=log_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    """A program that says on standard output, in one line of JSON, when it is ready."""

    name: str
    process: subprocess.Popen[bytes]
    out: Path
    log_file: Path

    def wait_ready(self) -> None:
        """Wait for the line. Raises DemoFailed with the end of its log when it ended or took too long."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while b"\n" not in self.out.read_bytes():
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                said = self.log_file.read_text(errors="replace")[-2000:]
                raise DemoFailed(f"{self.name} did not start: {said}")
            time.sleep(0.02)


def _listen_on_loopback() -> tuple[socket.socket, int]:
    """Return a listening socket on the first free port of the demo's range; the gateway inherits it by number."""
    for port in LOOPBACK_PORTS:
        try:
            return socket.create_server(("127.0.0.1", port)), port
        except OSError:
            continue
    raise DemoFailed(f"no port of 127.0.0.1 from {LOOPBACK_PORTS.start} to {LOOPBACK_PORTS.stop - 1} is free")


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
