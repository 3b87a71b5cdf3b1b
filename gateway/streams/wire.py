"""The one protocol of streams, spoken by the gateway's API, the command line and connectors alike.

Binary messages of a WebSocket are the bytes. A half-close, which WebSockets do not have, is the text message ``eof``,
sent at most once by each side. A side that has sent and heard it closes. Silence means nothing: a stream may idle for
hours.
"""

import asyncio
import socket
from contextlib import suppress
from typing import Protocol

from aiohttp import ClientWebSocketResponse, WSCloseCode, WSMsgType, web

WebSocket = ClientWebSocketResponse | web.WebSocketResponse

EOF = "eof"
PIECE_BYTES = 65_536
# Why a stream was cut, as close codes of our own (RFC 6455, 7.4.2: 4000 and above are free for that).
ENDED = 4403
BROKEN = 4502
# Sent, but not waited for: proxies on the way drop silent connections, yet a side that cannot keep up answers late.
BEAT_S = 20.0
# A peer that is gone without a word is noticed by TCP itself: after 20 s of silence, four probes 10 s apart.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 20), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 4))
_REASON_BYTES = 120  # a control frame holds 125, two of them the code
_CLOSE_TIMEOUT_S = 2.0


class StreamBroken(Exception):
    """The stream ended before both halves did; the text says why."""

    def __init__(self, reason: str, *, code: int = BROKEN) -> None:
        """Take the reason, and the close code that tells it."""
        super().__init__(reason)
        self.code = code


class End(Protocol):
    """Our side's program, or the platform's."""

    async def read(self) -> bytes:
        """Return what it sent next; empty at the end of its half. Raises OSError when it broke."""
        ...

    async def write(self, piece: bytes) -> None:
        """Send it ``piece``, waiting while it cannot keep up. Raises OSError when it broke."""
        ...

    def end_writing(self) -> None:
        """Tell it that no more will come. Raises OSError when it broke."""
        ...


class _Halves:
    """Which of the two directions have ended."""

    def __init__(self) -> None:
        self.told = False
        self.heard = asyncio.Event()

    @property
    def both(self) -> bool:
        return self.told and self.heard.is_set()


async def carry(web_socket: WebSocket, end: End) -> None:
    """Carry bytes between ``web_socket`` and ``end`` until both halves have ended. Raises StreamBroken."""
    halves = _Halves()
    try:
        async with asyncio.TaskGroup() as tasks:
            others = (tasks.create_task(_hear(web_socket, end, halves)), tasks.create_task(_beat(web_socket)))
            await _tell(web_socket, end)
            halves.told = True
            await halves.heard.wait()
            for other in others:
                other.cancel()
    except ExceptionGroup as errors:
        raise _broken(errors) from errors


async def close(web_socket: WebSocket, code: int, reason: str) -> None:
    """Close, saying why; a peer that does not answer soon is left. May be repeated."""
    message = reason.encode()[:_REASON_BYTES].decode(errors="ignore").encode()
    # The peer may be gone already, and then there is nobody to tell.
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await web_socket.close(code=code, message=message)


def keep_alive(sock: socket.socket | None) -> None:
    """Let TCP find out when the peer of ``sock`` is gone; unix sockets know anyway."""
    if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


async def _tell(web_socket: WebSocket, end: End) -> None:
    while piece := await end.read():
        await web_socket.send_bytes(piece)
    await web_socket.send_str(EOF)


async def _hear(web_socket: WebSocket, end: End, halves: _Halves) -> None:
    """Listen until the peer closes; also after its half has ended, or its going away would pass unseen."""
    while True:
        message = await web_socket.receive()
        if message.type is WSMsgType.BINARY and not halves.heard.is_set():
            await end.write(message.data)
        elif message.type is WSMsgType.TEXT and message.data == EOF and not halves.heard.is_set():
            end.end_writing()
            halves.heard.set()
        elif message.type in {WSMsgType.BINARY, WSMsgType.TEXT}:
            raise StreamBroken("the other side does not keep to the protocol", code=WSCloseCode.PROTOCOL_ERROR)
        elif halves.both:
            return
        else:
            reason = message.extra if message.type is WSMsgType.CLOSE and message.extra else "the other side is gone"
            raise StreamBroken(str(reason))


async def _beat(web_socket: WebSocket) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        await web_socket.ping()


def _broken(errors: ExceptionGroup[Exception]) -> Exception:
    """Return what ended the stream: what a side said outweighs that a socket broke after it."""
    told = [error for error in errors.exceptions if isinstance(error, StreamBroken)]
    if told:
        return told[0]
    if all(isinstance(error, OSError) for error in errors.exceptions):
        return StreamBroken("the connection broke off")
    return errors
