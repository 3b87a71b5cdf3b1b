"""Join two byte streams in the event loop, so that what one end reads the other writes.

One end is a socket of ours, the other an SSH channel or a TCP connection. No task: both are driven by callbacks, so
nothing has to be awaited to end them. An end that cannot keep up pauses the other's reading; what is
buffered is bounded by the channel window and asyncio's high-water marks.
"""

import asyncio
import select
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

import asyncssh

from routing.topology import Address
from routing.tunnel.opening import open_session
from routing.tunnel.views import Octets, TakesViews, arrivals


class Stream(Protocol):
    """What a bridge needs of either end; asyncio's transports and asyncssh's channels both have it."""

    def write(self, data: Octets, /) -> None:
        """Queue ``data``."""
        ...

    def writelines(self, pieces: Iterable[Octets], /) -> None:
        """Queue ``pieces``, in order."""
        ...

    def write_eof(self) -> None:
        """Say that no more will be written, once the queue is empty."""
        ...

    def pause_reading(self) -> None:
        """Deliver nothing until resumed."""
        ...

    def resume_reading(self) -> None:
        """Deliver again."""
        ...

    def close(self) -> None:
        """Write what is queued, then close."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Bridge:
    """Two ends and what passed between them. ``on_closed`` is called once, when both ends are gone."""

    def __init__(self, on_closed: Callable[["Bridge"], None]) -> None:
        self.near = End(self)
        self.far = End(self)
        self.near.peer, self.far.peer = self.far, self.near
        self._on_closed: Callable[[Bridge], None] | None = on_closed

    @property
    def bytes_in(self) -> int:
        """Bytes that came from the far side."""
        return self.far.received_bytes

    @property
    def bytes_out(self) -> int:
        """Bytes that came from our side."""
        return self.near.received_bytes

    def abort(self) -> None:
        """End both sides at once; may be repeated."""
        self.near.abort()
        self.far.abort()

    def ended(self) -> None:
        """Tell the owner when neither end is open any more (called by the ends)."""
        if self.near.is_gone and self.far.is_gone and self._on_closed is not None:
            on_closed, self._on_closed = self._on_closed, None
            on_closed(self)


class End(asyncio.BufferedProtocol):
    """One end of a bridge: hears from its stream and writes to its peer's.

    Starts paused, so that nothing is heard before the other end is there; ``resume`` lets it run.
    """

    peer: "End"

    def __init__(self, bridge: Bridge) -> None:
        self.received_bytes = 0
        self.is_gone = False
        self.saw_eof = False
        self._bridge = bridge
        self._stream: Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take ``transport`` as this end's stream."""
        self.attach(cast("Stream", transport))  # a stream transport: the protocol has write and the rest

    def attach(self, stream: Stream) -> None:
        """Take ``stream``, paused. If the peer is gone already, close it at once."""
        self._stream = stream
        stream.pause_reading()
        if self.peer.is_gone:
            stream.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where this end's socket is read to; all sockets of the thread use it in turn."""
        del sizehint
        return arrivals()

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what was read, which is gone with the next read."""
        self.received_bytes += nbytes
        self.peer.write(arrivals()[:nbytes])

    def views_received(self, views: Sequence[memoryview]) -> None:
        """Pass ``views`` on."""
        self.received_bytes += sum(map(len, views))
        self.peer.write_views(views)

    def eof_received(self) -> bool:
        """Pass the end on as a half-close; when both directions have ended, so has the bridge."""
        self.saw_eof = True
        self.peer.write_eof()
        if self.peer.saw_eof or self._hung_up():
            self.close()
            self.peer.close()
        return True  # Keep the other direction open; closing is decided here.

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the peer, after what it still has to write. How a stream ended makes no difference to that."""
        del exc
        self.is_gone = True
        self.peer.close()
        self._bridge.ended()

    def pause_writing(self) -> None:
        """Stop hearing at the peer, because this end's stream cannot keep up."""
        self.peer.pause()

    def resume_writing(self) -> None:
        """Hear again at the peer: this end's stream has caught up."""
        self.peer.resume()

    def write(self, data: memoryview) -> None:
        """Write ``data``, or a copy of it, unless nobody is left to read it."""
        if self._stream is not None and not self.is_gone:
            # A channel copies what it cannot send at once; what a transport does is not promised.
            self._stream.write(bytes(data) if isinstance(self._stream, asyncio.Transport) else data)

    def write_views(self, views: Sequence[memoryview]) -> None:
        """Write ``views`` at once, unless nobody is left to read them."""
        if self._stream is not None and not self.is_gone:
            self._stream.writelines(views)

    def write_eof(self) -> None:
        """Say that no more will be written."""
        if self._stream is not None and not self.is_gone:
            self._stream.write_eof()

    def pause(self) -> None:
        """Stop hearing."""
        if self._stream is not None and not self.is_gone and not self.saw_eof:
            self._stream.pause_reading()

    def resume(self) -> None:
        """Hear again. Not after the end of the stream: asyncio would report that end a second time."""
        if self._stream is not None and not self.is_gone and not self.saw_eof:
            self._stream.resume_reading()

    def close(self) -> None:
        """Close after what is still to be written."""
        if self._stream is not None and not self.is_gone:
            self._stream.close()

    def abort(self) -> None:
        """End this side at once; a side that never had a stream is gone by that."""
        if self._stream is None:
            self.is_gone = True
            self._bridge.ended()
        elif not self.is_gone:
            self._stream.abort()

    def _hung_up(self) -> bool:
        """Return whether our socket's user closed it altogether, rather than only its sending half.

        Both read as end of file; but after a full close nobody is left to read an answer, and a target that
        never speaks again would keep the channel for ever. The kernel tells them apart by POLLHUP.
        """
        if not isinstance(self._stream, asyncio.Transport):
            return False
        ours = self._stream.get_extra_info("socket")
        if ours.family != socket.AF_UNIX:
            return False
        poll = select.poll()
        poll.register(ours.fileno(), 0)
        return any(event & select.POLLHUP for _, event in poll.poll(0))


class ChannelSession(asyncssh.SSHTCPSession[bytes], TakesViews):
    """An SSH channel as one end of a bridge."""

    def __init__(self, end: End) -> None:
        self._end = end

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        """Take ``chan`` as the stream."""
        self._end.attach(chan)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Pass ``data`` on; TCP channels have no other data types."""
        del datatype
        self._end.views_received((memoryview(data),))

    def views_received(self, views: Sequence[memoryview]) -> None:
        """Pass ``views`` on."""
        self._end.views_received(views)

    def eof_received(self) -> bool:
        """Pass the half-close on."""
        return self._end.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end on."""
        self._end.connection_lost(exc)

    def pause_writing(self) -> None:
        """The channel's window is full."""
        self._end.pause_writing()

    def resume_writing(self) -> None:
        """The window has room again."""
        self._end.resume_writing()


async def open_channel(connection: asyncssh.SSHClientConnection, address: Address, end: End, window_bytes: int) -> None:
    """Open a direct-tcpip channel to ``address`` with ``end`` as its session; see ``open_session``."""
    await open_session(connection, lambda: ChannelSession(end), address, window_bytes)
