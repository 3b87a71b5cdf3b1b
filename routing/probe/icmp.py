"""Probe by ICMP echo: scapy builds the packet once, and each probe only patches its number and its token.

scapy's own ``sr`` costs 1.5 ms of CPU a packet and stamps replies late, so scapy is used for what it is best
at: building the packet. IPv4 only.
"""

import secrets
import socket
import struct
from dataclasses import dataclass

from routing.probe.raw import RawProber
from routing.probe.wire import ip_header_bytes

_ECHO_REPLY = 0
_ECHO_REQUEST = 8
_ICMP_FILTER = 1  # linux/icmp.h; the option that drops message types by bit mask
_SOL_RAW = 255
_IDENTIFIERS = 1 << 16
_ECHO = struct.Struct("!BBHHH")
_TOKEN_BYTES = 8
_ALL_ONES = (1 << 8 * _TOKEN_BYTES) - 1
_TEXT = b"crossway link probe, please echo"
# The text alone is 32 bytes; a token and its complement make 48.
_PAYLOAD = bytes(_TOKEN_BYTES) + b"\xff" * _TOKEN_BYTES + _TEXT
_TOKEN_AT = _ECHO.size
_TEXT_AT = _ECHO.size + 2 * _TOKEN_BYTES
_RATE_PPS = 1000.0


def raw_sockets_allowed() -> bool:
    """Return whether this process may send ICMP itself (root, or CAP_NET_RAW in its network namespace)."""
    try:
        open_icmp_socket().close()
    except PermissionError:
        return False
    return True


def open_icmp_socket() -> socket.socket:
    """Return a raw socket that receives echo replies and nothing else. Raises PermissionError without CAP_NET_RAW."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMP)
    wanted = struct.pack("=I", 0xFFFFFFFF & ~(1 << _ECHO_REPLY))
    raw.setsockopt(_SOL_RAW, _ICMP_FILTER, wanted)
    return raw


def echo_template(identifier: int) -> bytes:
    """Return an echo request with sequence number 0, token 0 and a correct checksum, built by scapy."""
    # Imported late: scapy takes a good part of a second to load, and most processes never probe.
    from scapy.layers.inet import ICMP  # noqa: PLC0415

    return bytes(ICMP(type=_ECHO_REQUEST, id=identifier, seq=0) / _PAYLOAD)


def patched(template: bytes, sequence: int, token: bytes) -> bytes:
    """Return ``template`` with ``sequence`` and the 8 bytes ``token`` put in and its checksum right (RFC 1624, eqn. 3).

    The token is followed by its complement: together they add nothing to a one's complement sum.
    """
    kind, code, checksum, identifier, _ = _ECHO.unpack_from(template)
    total = (~checksum & 0xFFFF) + sequence
    total = (total & 0xFFFF) + (total >> 16)
    complement = (int.from_bytes(token) ^ _ALL_ONES).to_bytes(_TOKEN_BYTES)
    head = _ECHO.pack(kind, code, ~total & 0xFFFF, identifier, sequence)
    return b"".join((head, token, complement, template[_TEXT_AT:]))


@dataclass(frozen=True, slots=True)
class _EchoAim:
    host: str
    address: bytes
    template: bytes

    def packet(self, serial: int, token: bytes) -> bytes:
        return patched(self.template, serial, token)


class EchoWire:
    """ICMP echo, for ``RawProber``. Targets are IPv4 addresses."""

    token_bytes = _TOKEN_BYTES
    longest_ms = float("inf")

    def __init__(self) -> None:
        # Another process's pings carry another identifier; replies to them reach every raw socket.
        self._identifier = secrets.randbelow(_IDENTIFIERS)
        self._template = echo_template(self._identifier)
        self._raw: socket.socket | None = None

    def open(self) -> socket.socket:
        """Return a new raw socket. Raises PermissionError without CAP_NET_RAW."""
        self._raw = open_icmp_socket()
        return self._raw

    def close(self) -> None:
        """Close what ``open`` opened."""
        if self._raw is not None:
            self._raw.close()

    def aim(self, target: str) -> _EchoAim:
        """Return ``target`` made ready. Raises OSError when it is no IPv4 address."""
        address = socket.inet_aton(target)
        return _EchoAim(socket.inet_ntoa(address), address, self._template)

    def answer(self, datagram: bytes) -> tuple[int, bytes] | None:
        """Return sequence number and token of an echo reply to this process; None for anything else."""
        start = ip_header_bytes(datagram)
        if len(datagram) < start + _TEXT_AT:
            return None
        kind, _, _, identifier, sequence = _ECHO.unpack_from(datagram, start)
        if kind != _ECHO_REPLY or identifier != self._identifier:
            return None
        return sequence, datagram[start + _TOKEN_AT : start + _TOKEN_AT + _TOKEN_BYTES]


class EchoSocket(RawProber[str]):
    """Probes IPv4 addresses by ICMP echo over one raw socket; see ``RawProber``.

    Construct it in a thread: scapy is loaded then. ``opened`` is from ``open_icmp_socket``.
    """

    def __init__(self, *, rate_pps: float = _RATE_PPS, opened: socket.socket | None = None) -> None:
        super().__init__(EchoWire(), rate_pps=rate_pps, opened=opened)
