"""Probe by a bare SYN, where ICMP is closed: SYN-ACK and RST both answer, and no connection comes of either.

The kernel knows nothing of the SYN and answers a SYN-ACK with RST by itself, so the far side forgets the
attempt and its application never hears of it. scapy builds the segment once; each probe only patches it.
IPv4 only.
"""

import contextlib
import ctypes
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from routing.probe.raw import RawProber
from routing.probe.wire import ip_header_bytes
from routing.topology import Address

_SYN, _RST, _ACK = 0x02, 0x04, 0x10
# Ports, sequence number in two halves, acknowledgement, what the template says of offset, flags and window, checksum.
_TCP = struct.Struct("!HHHHI4sH")
_ANSWER = struct.Struct("!HHIIBB6x")  # ports, sequence, acknowledgement, offset, flags, and the rest
# Samples of one target in flight at once must differ in port, or its kernel takes the second for a stray.
_PORTS = 8
# A peer repeats its SYN-ACK after 1 s (RFC 6298, 2.1); what comes later may be that second answer.
_LONGEST_MS = 950.0
_RATE_PPS = 1000.0

# Classic BPF (linux/bpf_common.h). A raw socket's filter sees the IP header first.
_SO_ATTACH_FILTER = 26
_LOAD_HEADER_LENGTH = 0xB1  # ldxb 4 * ([0] & 0xf)
_LOAD_HALF_AFTER_HEADER = 0x48  # ldh [x + k]
_JUMP_IF_EQUAL = 0x15
_RETURN = 0x06
_DESTINATION_PORT_AT = 2
_WHOLE = 0xFFFF


@dataclass(frozen=True, slots=True)
class OpenedSyn:
    """A raw TCP socket that hears only answers to our ports, and the sockets that hold those ports for us."""

    raw: socket.socket
    holders: tuple[socket.socket, ...]

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that SYNs leave from."""
        return tuple(holder.getsockname()[1] for holder in self.holders)

    def close(self) -> None:
        """Close the raw socket and give the ports back. May be repeated."""
        for each in (self.raw, *self.holders):
            each.close()


def open_syn_socket() -> OpenedSyn:
    """Return what a SYN prober needs of the system. Raises PermissionError without CAP_NET_RAW."""
    with contextlib.ExitStack() as undo:
        raw = undo.enter_context(
            socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_TCP)
        )
        opened = OpenedSyn(raw, tuple(undo.enter_context(_held_port()) for _ in range(_PORTS)))
        attach_port_filter(raw, opened.ports)
        undo.pop_all()
    return opened


def port_filter(ports: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Return the filter program (code, jump if true, jump if false, k) that passes segments to ``ports`` only."""
    count = len(ports)
    # Each comparison that holds jumps over those that follow it, and over the refusal, to the last line.
    compare = [(_JUMP_IF_EQUAL, count - place, 0, port) for place, port in enumerate(ports)]
    return [
        (_LOAD_HEADER_LENGTH, 0, 0, 0),
        (_LOAD_HALF_AFTER_HEADER, 0, 0, _DESTINATION_PORT_AT),
        *compare,
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, _WHOLE),
    ]


def attach_port_filter(raw: socket.socket, ports: Sequence[int]) -> None:
    """Let only TCP segments to ``ports`` through to ``raw``: other connections' traffic must not wake us."""
    program = b"".join(struct.pack("=HBBI", *line) for line in port_filter(ports))
    lines = ctypes.create_string_buffer(program)
    # struct sock_fprog: a count, padding up to a pointer, the pointer.
    raw.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(lines)))


def syn_template() -> bytes:
    """Return a SYN whose addresses, ports and sequence number are all 0, its checksum right for that, by scapy."""
    # Imported late: scapy takes a good part of a second to load, and most processes never probe.
    from scapy.layers.inet import IP, TCP  # noqa: PLC0415

    segment = TCP(sport=0, dport=0, seq=0, flags="S", window=64240, options=[("MSS", 1460)])
    return bytes(IP(src="0.0.0.0", dst="0.0.0.0") / segment)[20:]  # noqa: S104  nothing is bound to it


