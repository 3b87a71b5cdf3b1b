"""Passing received bytes on without copying them: views of them, several at once, to those who can take them."""

import threading
from collections.abc import Sequence

Octets = bytes | bytearray | memoryview

_ARRIVALS_BYTES = 256 * 1024  # as much as asyncio reads at once


class TakesViews:
    """A session that takes what arrived as views, all that came at once in one call.

    The views stay valid; nothing will be written to what they show.
    """

    def views_received(self, views: Sequence[memoryview]) -> None:
        """Take ``views``, in order."""
        raise NotImplementedError


def arrivals() -> memoryview:
    """Return where a socket's bytes may be read to and used up at once: one place for each thread's event loop.

    A buffer for each socket would cost a quiet connection ten times what it costs otherwise.
    """
    return _OF_THREAD.buffer


class _Arrivals(threading.local):
    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(_ARRIVALS_BYTES))


_OF_THREAD = _Arrivals()
