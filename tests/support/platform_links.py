"""PlatformLinks for tests: one in memory, one over HTTP to a real connector, and the files a connector needs."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.errors import CloudError
from catalog.messages.handshake import AuthorizationRequest, Decision, ServiceInformation, public_text, sign
from catalog.messages.handshake_json import granted_json
from catalog.ports import Address, ApprovedEndpoint, Clock
from drivers.platforms.http import HttpPlatformLink, OpenSocket
from gateway.connector import public_key
from gateway.connector.policy import Policy, Verdict, decide
from gateway.connector.server import Connector

PLATFORM = "north-cloud"
GATEWAY = "crossway-test"
GATEWAY_KEY = Ed25519PrivateKey.from_private_bytes(b"g" * 32)
STRANGER_KEY = Ed25519PrivateKey.from_private_bytes(b"s" * 32)

SERVICE = """
[service]
provider = "simulated"
region = "north-1"
services = ["machine", "image", "size", "location"]
facts = { owner = "North Cloud AG" }
"""

GRANT_ASK_DENY = """
[policy.machine]
decision = "grant"
verbs = ["create", "list", "destroy"]
quota = 5
expires_after_s = 3600

[policy.image]
decision = "ask"

[policy.size]
decision = "deny"
"""


class InMemoryPlatformLink:
    """A PlatformLink without a network: decides by ``policy``, which a test may replace, and remembers.

    ``failure``, when set, is raised by every call.
    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self.policy = policy
        self.failure: CloudError | None = None
        self._clock = clock
        self._key = Ed25519PrivateKey.generate()
        self._answers: dict[str, dict[str, Verdict]] = {}
        self._decided: dict[str, Decision] = {}

    def answer(self, request_id: str, capability: str, verdict: Verdict) -> None:
        """Say what the owner decides about a pending capability."""
        self._answers.setdefault(request_id, {})[capability] = verdict

    async def service_information(self) -> ServiceInformation:
        """Return what the policy says."""
        self._fail()
        return self.policy.service

    async def authorize(self, request: AuthorizationRequest) -> Decision:
        """Return the decision; what was granted or denied once stays so."""
        self._fail()
        before = self._decided.get(request.request_id)
        wanted = request.wanted if before is None else {name: request.wanted[name] for name in before.pending}
        answers = self._answers.get(request.request_id, {})
        fresh = decide(replace(request, wanted=wanted), self.policy, answers, self._clock.now_s())
        decision = replace(fresh, granted=(*(before.granted if before else ()), *fresh.granted))
        self._decided[request.request_id] = decision
        if not decision.granted and not decision.pending:
            return decision
        told = {"request_id": request.request_id, "granted": [granted_json(grant) for grant in decision.granted]}
        return replace(decision, signed=str(sign(told, self._key)))

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def write_config(
    directory: Path,
    policy: str = GRANT_ASK_DENY,
    *,
    listen: str = "127.0.0.1:0",
    service: str = SERVICE,
    more: str = "",
    gateway_key: str | None = None,
) -> Path:
    """Write a connector's file into ``directory`` and return its path; ``more`` goes into [connector]."""
    path = directory / "connector.toml"
    path.write_text(
        f"""
[connector]
listen = "{listen}"
platform = "{PLATFORM}"
key_file = "platform.key"
gateway_key = "{gateway_key or public_text(GATEWAY_KEY.public_key())}"
state_file = "connector.db"
{more}
{service}
{policy}
"""
    )
    return path


async def open_socket(address: Address, timeout_s: float) -> socket.socket:
    """Return a connected socket to ``address``, as a tunnel would."""
    sock = socket.socket()
    sock.settimeout(0)
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(sock, (address.host, address.port))
    except BaseException:
        sock.close()
        raise
    return sock


def link_to(
    address: Address,
    platform_key: str,
    clock: Clock,
    *,
    url: str | None = None,
    ca_pem: str | None = None,
    platform_name: str = PLATFORM,
    gateway_key: Ed25519PrivateKey = GATEWAY_KEY,
    timeout_s: float = 15.0,
    dial: OpenSocket = open_socket,
) -> HttpPlatformLink:
    """Return the product's link to whatever listens at ``address``."""
    return HttpPlatformLink(
        ApprovedEndpoint(url=url or f"http://{address}", dial=address, ca_pem=ca_pem),
        platform_name=platform_name,
        platform_key=platform_key,
        gateway_key=gateway_key,
        gateway_name=GATEWAY,
        open_socket=dial,
        clock=clock,
        timeout_s=timeout_s,
    )


@asynccontextmanager
async def linked(
    config: Path, clock: Clock, *, url: str | None = None, ca_pem: str | None = None
) -> AsyncIterator[HttpPlatformLink]:
    """Run the connector of ``config`` in this loop and give a link to it."""
    async with Connector(config, clock).listening() as (host, port):
        yield link_to(Address(host=host, port=port), public_key(config), clock, url=url, ca_pem=ca_pem)


def request(request_id: str = "grant_1", **wanted: tuple[str, ...]) -> AuthorizationRequest:
    """Return a request for ``wanted``; without any, for machine (create, reboot, list), image and size."""
    return AuthorizationRequest(
        request_id=request_id,
        platform=PLATFORM,
        gateway=GATEWAY,
        service_information=ServiceInformation(provider="simulated", region="north-1", services=("machine",)),
        wanted=wanted or {"machine": ("create", "reboot", "list"), "image": ("list",), "size": ("list",)},
    )
