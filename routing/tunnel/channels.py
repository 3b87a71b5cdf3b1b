"""A TCP channel that sends in batches, takes in batches, and gives its window back early.

asyncssh gives window back only when half of it is used up, so that a transfer runs at half the window per round
trip. Here it is an eighth: what is lost to waiting is an eighth, and a message is still rare.
"""

from collections.abc import Sequence
from typing import Protocol, cast

import asyncssh
from asyncssh.constants import MSG_CHANNEL_WINDOW_ADJUST
from asyncssh.packet import SSHPacket, UInt32

from routing.tunnel.views import Octets, TakesViews

_RETURN_SHARE = 8  # a window is given back when an eighth of it is used up


class SealsData(Protocol):
    """What a channel needs of its connection."""

    def tripped(self, took_s: float) -> None:
        """Hear that an answer took ``took_s``."""
        ...

    @property
    def seals(self) -> bool:
        """Whether ``send_data`` may be called now (not while keys are exchanged)."""
        ...

    def send_data(self, channel: int, data: memoryview, packet_bytes: int) -> None:
        """Send ``data`` on the far side's ``channel`` in packets of at most ``packet_bytes``."""
        ...


class BatchChannel(asyncssh.SSHTCPChannel[bytes]):
    """One TCP channel of a ``LeanConnection``."""

    async def _open(self, chantype: bytes, *args: bytes) -> SSHPacket:
        connection, asked_s = cast("SealsData", self._conn), self._loop.time()
        packet = await super()._open(chantype, *args)
        # Opening takes one round trip, and what the far side needs to connect: at worst too long a time.
        connection.tripped(self._loop.time() - asked_s)
        return packet

    def write(self, data: Octets, datatype: int | None = None) -> None:
        """Send ``data``, as much of it at once as the window takes; the rest is queued (and copied)."""
        connection = cast("SealsData", self._conn)
        if self._send_state != "open" or self._send_buf or datatype is not None or not connection.seals:
            super().write(bytes(data), datatype)
            return
        view = memoryview(data)
        room = min(len(view), self._send_window)
        if room:
            self._send_window -= room
            connection.send_data(cast("int", self._send_chan), view[:room], self._send_pktsize)
        if room < len(view):
            self._send_buf.append((bytearray(view[room:]), None))
            self._send_buf_len += len(view) - room
            self._pause_resume_writing()

    def take(self, views: Sequence[memoryview]) -> None:
        """Accept the data of packets that arrived one after the other. Raises asyncssh.ProtocolError."""
        if self._recv_state != "open":
            raise asyncssh.ProtocolError("Channel not open for sending")
        size = sum(map(len, views))
        if size > self._recv_window:
            raise asyncssh.ProtocolError("Window exceeded")
        session: object = self._session
        if self._send_state in {"close_pending", "closed"}:
            return
        if self._recv_paused or not isinstance(session, TakesViews):
            for view in views:
                self._accept_data(bytes(view))
            return
        self._recv_window -= size
        self._return_window()
        session.views_received(views)

    def _flush_send_buf(self) -> None:
        connection = cast("SealsData", self._conn)
        while self._send_buf and self._send_window and self._send_chan is not None and connection.seals:
            queued, _ = self._send_buf[0]
            room = min(len(queued), self._send_window)
            self._send_window -= room
            self._send_buf_len -= room
            with memoryview(queued) as view:
                connection.send_data(self._send_chan, view[:room], self._send_pktsize)
            if room < len(queued):
                del queued[:room]
            else:
                del self._send_buf[0]
        super()._flush_send_buf()

    def _deliver_data(self, data: bytes, datatype: int | None) -> None:
        self._return_window()
        super()._deliver_data(data, datatype)

    def _return_window(self) -> None:
        used = self._init_recv_window - self._recv_window
        if used > self._init_recv_window // _RETURN_SHARE:
            self._recv_window = self._init_recv_window
            self.send_packet(MSG_CHANNEL_WINDOW_ADJUST, UInt32(used))
