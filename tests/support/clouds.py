"""Start the demo's clouds as the processes they are, and steer their faults."""

import asyncio
import http.client
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from catalog.clouds import CloudAccount, CloudDriver
from catalog.model.ids import PlatformId
from catalog.ports import Address, ApprovedEndpoint, Dialer
from catalog.secrets import Secret
from drivers.clouds.policy import CallPolicy
from drivers.registry import build
from gateway.clock import SystemClock
from gateway.demo.clouds.ca import PrivateAuthority
from tests.support.dialers import LoopbackDialer

# Where the clouds' own command lines and Keystone are; `make test` makes it.
CLIENTS = Path(__file__).parents[2] / ".venv-clients" / "bin"
ACCOUNT = "AKIACANARYACCOUNT"
SECRET = "canary+secret/with&odd=characters"
REGION = "eu-central-1"
EC2_NAME = f"ec2.{REGION}.amazonaws.com"
SERVICE_NAMES = {
    "object-storage": f"s3.{REGION}.amazonaws.com",
    "dns": "route53.amazonaws.com",
    "load-balancer": f"elasticloadbalancing.{REGION}.amazonaws.com",
}
DEBIAN = "136693071363"


class WithDriver(Protocol):
    """A cloud that tests can log in to."""

    def driver(self, **changes: Any) -> Any:
        """Return a driver of its account, with ``changes``."""
        ...


def on_driver(cloud: "WithDriver", story: Callable[[CloudDriver], Awaitable[Any]], **changes: Any) -> Any:
    """Run ``story`` with a driver of ``cloud`` and return what it returns; ``changes`` are of its account."""

    async def run() -> Any:
        driver = cloud.driver(**changes)
        try:
            async with asyncio.timeout(60):
                return await story(driver)
        finally:
            await driver.close()

    return asyncio.run(run())


