"""Speak to a platform's connector over HTTP through its tunnel: signed questions, verified answers (S1 steps 9-12).

The connector belongs to somebody else and may be hostile: every answer has a cap, a total deadline, no redirect and
no compression, must be signed by the enrolled key over our nonce, and passes strict shapes. Foreign text never
reaches an error's text.
"""

import asyncio
import base64
import json
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from yarl import URL

from catalog.errors import (
    CertificateRefused,
    CloudMisbehaved,
    CloudRefused,
    CloudTimedOut,
    CloudUnavailable,
    InvalidValue,
)
from catalog.messages import handshake_json
from catalog.messages.handshake import AuthorizationRequest, Decision, ServiceInformation, sign
from catalog.messages.handshake_json import (
    AUTHORIZATIONS_PATH,
    BODY_LIMIT_BYTES,
    INFORMATION_PATH,
    REFUSALS,
    Refusal,
)
from catalog.ports import Address, ApprovedEndpoint, Clock

OpenSocket = Callable[[Address, float], Awaitable[socket.socket]]

_ED25519_KEY_BYTES = 32
_HTTP_OK = 200
_HTTP_NO_CONTENT = 204
_HTTP_CLIENT_ERRORS = 400
_HTTP_TOO_MANY = 429
_HTTP_SERVER_ERRORS = 500


class HttpPlatformLink:
    """The PlatformLink of one platform over HTTP; one connection per question, dialled by ``open_socket``.

    ``open_socket(address, timeout_s)`` returns a connected stream socket through the tunnel and may raise
    CloudUnavailable or CloudTimedOut. TLS is verified against the host of the endpoint's URL, whatever address is
    dialled, and trusts only the endpoint's authority when it names one. Besides the errors of PlatformLink it raises
    CloudRefused when the connector does not know this gateway, platform or clock, and CertificateRefused.
    """

    def __init__(
        self,
        endpoint: ApprovedEndpoint,
        *,
        platform_name: str,
        platform_key: str,
        gateway_key: Ed25519PrivateKey,
        gateway_name: str,
        open_socket: OpenSocket,
        clock: Clock,
        timeout_s: float = 15.0,
    ) -> None:
        """Check what can be checked before asking.

        ``platform_key`` is base64. Raises InvalidValue for a key, URL or authority that cannot be used.
        """
        self._url = _url(endpoint.url)
        self._tls = _tls(endpoint.ca_pem) if self._url.scheme == "https" else None
        self._dial = endpoint.dial
        self._platform_name = platform_name
        self._platform_key = _public_key(platform_key)
        self._gateway_key = gateway_key
        self._gateway_name = gateway_name
        self._open_socket = open_socket
        self._clock = clock
        self._timeout_s = timeout_s

    async def service_information(self) -> ServiceInformation:
        """Return what the platform's owner says it has. May be repeated."""
        nonce, body = await self._ask(INFORMATION_PATH, {})
        if body is None:
            raise CloudMisbehaved("the connector answered without service information")
        return handshake_json.read_information(self._payload(body), nonce=nonce)

    async def authorize(self, request: AuthorizationRequest) -> Decision:
        """Put ``request`` to the owner. The same request id gets the same decision; nothing granted gives none."""
        nonce, body = await self._ask(AUTHORIZATIONS_PATH, {"request": handshake_json.request_json(request)})
        if body is None:
            return Decision(request_id=request.request_id, granted=())
        payload = self._payload(body)
        return handshake_json.read_decision(payload, nonce=nonce, request=request, signed=body.decode())

    def _payload(self, body: bytes) -> dict[str, Any]:
        return handshake_json.signed_payload(handshake_json.read_json(body), self._platform_key)

    async def _ask(self, path: str, extra: dict[str, Any]) -> tuple[str, bytes | None]:
        """Return the nonce of the question and the body of the answer, None for a 204."""
        nonce = secrets.token_urlsafe(24)
        question = {
            "nonce": nonce,
            "gateway": self._gateway_name,
            "platform": self._platform_name,
            "issued_at_s": self._clock.now_s(),
            **extra,
        }
        try:
            async with asyncio.timeout(self._timeout_s):
                return nonce, await self._post(path, sign(question, self._gateway_key))
        except TimeoutError as error:
            raise CloudTimedOut(f"the platform's connector did not answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL) as error:
            raise CloudMisbehaved("the platform's connector does not speak HTTP") from error
        except (aiohttp.ClientError, OSError) as error:
            raise CloudUnavailable("the platform's connector closed the connection") from error

    async def _post(self, path: str, message: dict[str, Any]) -> bytes | None:
        connector = _TunnelConnector(self._open, self._tls, self._url.host or "")
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector,
                    trust_env=False,
                    auto_decompress=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    # The one deadline is the caller's: it also covers the tunnel and the reading of the body.
                    timeout=aiohttp.ClientTimeout(total=None),
                ) as http,
                http.post(
                    self._url.joinpath(path.lstrip("/")),
                    data=json.dumps(message).encode(),
                    headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
                    allow_redirects=False,
                ) as response,
            ):
                return await _body(response)
        finally:
            connector.abort()

    async def _open(self) -> socket.socket:
        return await self._open_socket(self._dial, self._timeout_s)


