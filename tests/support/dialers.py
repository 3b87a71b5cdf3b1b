"""Dialers that stand in for a tunnel where only its contract matters: loopback, counted."""

import socket
import threading

from catalog.errors import CloudTimedOut, CloudUnavailable
from catalog.ports import Address


class LoopbackDialer:
    """Dials addresses directly and remembers each, so that a test can prove what went through it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.dialled: list[Address] = []

    def dial(self, address: Address, *, timeout_s: float) -> socket.socket:
        """Return a connected socket; the contract is ``catalog.ports.Dialer``."""
        with self._changed:
            self.dialled.append(address)
            self._changed.notify_all()
        try:
            return socket.create_connection((address.host, address.port), timeout=timeout_s)
        except TimeoutError as error:
            raise CloudTimedOut("the far end did not answer the dial") from error
        except OSError as error:
            raise CloudUnavailable("the far end refused the dial") from error

    def wait_for(self, count: int, *, timeout_s: float = 20.0) -> None:
        """Wait until ``count`` addresses were dialled. Blocks; call it from a thread of its own."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.dialled) >= count, timeout_s)
