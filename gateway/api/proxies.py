"""Where a request comes from when a proxy of ours passed it on: that proxy's word counts, and nobody else's.

Every proxy appends to ``X-Forwarded-For`` who spoke to it, so the list is read from its end for as long as the speaker
is one of ours. What a client wrote into it stands further ahead and is never reached.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiohttp import web

UNIX = "unix"  # in the place of a network: whoever speaks over the unix socket
_HEADER = "X-Forwarded-For"
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """The proxies that are ours: networks, and whether whoever speaks over the unix socket is one. None by default."""

    networks: tuple[_Network, ...] = ()
    over_unix: bool = False

    @classmethod
    def named(cls, names: Iterable[str]) -> "Proxies":
        """Return the proxies in ``names``, each a network or ``unix``."""
        listed = tuple(names)
        networks = tuple(ipaddress.ip_network(each) for each in listed if each != UNIX)
        return cls(networks=networks, over_unix=UNIX in listed)

    def trusts(self, peer: str) -> bool:
        """Return whether ``peer``, an address or empty for a unix socket's, is one of them."""
        if not peer:
            return self.over_unix
        address = _address(peer)
        return address is not None and any(address in each for each in self.networks)

    def caller(self, request: web.Request) -> str:
        """Return the address of whoever made ``request``; empty for whoever did so over a unix socket."""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        return self.behind(peer_of(peer), request.headers.getall(_HEADER, ()))

    def behind(self, peer: str, forwarded: Sequence[str]) -> str:
        """Return the nearest address on the way that is no proxy of ours, the last proxy's if there is none.

        ``forwarded`` are the header's values in their order. A hop that is no address ends the way at who told it.
        """
        found = peer
        hops = [each.strip() for value in forwarded for each in value.split(",")]
        while hops and self.trusts(found):
            address = _address(_without_port(hops.pop()))
            if address is None:
                break
            found = str(address)
        return found


def peer_of(peername: object) -> str:
    """Return the address in a socket's ``peername``, empty when it is a unix socket's."""
    if not isinstance(peername, tuple):
        return ""
    address = _address(str(peername[0]))
    return str(peername[0]) if address is None else str(address)


def _address(text: str) -> _Address | None:
    """Return the address, IPv4 as IPv4 however it came, without a zone."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _without_port(hop: str) -> str:
    """Return the address in ``hop``: some proxies add the port that the client had."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
