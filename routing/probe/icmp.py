"""Probe by ICMP echo: scapy builds the packet once, and each probe only patches its sequence number.

One raw socket serves every link of a run; loss is what has not come back by its deadline. scapy's own
``sr`` costs 1.5 ms of CPU a packet and stamps replies late, so scapy is used for what it is best at: building
the packet. IPv4 only.
"""

import asyncio
import secrets
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from routing.probe.plan import ProbePolicy

_ECHO_REPLY = 0
_ECHO_REQUEST = 8
_ICMP_FILTER = 1  # linux/icmp.h; the option that drops message types by bit mask
_SOL_RAW = 255
_SEQUENCES = 1 << 16
_ECHO = struct.Struct("!BBHHH")
_PAYLOAD = b"crossway link probe, please echo"
_REPLY_BYTES_LIMIT = 2048


def raw_sockets_allowed() -> bool:
    """Return whether this process may send ICMP itself (root, or CAP_NET_RAW in its network namespace)."""
    try:
        _raw_socket().close()
    except PermissionError:
        return False
    return True


def echo_template(identifier: int) -> bytes:
    """Return an echo request with sequence number 0 and a correct checksum, built by scapy."""
    # Imported late: scapy takes a good part of a second to load, and most processes never probe.
    from scapy.layers.inet import ICMP  # noqa: PLC0415

    return bytes(ICMP(type=_ECHO_REQUEST, id=identifier, seq=0) / _PAYLOAD)


def with_sequence(template: bytes, sequence: int) -> bytes:
    """Return ``template`` (sequence 0) with ``sequence`` put in and its checksum corrected (RFC 1624, eqn. 3)."""
    kind, code, checksum, identifier, _ = _ECHO.unpack_from(template)
    total = (~checksum & 0xFFFF) + sequence
    total = (total & 0xFFFF) + (total >> 16)
    return _ECHO.pack(kind, code, ~total & 0xFFFF, identifier, sequence) + template[_ECHO.size :]


@dataclass(slots=True)
class _Round:
    """The echoes sent to one host: when each left, and how long each took."""

    host: str
    sent_at_s: dict[int, float] = field(default_factory=dict)
    took_ms: dict[int, float] = field(default_factory=dict)
    all_back: asyncio.Event = field(default_factory=asyncio.Event)


class EchoSocket:
    """A raw socket on the running event loop that sends echo requests and matches their replies.

    Use as a context manager. Raises PermissionError on entry where raw sockets are refused.
    """

    def __init__(self) -> None:
        # Another process's pings carry another identifier; replies to them reach every raw socket.
        self._identifier = secrets.randbelow(_SEQUENCES)
        self._template = echo_template(self._identifier)
        self._next_sequence = 0
        self._waiting: dict[int, _Round] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._socket = _raw_socket()
        self._socket.setblocking(False)  # noqa: FBT003  the library's own signature
        wanted = struct.pack("=I", 0xFFFFFFFF & ~(1 << _ECHO_REPLY))
        self._socket.setsockopt(_SOL_RAW, _ICMP_FILTER, wanted)
        self._loop.add_reader(self._socket, self._readable)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    async def probe(self, host: str, policy: ProbePolicy) -> tuple[float | None, ...]:
        """Return the round trip in ms of each of ``policy.samples`` echoes to the IPv4 address ``host``.

        None is an echo that was not back after ``policy.timeout_ms``. Takes at most the paced sending plus one timeout.
        """
        echoes = _Round(host)
        order = [self._take_sequence(echoes) for _ in range(policy.samples)]
        try:
            for sequence in order:
                self._send(sequence, echoes)
                await asyncio.sleep(policy.interval_ms / 1000)
            async with asyncio.timeout(policy.timeout_ms / 1000):
                await echoes.all_back.wait()
        except TimeoutError:
            pass  # What is missing is lost; that is the result, not a failure.
        finally:
            for sequence in order:
                self._waiting.pop(sequence, None)
        took = [echoes.took_ms.get(sequence) for sequence in order]
        return tuple(ms if ms is not None and ms <= policy.timeout_ms else None for ms in took)

    def _take_sequence(self, echoes: _Round) -> int:
        sequence = self._next_sequence
        self._next_sequence = (sequence + 1) % _SEQUENCES
        self._waiting[sequence] = echoes
        echoes.sent_at_s[sequence] = 0.0
        return sequence

    def _send(self, sequence: int, echoes: _Round) -> None:
        echoes.sent_at_s[sequence] = self._loop.time()
        try:
            self._socket.sendto(with_sequence(self._template, sequence), (echoes.host, 0))
        except OSError:
            return  # No way there, or the socket's queue is full: to the link it is a lost packet.

    def _readable(self) -> None:
        while True:
            try:
                packet, (host, _) = self._socket.recvfrom(_REPLY_BYTES_LIMIT)
            except (BlockingIOError, InterruptedError):
                return
            self._reply(packet, host, self._loop.time())

    def _reply(self, packet: bytes, host: str, now_s: float) -> None:
        message = packet[(packet[0] & 0x0F) * 4 :]
        if len(message) < _ECHO.size:
            return
        kind, _, _, identifier, sequence = _ECHO.unpack_from(message)
        echoes = self._waiting.get(sequence)
        if kind != _ECHO_REPLY or identifier != self._identifier or echoes is None or echoes.host != host:
            return
        # A duplicate must not make the echo look slower than its first copy.
        echoes.took_ms.setdefault(sequence, (now_s - echoes.sent_at_s[sequence]) * 1000)
        if len(echoes.took_ms) == len(echoes.sent_at_s):
            echoes.all_back.set()


def _raw_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
