"""Dialers that stand in for a tunnel where only its contract matters: loopback, counted."""

import socket
import threading

from catalog.errors import CloudTimedOut, CloudUnavailable
from catalog.ports import Address


class LoopbackDialer:
    """Dials addresses directly and remembers each, so that a test can prove what went through it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.dialled: list[Address] = []

    def dial(self, address: Address, *, timeout_s: float) -> socket.socket:
        """Return a connected socket; the contract is ``catalog.ports.Dialer``."""
        with self._lock:
            self.dialled.append(address)
        try:
            return socket.create_connection((address.host, address.port), timeout=timeout_s)
        except TimeoutError as error:
            raise CloudTimedOut("the far end did not answer the dial") from error
        except OSError as error:
            raise CloudUnavailable("the far end refused the dial") from error