class _TunnelConnector(aiohttp.BaseConnector):
    """Gives aiohttp one connection over a socket that is already connected; aiohttp resolves and dials nothing."""

    def __init__(
        self, open_socket: Callable[[], Awaitable[socket.socket]], tls: ssl.SSLContext | None, host: str
    ) -> None:
        super().__init__(force_close=True, limit=1)
        self._open_socket = open_socket
        self._tls = tls
        self._host = host
        self._transport: asyncio.BaseTransport | None = None

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 the signature is aiohttp's
    ) -> ResponseHandler:
        """Return the protocol of a fresh connection: the one method that aiohttp documents as to be overridden."""
        del req, traces, timeout
        sock = await self._open_socket()
        loop = asyncio.get_running_loop()
        try:
            self._transport, protocol = await loop.create_connection(
                lambda: ResponseHandler(loop),
                sock=sock,
                ssl=self._tls,
                server_hostname=self._host if self._tls else None,
            )
        except ssl.SSLCertVerificationError as error:
            raise CertificateRefused(
                f"the connector's certificate does not prove {self._host}", detail=error.verify_message
            ) from error
        except ssl.SSLError as error:
            raise CloudMisbehaved("the platform's connector does not speak TLS", detail=error.reason or "") from error
        finally:
            if self._transport is None:
                sock.close()
        return protocol

    def abort(self) -> None:
        """Drop the connection at once: a peer that reads or closes slowly gets no time after the deadline."""
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()


async def _body(response: aiohttp.ClientResponse) -> bytes | None:
    """Return the body of a 200, None for a 204. Raises for every other status and for a body beyond the cap."""
    status = response.status
    if status == _HTTP_NO_CONTENT:
        return None
    if status >= _HTTP_SERVER_ERRORS or status == _HTTP_TOO_MANY:
        raise CloudUnavailable(f"the platform's connector answered {status}")
    if status < _HTTP_CLIENT_ERRORS and status != _HTTP_OK:
        raise CloudMisbehaved(f"the platform's connector answered {status}, which the handshake does not know")
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            raise CloudMisbehaved(f"the platform's connector answered more than {BODY_LIMIT_BYTES} bytes")
    if status != _HTTP_OK:
        raise CloudRefused(f"the platform's connector refused the question ({status})", detail=_why(bytes(body)))
    return bytes(body)


def _why(body: bytes) -> str:
    """Return our own words for the refusal code in ``body``; what the other side wrote is never repeated."""
    try:
        told = handshake_json.read_json(body)
        return REFUSALS[Refusal(told["code"])][1] if isinstance(told, dict) else ""
    except (CloudMisbehaved, KeyError, ValueError):
        return ""


def _url(text: str) -> URL:
    try:
        url = URL(text)
        usable = url.scheme in ("https", "http") and bool(url.host) and not url.query_string and url.user is None
    except ValueError:
        usable = False
    if not usable:
        raise InvalidValue("the connector's URL must be https://host[:port][/path]", field="connector.url")
    return url


def _tls(ca_pem: str | None) -> ssl.SSLContext:
    # "" would mean the system's authorities to ssl; whoever gave an authority wanted that one only.
    authority = None if ca_pem is None else ca_pem or "empty"
    try:
        return ssl.create_default_context(cadata=authority)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidValue("the connector's authority is not a PEM certificate", field="connector.ca_pem") from error


def _public_key(text: str) -> str:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != _ED25519_KEY_BYTES:
        raise InvalidValue("the platform's key must be the base64 of a 32-byte Ed25519 key", field="public_key")
    return text
