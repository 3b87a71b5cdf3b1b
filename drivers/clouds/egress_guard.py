"""Refuse every network call that code inside a driver call makes past our own dial.

An audit hook sees each connect and name look-up of the process. It cannot be removed again and costs one
set look-up per audited event. It guards against bugs in provider code (``outscale`` and ``gig_g8`` call
``requests`` directly), not against hostile native code.

The mark is per thread, not a context variable: a context would follow callbacks into the event loop's thread
and refuse the tunnel its own sockets.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from catalog.errors import DialRefused

# New threads and programs are watched too: they would not carry the mark of the thread that started them.
_WATCHED: Final = frozenset({
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr",
    "socket.sendto", "socket.sendmsg", "socket.bind",
    "_thread.start_new_thread", "subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork",
})  # fmt: skip


class _Mark(threading.local):
    guarded = False


_mark = _Mark()
_installing = threading.Lock()
_installed = threading.Event()


def install() -> None:
    """Set the guard up for the whole process. May be called again; the hook is added once."""
    with _installing:
        if not _installed.is_set():
            sys.addaudithook(_refuse_if_guarded)
            _installed.set()


@contextmanager
def guarded() -> Iterator[None]:
    """Refuse this thread the network until the block ends. Raises DialRefused where it is tried."""
    before, _mark.guarded = _mark.guarded, True
    try:
        yield
    finally:
        _mark.guarded = before


@contextmanager
def lifted() -> Iterator[None]:
    """Allow this thread the network again, for our own dial only."""
    before, _mark.guarded = _mark.guarded, False
    try:
        yield
    finally:
        _mark.guarded = before


def _refuse_if_guarded(event: str, _arguments: tuple[Any, ...]) -> None:
    if event in _WATCHED and _mark.guarded:
        raise DialRefused("a cloud driver tried to reach the network past its tunnel", detail=event)
