"""Lines: single HTTP/1.1 connections over sockets that are connected already.

aiohttp keeps a pool and repeats what it deems idempotent by the method's name; a create asked for by GET would then be
sent twice. Here a line is one connection: when it is gone, so is the line, and nothing is sent again behind its user's
back.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace
from yarl import URL

from catalog.errors import CertificateRefused, CloudMisbehaved, CloudUnavailable
from catalog.ports import HttpCall

# What aiohttp would add by itself; a request must arrive as it was signed.
_ADDED_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Line:
    """One connection to one origin, used by one request at a time."""

    def __init__(self, transport: asyncio.Transport, protocol: ResponseHandler) -> None:
        """Take a connection from ``open_line``."""
        self._transport = transport
        self._protocol = protocol
        self._http = aiohttp.ClientSession(
            connector=_OneConnection(protocol),
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_ADDED_HEADERS,
            # Deadlines are the caller's: they also cover the tunnel.
            timeout=aiohttp.ClientTimeout(total=None),
        )

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent."""
        return self._protocol.is_connected() and not self._protocol.should_close

    async def ask(self, call: HttpCall) -> aiohttp.ClientResponse:
        """Send ``call`` and return its answer, the head read.

        Raises aiohttp.ClientError or OSError when there is none that can be read: the outcome is unknown.
        """
        return await self._http.request(
            call.method,
            URL(call.url, encoded=True),
            headers=call.headers,
            data=call.body if call.body or call.method not in {"GET", "HEAD"} else None,
            allow_redirects=False,
        )

    def abort(self) -> None:
        """Drop the connection at once. May be repeated."""
        self._transport.abort()

    async def close(self) -> None:
        """Drop the connection and let go of everything else. May be repeated."""
        self.abort()
        await self._http.close()


async def open_line(connected: socket.socket, tls: ssl.SSLContext | None, host: str) -> Line:
    """Return a line over ``connected``, which it owns from now on, also when this raises.

    With ``tls`` the far end must prove that it is ``host``. Raises CertificateRefused, CloudMisbehaved (no TLS there)
    and CloudUnavailable (it closed).
    """
    loop = asyncio.get_running_loop()
    try:
        transport, protocol = await loop.create_connection(
            lambda: ResponseHandler(loop), sock=connected, ssl=tls, server_hostname=host if tls else None
        )
    except ssl.SSLCertVerificationError as error:
        raise CertificateRefused(f"the certificate shown does not prove {host}", detail=error.verify_message) from error
    except ssl.SSLError as error:
        raise CloudMisbehaved(f"{host} does not speak TLS", detail=error.reason or "") from error
    except OSError as error:
        raise CloudUnavailable(f"{host} closed the connection before anything was sent") from error
    except BaseException:
        connected.close()
        raise
    return Line(transport, protocol)


class _OneConnection(aiohttp.BaseConnector):
    """Gives aiohttp the one connection there is, and never another."""

    def __init__(self, protocol: ResponseHandler) -> None:
        super().__init__(limit=1, keepalive_timeout=3600)  # how long a line is kept is its owner's affair
        self._unused: ResponseHandler | None = protocol

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: Sequence[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 the signature is aiohttp's
    ) -> ResponseHandler:
        """Return the connection the first time: the one method that aiohttp documents as to be overridden.

        aiohttp asks again when it means to repeat a request on a new connection.
        """
        del req, traces, timeout
        protocol, self._unused = self._unused, None
        if protocol is None:
            raise aiohttp.ClientConnectionError("the connection is gone")
        return protocol
