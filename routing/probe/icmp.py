"""Probe by ICMP echo: scapy builds the packet once, and each probe only puts its number and its token in.

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
_TEXT = b"crossway link probe, please echo"
# Type, code, checksum, identifier, sequence number (RFC 792), and our payload: token, its complement, text.
_ECHO = struct.Struct(f"!BBHHHQQ{len(_TEXT)}s")
_ALL_ONES = (1 << 64) - 1
_RATE_PPS = 1000.0


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

    payload = struct.pack("!QQ", 0, _ALL_ONES) + _TEXT
    return bytes(ICMP(type=_ECHO_REQUEST, id=identifier, seq=0) / payload)


@dataclass(frozen=True, slots=True)
class _EchoAim:
    """``ones`` is the one's complement sum of the template: what a number adds to it is all that is left to add."""

    host: str
    address: bytes
    identifier: int
    ones: int

    def packet(self, serial: int, token: int) -> bytes:
        # RFC 1624, eqn. 3. The token is followed by its complement: together they add nothing to the sum.
        total = self.ones + serial
        total = (total & 0xFFFF) + (total >> 16)
        return _ECHO.pack(_ECHO_REQUEST, 0, ~total & 0xFFFF, self.identifier, serial, token, token ^ _ALL_ONES, _TEXT)


class EchoWire:
    """ICMP echo, for ``RawProber``. Targets are IPv4 addresses."""

    token_bits = 64
    longest_ms = float("inf")

    def __init__(self) -> None:
        # Another process's pings carry another identifier; replies to them reach every raw socket.
        self._identifier = secrets.randbelow(_IDENTIFIERS)
        _, _, checksum, *_ = _ECHO.unpack(echo_template(self._identifier))
        self._ones = ~checksum & 0xFFFF
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
        return _EchoAim(socket.inet_ntoa(address), address, self._identifier, self._ones)

    def answer(self, datagram: bytes) -> tuple[int, int] | None:
        """Return sequence number and token of an echo reply to this process; None for anything else."""
        start = ip_header_bytes(datagram)
        if len(datagram) < start + _ECHO.size:
            return None
        kind, _, _, identifier, sequence, token, *_ = _ECHO.unpack_from(datagram, start)
        return (sequence, token) if kind == _ECHO_REPLY and identifier == self._identifier else None


class EchoSocket(RawProber[str]):
    """Probes IPv4 addresses by ICMP echo over one raw socket; see ``RawProber``.

    Construct it in a thread: scapy is loaded then. ``opened`` is from ``open_icmp_socket``.
    """

    def __init__(self, *, rate_pps: float = _RATE_PPS, opened: socket.socket | None = None) -> None:
        super().__init__(EchoWire(), rate_pps=rate_pps, opened=opened)
