"""An SSH connection whose packets cost little: batches in, batches out, no copy that nobody needs.

asyncssh takes some twenty steps for a packet, copies it in several of them, puts an empty packet in front of it and
gives each to the socket by itself; nested in three connections that is most of the cost. This is the same protocol in
the same state machine: only channel data under AES-GCM takes the short way, and whatever else arrives goes to asyncssh
as it came. The empty packet is a defence of CBC ciphers, whose next initialisation vector must not be known; an
authenticated cipher with counted nonces has no use for it.

Much of this is asyncssh's inside, so its minor version is pinned, and ``tests/routing/tunnel/test_packets.py`` holds
the whole to a real sshd: any piece that changes there shows.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import cast

import asyncssh
from asyncssh.constants import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_WINDOW_ADJUST,
    MSG_KEX_LAST,
    MSG_USERAUTH_LAST,
)
from asyncssh.crypto.cipher import GCMCipher
from asyncssh.encryption import Encryption, GCMEncryption
from asyncssh.packet import SSHPacket, SSHPacketLogger

from routing.probe.passive import acknowledge_at_once
from routing.tunnel.channels import BatchChannel
from routing.tunnel.gcm import TAG_BYTES, PacketCipher
from routing.tunnel.views import Octets, TakesViews, arrivals

_BLOCK_BYTES = 16
_LENGTH_BYTES = 4
_LEAST_PADDING_BYTES = 4
_MOST_PADDING_BYTES = _LEAST_PADDING_BYTES + _BLOCK_BYTES - 1
_DATA_AT = 10  # in an opened packet: the padding's length, the kind, the channel and the data's length stand before
_MUCH_BYTES = 16 * 1024  # of so much at once the kernel acknowledges soon enough by itself
_ANSWERED = frozenset({MSG_CHANNEL_OPEN, MSG_CHANNEL_DATA})  # what the far side says something to, sooner or later
_KEX_INIT = 30  # the client's first message of every key exchange offered here


class LeanConnection(asyncssh.SSHClientConnection, asyncio.BufferedProtocol, TakesViews):
    """A client's connection with a short way for channel data.

    ``round_trip_s`` is the shortest time that any answer took, of key exchanges, keepalives and openings of channels:
    the path's round trip, and little more; 0.0 until there was one. ``heard_at_s`` is when, in the loop's time,
    something last came from the far side; ``awaited_since_s`` when the first data or open was sent after which nothing
    has come yet, None when there is none.
    """

    round_trip_s = 0.0
    _asked_s = 0.0
    heard_at_s = 0.0
    awaited_since_s: float | None = None
    _armed_s: float | None = None
    _sealer: PacketCipher | None = None
    _sealer_of: Encryption | None = None
    _opener: PacketCipher | None = None
    _opener_of: Encryption | None = None

    @property
    def seals(self) -> bool:
        """Whether channel data may be sent the short way now: logged in, and no keys exchanged or due to be."""
        return self._may_seal(MSG_CHANNEL_DATA)

    def send_data(self, channel: int, data: memoryview, packet_bytes: int) -> None:
        """Send ``data`` on the far side's ``channel`` in packets of at most ``packet_bytes``, with one write."""
        self._await_answer()
        head = bytes((MSG_CHANNEL_DATA,)) + channel.to_bytes(4, "big")
        pieces = (data[at : at + packet_bytes] for at in range(0, len(data), packet_bytes))
        self._send_sealed([(head + len(piece).to_bytes(4, "big"), piece) for piece in pieces])

    def send_packet(self, pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None) -> None:
        """Send one packet; without an empty one before it where the cipher has no use for that."""
        if pkttype == _KEX_INIT:
            self._asked_s = self._loop.time()
        if pkttype in _ANSWERED:
            self._await_answer()
        if pkttype > MSG_KEX_LAST and self._may_seal(pkttype):
            self._send_sealed([(bytes((pkttype,)), b"".join(args))])
        else:
            super().send_packet(pkttype, *args, handler=handler)

    def _await_answer(self) -> None:
        if self.awaited_since_s is None:
            self.awaited_since_s = self._loop.time()

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        """Take new keys into use: the key exchange was answered."""
        if self._asked_s:  # a key exchange of another family begins with another message
            self.tripped(self._loop.time() - self._asked_s)
        super().send_newkeys(k, h)

    def tripped(self, took_s: float) -> None:
        """Hear that an answer took ``took_s``."""
        self.round_trip_s = min(took_s, self.round_trip_s or took_s)

    def create_tcp_channel(
        self, encoding: str | None = None, errors: str = "strict", window: int = 2**21, max_pktsize: int = 2**15
    ) -> asyncssh.SSHTCPChannel[bytes]:
        """Return a channel that batches. Text channels are asyncssh's own."""
        if encoding is not None:
            return super().create_tcp_channel(encoding, errors, window, max_pktsize)
        self._update_recv_pktlen(max_pktsize)
        return BatchChannel(self, self._loop, None, errors, window, max_pktsize)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the socket's bytes go: a place that all connections of this thread use in turn."""
        del sizehint
        return arrivals()

    def buffer_updated(self, nbytes: int) -> None:
        """Take the first ``nbytes`` of the buffer; little at once is acknowledged at once.

        sshd sends no small packet while another is unacknowledged (Nagle), so whatever answers next would wait for our
        kernel's delayed acknowledgement: an answer to a keepalive made a request over 40 ms take 100.
        """
        self.data_received(arrivals()[:nbytes])
        if nbytes < _MUCH_BYTES and self._transport:
            acknowledge_at_once(self)

    def views_received(self, views: Sequence[memoryview]) -> None:
        """Take what came through the connection before this one."""
        self.data_received(views[0] if len(views) == 1 else b"".join(views))

    def data_received(self, data: Octets, datatype: int | None = None) -> None:
        """Take ``data``. What cannot be used up at once is copied, so that the caller may use its buffer again."""
        del datatype
        view = memoryview(data)
        while self._inpbuf and view:
            lacking = self._lacking() or len(view)
            self._inpbuf += view[:lacking]
            view = view[lacking:]
            self._recv_data()
        if view and self._opens() is None:
            super().data_received(bytes(view))
        elif view:
            self._hold(view)
            self._recv_data()
            self._hold(bytearray(self._inpbuf))

    def _hold(self, data: Octets) -> None:
        """Keep ``data`` as what arrived and is not used up yet."""
        self._inpbuf = cast("bytes", data)  # asyncssh says bytes; where it gets others, only the code here sees them

    def _lacking(self) -> int:
        """Return how many bytes the packet at hand lacks, of its length or else of the whole; 0: cannot be told."""
        if self._opens() is None or self._recv_handler != self._recv_pkthdr:
            return 0
        held = len(self._inpbuf)
        if held < _LENGTH_BYTES:
            return _LENGTH_BYTES - held
        return max(_LENGTH_BYTES + int.from_bytes(self._inpbuf[:_LENGTH_BYTES], "big") + TAG_BYTES - held, 0)

    def _recv_pkthdr(self) -> bool:
        """Take the whole packets at hand; return whether there may be more to do now."""
        opener = self._opens()
        if opener is None:
            return super()._recv_pkthdr()
        view = memoryview(self._inpbuf)
        arrived = _Arrived()
        at, size = 0, len(view)
        while self._transport and size - at >= _LENGTH_BYTES:
            length = int.from_bytes(view[at : at + _LENGTH_BYTES], "big")
            if length > self._max_recv_pktlen:
                raise asyncssh.ProtocolError("Max packet size exceeded")
            end = at + _LENGTH_BYTES + length + TAG_BYTES
            if end > size:
                break
            packet = opener.open(view[at : at + _LENGTH_BYTES], view[at + _LENGTH_BYTES : end])
            if packet is None:
                raise asyncssh.MACError("MAC verification failed")
            if not self._took(packet, arrived):
                arrived.deliver()
                opener.put_back(packet)
                return self._hand_over(view[at:end], view[end:])
            self._recv_seq = (self._recv_seq + 1) & 0xFFFFFFFF
            at = end
        if at:
            self._hold(bytearray(view[at:]))
        arrived.deliver()
        return False

    def _took(self, packet: bytes, arrived: "_Arrived") -> bool:
        """Take ``packet`` if it is for one of our channels and is data or a window's return."""
        kind = packet[1]
        if kind not in {MSG_CHANNEL_DATA, MSG_CHANNEL_WINDOW_ADJUST}:
            return False
        channel = self._channels.get(int.from_bytes(packet[2:6], "big"))
        if not isinstance(channel, BatchChannel):
            return False
        if kind == MSG_CHANNEL_WINDOW_ADJUST:
            return bool(channel.process_packet(kind, self._recv_seq, SSHPacket(packet[6 : -packet[0]])))
        data = memoryview(packet)[_DATA_AT : -packet[0]]
        if len(data) != int.from_bytes(packet[6:_DATA_AT], "big") or not data:
            return False
        arrived.add(channel, data)
        return True

    def _hand_over(self, packet: memoryview, rest: memoryview) -> bool:
        """Let asyncssh take one packet; return whether the next may be taken at once."""
        self._inpbuf = bytes(packet)
        super()._recv_pkthdr()
        self._recv_packet()
        self._hold(bytearray(rest))
        return True

    def _send_sealed(self, packets: Iterable[tuple[bytes, Octets]]) -> None:
        """Send packets, each given as two parts of its payload, with one write."""
        sealer = cast("PacketCipher", self._sealer)
        padding = os.urandom(_MOST_PADDING_BYTES)
        plain = []
        for first, second in packets:
            padding_bytes = -(1 + len(first) + len(second)) % _BLOCK_BYTES
            if padding_bytes < _LEAST_PADDING_BYTES:
                padding_bytes += _BLOCK_BYTES
            plain.append(b"".join((bytes((padding_bytes,)), first, second, padding[:padding_bytes])))
        total = sum(map(len, plain))
        out = bytearray(total + len(plain) * (_LENGTH_BYTES + TAG_BYTES))
        with memoryview(out) as view:
            at = 0
            for packet in plain:
                begin = at + _LENGTH_BYTES
                length = len(packet).to_bytes(_LENGTH_BYTES, "big")
                view[at:begin] = length
                at = begin + len(packet) + TAG_BYTES
                sealer.seal_into(length, packet, view[begin:at])
        self._send_seq = (self._send_seq + len(plain)) & 0xFFFFFFFF
        self._rekey_bytes_sent += total
        self._send(cast("bytes", out))  # transports and channels take any buffer

    def _may_seal(self, kind: int) -> bool:
        if self._send_encryption is not self._sealer_of:
            self._sealer_of = self._send_encryption
            self._sealer = _counting(self._send_encryption)
        return (
            self._sealer is not None
            and self._kex_complete
            and (self._auth_complete or kind <= MSG_USERAUTH_LAST)
            and self._rekey_bytes_sent < self._rekey_bytes
            and not (self._rekey_seconds and self._loop.time() >= self._rekey_time)
            and self._compressor is None
        )

    def _opens(self) -> PacketCipher | None:
        if self._recv_encryption is not self._opener_of:
            self._opener_of = self._recv_encryption
            self._opener = _counting(self._recv_encryption)
        return self._opener

    async def _make_global_request(self, request: bytes, *args: bytes) -> tuple[int, SSHPacket]:
        asked_s = self._loop.time()
        answer = await super()._make_global_request(request, *args)
        if self._transport:  # otherwise nobody answered
            self.tripped(self._loop.time() - asked_s)
        return answer

    def _reset_keepalive_timer(self) -> None:
        """Note that something was heard. The timer finds out when it rings, instead of being made anew each time."""
        self.heard_at_s = self._loop.time()
        self.awaited_since_s = None
        if self._keepalive_timer is None or self._armed_s != self._keepalive_interval:
            self._armed_s = self._keepalive_interval
            super()._reset_keepalive_timer()

    def _keepalive_timer_callback(self) -> None:
        left_s = self.heard_at_s + self._keepalive_interval - self._loop.time()
        if left_s > 0:
            self._keepalive_timer = self._loop.call_later(left_s, self._keepalive_timer_callback)
        else:
            super()._keepalive_timer_callback()


class _Arrived:
    """Data of packets that came one after the other for one channel, to be delivered together."""

    __slots__ = ("_channel", "_views")

    def __init__(self) -> None:
        self._channel: BatchChannel | None = None
        self._views: list[memoryview] = []

    def add(self, channel: BatchChannel, data: memoryview) -> None:
        """Add ``data``; what was for another channel is delivered first."""
        if channel is not self._channel:
            self.deliver()
            self._channel = channel
        self._views.append(data)

    def deliver(self) -> None:
        """Deliver what there is."""
        if self._channel is not None and self._views:
            views, self._views = self._views, []
            self._channel.take(views)


def _counting(encryption: Encryption | None) -> PacketCipher | None:
    """Put a PacketCipher into ``encryption`` and return it; None when its cipher is not AES-GCM."""
    if not isinstance(encryption, GCMEncryption):
        return None
    stock = encryption._cipher  # noqa: SLF001  the place asyncssh keeps it
    cipher = PacketCipher(stock._key, stock._iv)  # noqa: SLF001
    encryption._cipher = cast("GCMCipher", cipher)  # noqa: SLF001  it answers the same two calls
    return cipher
