"""The connector as a caller of the gateway's API: every request is signed by the platform's key, good for once."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.messages.signed_request import authorization
from catalog.ports import Clock
from gateway.client.problems import AnswerUnreadable, ApiProblem, ServerUnreachable, problem_of
from gateway.connector.outward import GatewayAccess
from gateway.streams.dial import connector_to

ANNOUNCEMENTS_PATH = "/v1/exit-announcements"
_TIMEOUT_S = 20.0
_ANSWER_BYTES = 65_536
_REDIRECTS, _CLIENT_ERRORS = 300, 400


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayDoor:
    """How this platform's connector asks the gateway. ``gateway_key`` is the gateway's public key, base64."""

    access: GatewayAccess
    platform: str
    gateway_key: str
    key: Ed25519PrivateKey = field(repr=False)
    clock: Clock

    def signed(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: bytes = b"") -> str:
        """Return the Authorization header for one request."""
        return authorization(
            self.key,
            gateway=self.gateway_key,
            platform=self.platform,
            method=method,
            target=f"{path}?{urlencode(query)}" if query else path,
            body=body,
            now_s=self.clock.now_s(),
        )

    async def announce(self, relay: str, ports: Mapping[str, int]) -> None:
        """Tell which loopback ports ``relay`` gave us. Raises ApiProblem, ServerUnreachable or AnswerUnreadable."""
        body = json.dumps({"relay": relay, "ports": dict(ports)}).encode()
        headers = {
            "Authorization": self.signed("POST", ANNOUNCEMENTS_PATH, body=body),
            "Content-Type": "application/json",
            "Idempotency-Key": f"announce-{self.clock.now_s():.6f}-{relay}",
        }
        server = self.access.server
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                aiohttp.ClientSession(connector=connector_to(server, self.access.ca_pem), trust_env=False) as http,
                http.post(
                    f"{server.origin}{ANNOUNCEMENTS_PATH}", data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                if answer.status >= _CLIENT_ERRORS:
                    raise _problem(answer.status, await answer.content.read(_ANSWER_BYTES))
                if answer.status >= _REDIRECTS:
                    # Not followed: whoever redirects is no gateway, and nobody has heard the announcement.
                    raise AnswerUnreadable(str(server), "a redirect")
        except TimeoutError as error:
            raise ServerUnreachable(str(server), f"silent for {_TIMEOUT_S:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServerUnreachable(str(server), type(error).__name__) from error


def _problem(status: int, body: bytes) -> ApiProblem:
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    return problem_of(status, document if isinstance(document, dict) else {}, "")
