"""A TCP server for streams: it answers what was said, in capitals, and what it heard in all once its peer has ended."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PIECE_BYTES = 65_536


@dataclass(slots=True, kw_only=True)
class Echo:
    """A running server. ``accepted`` is how many connections it had."""

    address: tuple[str, int]
    accepted: int = 0
    _open: list[socket.socket] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        """Answer one connection after the other until the listener is closed."""
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                self.accepted += 1
                self._open.append(peer)
                threading.Thread(target=_answer, args=(peer,), daemon=True).start()

    def cut(self) -> None:
        """End every connection, as a server does that is stopped."""
        for peer in self._open:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()


def _answer(peer: socket.socket) -> None:
    heard = 0
    with suppress(OSError), peer:
        while piece := peer.recv(PIECE_BYTES):
            heard += len(piece)
            peer.sendall(piece.upper())
        # Only a half-close lets this arrive: the peer has ended its half, and still reads.
        peer.sendall(f" heard {heard}".encode())


@contextmanager
def echo(host: str, *, port: int = 0) -> Iterator[Echo]:
    """Run a server at ``host``, at any port for 0, until the block ends; in the network of the calling thread."""
    with socket.create_server((host, port)) as listener:
        server = Echo(address=listener.getsockname()[:2])
        threading.Thread(target=server.serve, args=(listener,), daemon=True).start()
        try:
            yield server
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            server.cut()
