"""Refuse every network call that code inside a driver call makes past our own dial.

An audit hook sees each connect and name look-up of the process. It cannot be removed again and costs one
set look-up per audited event. It guards against bugs in provider code (``outscale`` and ``gig_g8`` call
``requests`` directly), not against hostile native code.

The mark is per thread, not a context variable: a context would follow callbacks into the event loop's thread
and refuse the tunnel its own sockets. A thread that provider code starts carries no mark (Python 3.11 tells hooks
nothing of new threads); libcloud itself still fails closed there, for want of a bound call.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from catalog.errors import CloudError, DialRefused

# Programs are watched too: they would carry no mark.
_WATCHED: Final = frozenset({
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr",
    "socket.sendto", "socket.sendmsg", "socket.bind",
    "subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork",
})  # fmt: skip

Note = Callable[[CloudError], object]


class _Mark(threading.local):
    note: Note | None = None  # told of each refusal; None where the network is free


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
def guarded(note: Note) -> Iterator[None]:
    """Refuse this thread the network until the block ends.

    Raises DialRefused where it is tried, and tells ``note``, for provider code may swallow the error.
    """
    before, _mark.note = _mark.note, note
    try:
        yield
    finally:
        _mark.note = before


@contextmanager
def lifted() -> Iterator[None]:
    """Allow this thread the network again, for our own dial only."""
    before, _mark.note = _mark.note, None
    try:
        yield
    finally:
        _mark.note = before


def _refuse_if_guarded(event: str, _arguments: tuple[Any, ...]) -> None:
    if event in _WATCHED and _mark.note is not None:
        refusal = DialRefused("a cloud driver tried to reach the network past its tunnel", detail=event)
        _mark.note(refusal)
        raise refusal
