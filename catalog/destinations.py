"""What a grant to forward covers: networks or names with ports, and what nobody may ever be forwarded to.

Pure. Names are never resolved here: they mean what they mean where the tunnel ends, so a name is covered only by that
very name. Loopback and metadata addresses belong to the relay that dials them, and are refused whatever is granted.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from catalog import addresses
from catalog.errors import Denied, InvalidValue
from catalog.ports import Address

DESTINATIONS_LIMIT = 64
_FIX = "such as 10.0.0.0/24:22, [fd00:1::/64]:5432, db.north.internal:5432-5433"
_PORTS = re.compile(r"([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?", re.ASCII)

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and with it the metadata services of most clouds
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "168.63.129.16/32",  # Azure's host
        "192.0.0.192/32",  # metadata of Oracle Cloud
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "::1/128",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::/32",  # Amazon's services of the host, metadata among them
        "fd20:ce::254/128",  # metadata of Google Cloud
    )
)
_NEVER_NAMES = frozenset(
    {
        "localhost",
        "localhost.localdomain",
        "ip6-localhost",
        "ip6-loopback",
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "instance-data",
        "instance-data.ec2.internal",
    }
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_V4_MASK = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A network (or one name) and an unbroken range of TCP ports."""

    place: _Network | str
    first_port: int
    last_port: int

    def __str__(self) -> str:
        place = f"[{self.place}]" if ":" in str(self.place) else str(self.place)
        ports = str(self.first_port) if self.first_port == self.last_port else f"{self.first_port}-{self.last_port}"
        return f"{place}:{ports}"

    def addresses(self, limit: int) -> tuple[Address, ...]:
        """Return every single address that this is, none at all when they are more than ``limit``."""
        hosts = 1 if isinstance(self.place, str) else self.place.num_addresses
        ports = range(self.first_port, self.last_port + 1)
        if hosts * len(ports) > limit:
            return ()
        names = [self.place] if isinstance(self.place, str) else [str(ip) for ip in self.place]
        return tuple(Address(host=name, port=port) for name in names for port in ports)

    def covers(self, address: Address) -> bool:
        """Tell whether ``address``, in canonical form, lies within."""
        if not self.first_port <= address.port <= self.last_port:
            return False
        ip = _ip(address.host)
        if isinstance(self.place, str) or ip is None:
            return self.place == address.host
        return ip in self.place


def destination(text: str, *, field: str = "destinations") -> Destination:
    """Return what ``text`` (``CIDR:PORT``, ``ADDRESS:PORT``, ``NAME:PORT``; ``PORT`` may be a range) means.

    Raises InvalidValue for another form, and for places that nobody is forwarded to.
    """
    place_text, colon, ports_text = text.rpartition(":")
    ports = _PORTS.fullmatch(ports_text)
    bracketed = place_text.startswith("[") and place_text.endswith("]")
    bare = place_text[1:-1] if bracketed else place_text
    if not colon or ports is None or bracketed != (":" in bare):
        raise InvalidValue("this is not a destination", field=field, fix=_FIX)
    first = addresses.port(int(ports[1]), field=field)
    last = addresses.port(int(ports[2] or ports[1]), field=field)
    place = _place(bare, field)
    if first > last or _is_never(place):
        raise InvalidValue("nobody is forwarded to this destination", field=field, fix=_FIX)
    return Destination(place=place, first_port=first, last_port=last)


def destinations(texts: Iterable[str], *, field: str = "destinations") -> tuple[str, ...]:
    """Return the canonical forms of ``texts``, each once and in their order. Raises InvalidValue, also for too many."""
    kept = tuple(dict.fromkeys(str(destination(text, field=field)) for text in texts))
    if len(kept) > DESTINATIONS_LIMIT:
        raise InvalidValue("these are too many destinations", field=field, fix=f"at most {DESTINATIONS_LIMIT}")
    return kept


def require_covered(scope: Iterable[str], address: Address) -> None:
    """Raise Denied unless ``scope`` covers ``address`` and it is a place that anybody may be forwarded to."""
    ip = _ip(address.host)
    if _is_never(address.host if ip is None else ipaddress.ip_network(ip)):
        raise Denied(
            "nobody is forwarded to loopback, link-local or metadata addresses of a relay",
            field="host",
            fix="name a host of the platform's own network",
        )
    granted = [destination(text) for text in scope]
    if not any(each.covers(address) for each in granted):
        allowed = ", ".join(str(each) for each in granted) or "none"
        raise Denied("the platform's owner does not grant this destination", field="host", fix=f"granted: {allowed}")


def _place(text: str, field: str) -> _Network | str:
    if "/" not in text and _ip(text) is None:
        return addresses.host(text, field=field)
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise InvalidValue(
            "this is not a network", field=field, fix="such as 10.0.0.0/24, without host bits"
        ) from error
    if "%" in text:
        raise InvalidValue("a zone means nothing elsewhere", field=field, fix=_FIX)
    return network


def _ip(text: str) -> _Ip | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_never(place: _Network | str) -> bool:
    if isinstance(place, str):
        return place in _NEVER_NAMES or place.endswith(".localhost")
    if isinstance(place, ipaddress.IPv6Network) and place.prefixlen == place.max_prefixlen:
        inner = _embedded(place.network_address)
        if inner is not None:
            return True if place.network_address.ipv4_mapped else _is_never(ipaddress.IPv4Network(inner))
    return any(place.version == never.version and place.subnet_of(never) for never in _NEVER)  # type: ignore[arg-type]


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that a host may take ``ip`` for: mapped addresses are plain IPv4 to its kernel."""
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ipaddress.IPv4Address(int(ip) & _V4_MASK) if ip in _NAT64 else None