@dataclass(kw_only=True)
class RunningCloud:
    """A cloud's process, where it listens, and what is needed to log in."""

    process: "subprocess.Popen[str]"
    arguments: list[str]
    provider: str
    url_host: str
    address: Address
    tls: bool = False
    ca_pem: str | None = None

    @property
    def url(self) -> str:
        """The endpoint's URL: the real name, at the real port, which stands for itself on loopback."""
        return f"{'https' if self.tls else 'http'}://{self.url_host}:{self.address.port}"

    def account(self, **changes: Any) -> CloudAccount:
        """Return the account that the cloud knows, with ``changes``; ``url`` and ``ca_pem`` change the endpoint."""
        endpoint = ApprovedEndpoint(
            url=changes.pop("url", self.url), dial=self.address, ca_pem=changes.pop("ca_pem", self.ca_pem)
        )
        options = {"image_owner": DEBIAN} if self.provider == "ec2" else {}
        facts: dict[str, Any] = {
            "platform": PlatformId("platform_test"), "provider": self.provider, "region": REGION, "endpoint": endpoint,
            "account": ACCOUNT, "secret": Secret(SECRET), "options": options,
        }  # fmt: skip
        return CloudAccount(**{**facts, **changes})

    def services(self) -> dict[str, dict[str, str]]:
        """Return the services beside EC2 as the platform's owner names them at enrolment, by what they are for."""
        authority = {"ca_pem": self.ca_pem} if self.ca_pem else {}
        return {
            purpose: {"url": f"https://{name}:{self.address.port}", **authority}
            for purpose, name in SERVICE_NAMES.items()
        }

    def driver(self, dialer: Dialer | None = None, *, policy: CallPolicy | None = None, **changes: Any) -> Any:
        """Return a driver of this cloud's account."""
        return build(self.account(**changes), dialer or LoopbackDialer(), policy or CallPolicy(deadline_s=20))

    def faults(self, *rules: dict[str, Any]) -> None:
        """Put ``rules`` in force instead of the present ones."""
        assert self.control("POST", "/_faults", json.dumps(rules))[0] == 200

    def hits(self) -> list[int]:
        """Return how often each of the rules in force was met."""
        return [int(rule["hits"]) for rule in json.loads(self.control("GET", "/_faults")[1])]

    def ledger(self) -> list[dict[str, Any]]:
        """Return every create and delete that the simulated cloud carried out."""
        entries: list[dict[str, Any]] = json.loads(self.control("GET", "/_ledger")[1])
        return entries

    def control(self, method: str, path: str, body: str = "") -> tuple[int, bytes]:
        """Speak to the process directly, past the product."""
        connection: http.client.HTTPConnection
        if self.tls:
            context = ssl.create_default_context(cadata=self.ca_pem)
            context.check_hostname = False
            connection = http.client.HTTPSConnection(self.address.host, self.address.port, timeout=20, context=context)
        else:
            connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=20)
        try:
            connection.request(method, path, body=body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def kill(self) -> None:
        """End the process as a power cut would."""
        self.process.kill()
        self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def start_again(self) -> None:
        """Start the process anew, at the same address."""
        at = self.arguments.index("--listen") + 1
        self.arguments[at] = f"{self.address.host}:{self.address.port}"
        self.process, _ = _started(self.arguments)


@contextmanager
def simulated_cloud(
    folder: Path,
    *,
    boot_s: float = 0.0,
    page_count: int = 1000,
    host: str = "127.0.0.1",
    port: int = 0,
    log_in: tuple[str, str] = (ACCOUNT, SECRET),
) -> Iterator[RunningCloud]:
    """Run a simulated private cloud, over plain HTTP, until the block ends. ``log_in``: account and secret."""
    secret = folder / "secret"
    secret.write_text(log_in[1])
    arguments = [
        "gateway.demo.clouds.simulated_cloud", "--listen", f"{host}:{port}", "--state", str(folder / "state.db"),
        "--account", log_in[0], "--secret-file", str(secret), "--boot-s", str(boot_s), "--page-count", str(page_count),
    ]  # fmt: skip
    process, address = _started(arguments)
    cloud = RunningCloud(
        process=process, arguments=arguments, provider="simulated", url_host="cloud.private.example", address=address
    )
    with _ended(cloud):
        yield cloud


@contextmanager
def moto_cloud(
    folder: Path, *, names: Sequence[str] = (EC2_NAME, *SERVICE_NAMES.values()), host: str = "127.0.0.1"
) -> Iterator[RunningCloud]:
    """Run moto's EC2 behind TLS with a private authority, under ``names``, until the block ends."""
    authority = PrivateAuthority("Test authority", now_s=SystemClock().now_s())
    issued = authority.issue(names)
    (folder / "cert.pem").write_text(issued.certificate_pem)
    (folder / "key.pem").write_text(issued.key_pem)
    (folder / "accounts.json").write_text(json.dumps({ACCOUNT: SECRET}))
    arguments = [
        "gateway.demo.clouds.moto_ec2", "--listen", f"{host}:0", "--cert", str(folder / "cert.pem"),
        "--key", str(folder / "key.pem"), "--accounts", str(folder / "accounts.json"), "--region", REGION,
    ]  # fmt: skip
    process, address = _started(arguments)
    cloud = RunningCloud(
        process=process, arguments=arguments, provider="ec2", url_host=EC2_NAME, address=address, tls=True,
        ca_pem=authority.ca_pem,
    )  # fmt: skip
    with _ended(cloud):
        yield cloud


@contextmanager
def openstack_cloud(folder: Path) -> Iterator[RunningCloud]:
    """Run a real Keystone, with an emulated Nova and Glance behind its catalog, over plain HTTP."""
    assert CLIENTS.is_dir(), "the clouds' own clients are missing: make .venv-clients/.installed"
    name = "openstack.private.example"
    script = Path(__file__).with_name("openstack_process.py")
    arguments = [str(script), "--root", str(folder), "--listen", "127.0.0.1:0", "--host", name]
    with (folder / "stderr.log").open("w") as log:
        process = subprocess.Popen([CLIENTS / "python", *arguments], stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, (folder / "stderr.log").read_text()[-2000:]
    host, port = json.loads(line)["listening"]
    cloud = RunningCloud(
        process=process,
        arguments=arguments,
        provider="openstack",
        url_host=name,
        address=Address(host=host, port=port),
    )
    with _ended(cloud):
        yield cloud


@contextmanager
def _ended(cloud: RunningCloud) -> Iterator[None]:
    """End the cloud's process, whichever it is by then, after the block."""
    try:
        yield
    finally:
        if cloud.process.poll() is None:
            cloud.process.send_signal(signal.SIGTERM)
            try:
                cloud.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                cloud.kill()
        assert cloud.process.stdout is not None
        cloud.process.stdout.close()


def _started(arguments: list[str]) -> tuple["subprocess.Popen[str]", Address]:
    process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    host, port = json.loads(process.stdout.readline())["listening"]
    return process, Address(host=host, port=port)
