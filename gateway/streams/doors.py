"""Where local programs come in: a unix socket of mode 0600, a loopback port for one uid, standard input and output.

Who connects is asked of the kernel when the connection is accepted; where it cannot tell, nobody is served.
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
import struct
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gateway.streams.owner import can_tell, uid_of
from gateway.streams.wire import PIECE_BYTES

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_BACKLOG = 32
_LINGER_S = 2.0
_PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred


class DoorUnusable(Exception):
    """The door cannot be opened here; ``fix`` says what would help."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        """Say what is wrong, and how to mend it."""
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Local:
    """A local program's stream; ``gateway.streams.wire.End``."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read(self) -> bytes:
        """Return what the program sent next; empty at the end of its half."""
        return await self.reader.read(PIECE_BYTES)

    async def write(self, piece: bytes) -> None:
        """Send it ``piece``, waiting while it cannot keep up."""
        self.writer.write(piece)
        await self.writer.drain()

    def end_writing(self) -> None:
        """Tell it that no more will come."""
        self.writer.write_eof()


Serve = Callable[[Local], Awaitable[None]]


@contextmanager
def unix_socket(path: Path) -> Iterator[socket.socket]:
    """Give a listening unix socket at ``path``, of mode 0600; it is removed afterwards.

    Raises DoorUnusable when something is there already.
    """
    sock = socket.socket(socket.AF_UNIX)
    # The mask, not a chmod afterwards: there must be no moment in which others may connect.
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        fix = "remove it if nobody uses it" if path.exists() else "name a path in a directory of yours"
        raise DoorUnusable(f"cannot listen at {path}: {error.strerror or error}", fix=fix) from error
    finally:
        os.umask(before)
    try:
        sock.listen(_BACKLOG)
        yield sock
    finally:
        sock.close()
        path.unlink(missing_ok=True)


def loopback_port(port: int) -> socket.socket:
    """Return a socket that listens on loopback at ``port`` (0: any).

    Raises DoorUnusable when the port cannot be had, or where the system does not tell whose a connection is.
    """
    if not can_tell():
        raise DoorUnusable(
            "this system does not tell whose a connection to a port is, so anybody's would be served",
            fix="use a unix socket or standard input and output",
        )
    try:
        return socket.create_server((LOOPBACK, port), backlog=_BACKLOG)
    except OSError as error:
        raise DoorUnusable(f"cannot listen at {LOOPBACK}:{port}: {error.strerror or error}", fix="0: any") from error


def is_own(sock: socket.socket) -> bool:
    """Return whether the program at the other end of ``sock`` runs as our own uid; False when nobody can tell."""
    if sock.family == socket.AF_UNIX:
        _, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        return bool(uid in {os.geteuid(), 0})
    try:
        peer, ours = sock.getpeername()[:2], sock.getsockname()[:2]
    except OSError:
        return False  # it was reset before anybody could ask
    return uid_of(peer, ours) == os.geteuid()


async def serve(
    listener: socket.socket, work: Serve, *, limit: int, lets_in: Callable[[socket.socket], bool] = is_own
) -> None:
    """Give every connection that ``lets_in`` allows to ``work``, at most ``limit`` at once, until cancelled.

    Any other connection, or one too many, is closed at once. ``work`` must not raise.
    """
    loop = asyncio.get_running_loop()
    listener.setblocking(False)  # noqa: FBT003  the library's own signature
    at_work = 0

    async def one(sock: socket.socket) -> None:
        nonlocal at_work
        at_work += 1
        try:
            reader, writer = await asyncio.open_connection(sock=sock, limit=PIECE_BYTES)
            try:
                await work(Local(reader, writer))
            finally:
                await _let_go(writer)
        finally:
            at_work -= 1

    async with asyncio.TaskGroup() as tasks:
        while True:
            sock, _ = await loop.sock_accept(listener)
            if at_work >= limit or not lets_in(sock):
                log.warning("local connection refused", extra={"streams": at_work})
                sock.close()
                continue
            tasks.create_task(one(sock))


@asynccontextmanager
async def standard() -> AsyncIterator[Local]:
    """Give standard input and output as one stream; nothing else may use them meanwhile. Raises DoorUnusable."""
    try:
        reader, writer = await (_same_socket() if _is_one_socket() else _pipes())
    except (ValueError, OSError) as error:
        raise DoorUnusable(
            "standard output must be a pipe, a socket or a terminal", fix="such as ssh's ProxyCommand, or | cat > FILE"
        ) from error
    try:
        yield Local(reader, writer)
    finally:
        await _let_go(writer)


def _is_one_socket() -> bool:
    """Whether both are one socket, as ssh gives them to a ProxyCommand: closing one descriptor would end nothing."""
    told = [os.fstat(stream.fileno()) for stream in (sys.stdin, sys.stdout)]
    return all(stat.S_ISSOCK(each.st_mode) for each in told) and told[0].st_ino == told[1].st_ino


async def _same_socket() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    sock = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    return await asyncio.open_connection(sock=sock, limit=PIECE_BYTES)


async def _pipes() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=PIECE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), _waitable_input())
    unread = asyncio.StreamReaderProtocol(asyncio.StreamReader())
    writing, _ = await loop.connect_write_pipe(lambda: unread, _taken_output())
    return reader, asyncio.StreamWriter(writing, unread, None, loop)


def _waitable_input() -> IO[Any]:
    """Return standard input as something that an event loop can wait for, which files and /dev/null are not."""
    kind = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or sys.stdin.isatty():
        return sys.stdin
    read_end, write_end = os.pipe()
    threading.Thread(target=_copy_input, args=(write_end,), daemon=True).start()
    return os.fdopen(read_end, "rb", buffering=0)


def _copy_input(to: int) -> None:
    # Whoever does not read any more ends it.
    with contextlib.suppress(OSError), os.fdopen(to, "wb", buffering=0) as pipe:
        while piece := os.read(sys.stdin.fileno(), PIECE_BYTES):
            pipe.write(piece)


def _taken_output() -> IO[bytes]:
    """Return standard output as a file whose close its reader sees; ``sys.stdout`` leaves the descriptor open."""
    taken = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
    return taken


async def _let_go(writer: asyncio.StreamWriter) -> None:
    """Close after what is still to be written; a program that does not read any more is left after a while."""
    writer.close()
    try:
        async with asyncio.timeout(_LINGER_S):
            await writer.wait_closed()
    except TimeoutError:
        writer.transport.abort()
    except OSError:
        return  # it broke: there is nobody to write to
