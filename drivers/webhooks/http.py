"""One HTTP POST to a URL that a stranger named: nowhere but to public addresses, and at no length.

Every socket is looked at as it is made, after all names were resolved: neither a name that leads inside, nor one that
leads elsewhere the second time, nor a literal address gets past it. Redirects are not followed: the Location is a
stranger's word too.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from catalog.errors import ReceiverUnreachable

ANSWER_LIMIT_BYTES = 64 * 1024
_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Public by their numbers, and yet the hosts' own: metadata of Alibaba Cloud (shared space) is not, Azure's host is.
_NEVER = (ipaddress.ip_network("168.63.129.16/32"),)


class HttpWebhookSender:
    """A WebhookSender over HTTP and HTTPS; ``inside`` are networks that may be called although they are not public.

    Without TLS only these may be called: what is signed is not thereby secret.
    """

    def __init__(self, inside: Sequence[_Network] = (), *, timeout_s: float = 10.0) -> None:
        """Take the networks, and how long one attempt may last."""
        self._inside = tuple(inside)
        self._timeout_s = timeout_s

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """POST ``body`` and return the answer's status; its body is read up to a limit and thrown away.

        Raises ReceiverUnreachable. Never waits longer than the deadline it was made with.
        """
        guard = _Guard(self._inside, is_plain=urlsplit(url).scheme == "http")
        # A connector of its own: a connection that was made for one receiver is never another's.
        connector = aiohttp.TCPConnector(socket_factory=guard.socket, force_close=True)
        sent = {**headers, "Content-Type": "application/json", "User-Agent": "crossway-webhooks"}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                aiohttp.ClientSession(connector=connector, auto_decompress=False) as http,
                http.post(url, data=body, headers=sent, allow_redirects=False) as answer,
            ):
                await answer.content.read(ANSWER_LIMIT_BYTES)
                return answer.status
        except TimeoutError:
            raise ReceiverUnreachable(f"no answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ReceiverUnreachable(guard.refused or _why(error)) from error


class _Guard:
    """Makes sockets to permitted addresses only, and remembers why it made none."""

    def __init__(self, inside: Sequence[_Network], *, is_plain: bool) -> None:
        self._inside = inside
        self._is_plain = is_plain
        self.refused = ""

    def socket(self, address: tuple[Any, ...]) -> socket.socket:
        """Return a socket for what getaddrinfo answered. Raises OSError for an address that may not be called."""
        family, kind, protocol, _, place = address
        ip = _plain(ipaddress.ip_address(str(place[0]).partition("%")[0]))
        if not any(ip in network for network in self._inside):
            if not ip.is_global or ip.is_multicast or any(ip in network for network in _NEVER):
                self.refused = "its address is not public"
            elif self._is_plain:
                self.refused = "without TLS only networks that an admin named are called"
            if self.refused:
                raise PermissionError(self.refused)
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)  # noqa: FBT003  the standard library's
        return made


def _plain(ip: _Ip) -> _Ip:
    """Return the IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip.sixtofour is not None:
            return ip.sixtofour
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip


def _why(error: Exception) -> str:
    """Return what happened in words of ours: what a stranger's server says is not repeated."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "its certificate does not prove its name"
    if isinstance(error, aiohttp.ClientConnectorError | ConnectionError):
        return "it cannot be connected"
    return "it does not answer in HTTP"
