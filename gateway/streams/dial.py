"""Open a stream at a gateway: one WebSocket per stream, over TCP, TLS or a unix socket."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from gateway.client.address import ServerAddress
from gateway.client.problems import AnswerUnreadable, ApiProblem, ServerUnreachable, problem_of
from gateway.streams.wire import keep_alive

PATH = "/v1/streams"
REFUSAL = "Crossway-Problem"  # where a refusal's body stands for those who asked for a WebSocket
# A gateway gives a dial up before this, and says why.
OPEN_TIMEOUT_S = 40.0
_HEADER_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Into which platform's network (name or id), and to what there."""

    platform: str
    host: str
    port: int

    @property
    def path(self) -> str:
        """Path and query of the request that says so, exactly as it is sent: a signature may cover it."""
        query = {"platform": self.platform, "host": self.host, "port": str(self.port)}
        return f"{PATH}?{urlencode(query)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDialer:
    """How streams are opened at one gateway. ``ca_pem`` None: the system's authorities prove it."""

    server: ServerAddress
    timeout_s: float = OPEN_TIMEOUT_S
    ca_pem: str | None = field(default=None, repr=False)

    @asynccontextmanager
    async def opened(
        self, target: Target, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Give the WebSocket of a new stream to ``target``; ``headers`` say who asks.

        Raises ApiProblem when the gateway says no, ServerUnreachable when it does not answer, AnswerUnreadable when
        something else does.
        """
        connector = connector_to(self.server, self.ca_pem)
        async with aiohttp.ClientSession(
            connector=connector, trust_env=False, trace_configs=[_no_redirects(self.server)]
        ) as http:
            try:
                async with asyncio.timeout(self.timeout_s):
                    url = URL(f"{self.server.origin}{target.path}", encoded=True)
                    web_socket = await http.ws_connect(url, headers=headers, max_msg_size=0)
            except aiohttp.WSServerHandshakeError as error:
                raise _refusal(error) from error
            except TimeoutError as error:
                raise ServerUnreachable(str(self.server), f"silent for {self.timeout_s:g} s") from error
            except (aiohttp.ClientError, OSError) as error:
                raise ServerUnreachable(str(self.server), str(error) or type(error).__name__) from error
            keep_alive(web_socket.get_extra_info("socket"))
            async with web_socket:
                yield web_socket


def connector_to(server: ServerAddress, ca_pem: str | None) -> aiohttp.BaseConnector:
    """Return how aiohttp connects to ``server``; ``ca_pem`` None: the system's authorities prove it."""
    if server.kind == "unix":
        return aiohttp.UnixConnector(server.path)
    return aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=ca_pem) if server.kind == "https" else True)


def _no_redirects(server: ServerAddress) -> aiohttp.TraceConfig:
    """Return what stops at a redirect: a token must not travel where nobody sent it."""

    async def refuse(_session: object, _context: SimpleNamespace, _told: object) -> None:
        raise AnswerUnreadable(str(server), "a redirect")

    watching = aiohttp.TraceConfig()
    watching.on_request_redirect.append(refuse)
    return watching


def _refusal(error: aiohttp.WSServerHandshakeError) -> ApiProblem:
    headers: Mapping[str, str] = error.headers or {}
    try:
        document = json.loads(headers.get(REFUSAL, "{}")[:_HEADER_BYTES])
    except ValueError:
        document = {}
    told = document if isinstance(document, dict) else {}
    return problem_of(error.status, told, headers.get("X-Request-Id", ""))