@dataclass(slots=True)
class _SynAim:
    """``ones`` is the one's complement sum of the template with both addresses and the target's port added.

    ``middle`` and ``end`` are what the template has before its checksum and after it.
    """

    host: str
    address: bytes
    port: int
    ones: int
    middle: bytes
    end: bytes
    ports: tuple[int, ...]
    turn: int = 0

    def packet(self, serial: int, token: int) -> bytes:
        source = self.ports[self.turn]
        self.turn = (self.turn + 1) % len(self.ports)
        total = self.ones + source + serial + token
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        return _TCP.pack(source, self.port, serial, token, 0, self.middle, ~total & 0xFFFF) + self.end


class SynWire:
    """Bare SYN, for ``RawProber``. Targets are an IPv4 address and a port each.

    The sequence number is the probe's serial and its token; whoever answers acknowledges it, plus one.
    """

    token_bits = 16
    longest_ms = _LONGEST_MS

    def __init__(self, opened: OpenedSyn | None = None) -> None:
        self._opened = opened
        self._ports = () if opened is None else opened.ports
        template = syn_template()
        *_, self._middle, checksum = _TCP.unpack_from(template)
        self._end = template[_TCP.size :]
        self._ones = ~checksum & 0xFFFF

    def open(self) -> socket.socket:
        """Return a new raw socket and hold ports for it. Raises PermissionError without CAP_NET_RAW."""
        self._opened = open_syn_socket()
        self._ports = self._opened.ports
        return self._opened.raw

    def close(self) -> None:
        """Close what ``open`` opened."""
        if self._opened is not None:
            self._opened.close()

    def aim(self, target: Address) -> _SynAim:
        """Return ``target`` made ready. Sends nothing. Raises OSError when no way leads there."""
        address = socket.inet_aton(target.host)
        host = socket.inet_ntoa(address)
        both = address + socket.inet_aton(_source_towards(host))
        ones = self._ones + target.port + sum(struct.unpack("!HHHH", both))
        return _SynAim(host, address, target.port, ones, self._middle, self._end, self._ports)

    def answer(self, datagram: bytes) -> tuple[int, int] | None:
        """Return serial and token of what a SYN-ACK or RST to one of our ports acknowledges; else None."""
        start = ip_header_bytes(datagram)
        if len(datagram) < start + _ANSWER.size:
            return None
        _, port, _, acknowledged, _, flags = _ANSWER.unpack_from(datagram, start)
        if port not in self._ports or not flags & _ACK or not flags & (_SYN | _RST):
            return None
        sent = (acknowledged - 1) & 0xFFFFFFFF
        return sent >> 16, sent & 0xFFFF


class SynSocket(RawProber[Address]):
    """Probes IPv4 addresses and ports by SYN over one raw socket; see ``RawProber``. Needs no answer to ICMP.

    Construct it in a thread: scapy is loaded then. ``opened`` is from ``open_syn_socket``. What takes longer than
    950 ms is lost, whatever the timeout: a peer repeats its answer after a second.
    """

    def __init__(self, *, rate_pps: float = _RATE_PPS, opened: OpenedSyn | None = None) -> None:
        super().__init__(SynWire(opened), rate_pps=rate_pps, opened=None if opened is None else opened.raw)


def _held_port() -> socket.socket:
    """Return a socket that keeps a free port from all others. It never listens, so SYN-ACKs to it are refused."""
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        holder.bind(("", 0))
    except OSError:
        holder.close()
        raise
    return holder


def _source_towards(host: str) -> str:
    """Return the address that packets to ``host`` leave with: it is in the checksum, which is ours to make."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect((host, 1))  # connecting a datagram socket sends nothing
        return str(route.getsockname()[0])
