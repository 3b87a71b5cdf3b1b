"""What a gateway and a reader of long lists say to each other, over one Unix socket pair.

Each message is JSON behind its length, or a batch of rows: text that passes through the gateway as it is, because to
parse it there is what all this avoids. The gateway says the job; the reader asks for connections, which it is handed as
open sockets, sends rows, and ends with a count or an error. The reader reads what strangers sent, so nothing that it
says is run, unpickled or believed beyond its shape.
"""

import json
import socket
import struct
from typing import Any, Final

from catalog.listed import Batch

MESSAGE_LIMIT_BYTES: Final = 16 * 1024 * 1024
_HEAD: Final = struct.Struct("!II")  # length, and how many rows they are; 0 for a message
_DIALLED: Final = b"+"


class ChannelClosed(ConnectionError):
    """The other side has ended, or says what is no message."""


class Channel:
    """One end of the pair. Not thread-safe."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours

    def say(self, message: dict[str, Any]) -> None:
        """Send ``message``. Raises ChannelClosed."""
        self._send(json.dumps(message, separators=(",", ":")).encode(), count=0)

    def put(self, batch: Batch) -> None:
        """Send rows. Raises ChannelClosed."""
        self._send(batch.text.encode(), count=batch.count)

    def hear(self) -> dict[str, Any] | Batch:
        """Return the next message or rows. Raises ChannelClosed at the end and for what is neither."""
        length, count = _HEAD.unpack(self._exactly(_HEAD.size))
        if length > MESSAGE_LIMIT_BYTES:
            raise ChannelClosed
        told = self._exactly(length)
        try:
            if count:
                return Batch(count=count, text=told.decode())
            message = json.loads(told)
        except ValueError as error:
            raise ChannelClosed from error
        if not isinstance(message, dict):
            raise ChannelClosed
        return message

    def hear_message(self) -> dict[str, Any]:
        """Return the next message. Raises ChannelClosed for rows, too."""
        message = self.hear()
        if isinstance(message, Batch):
            raise ChannelClosed
        return message

    def hand_over(self, connected: socket.socket) -> None:
        """Give the other side ``connected``; our own end of it may be closed afterwards. Raises ChannelClosed."""
        try:
            socket.send_fds(self._socket, [_DIALLED], [connected.fileno()])
        except OSError as error:
            raise ChannelClosed from error

    def take_over(self) -> socket.socket:
        """Return the socket that the other side hands over. Raises ChannelClosed."""
        try:
            said, descriptors, _, _ = socket.recv_fds(self._socket, len(_DIALLED), 1)
        except OSError as error:
            raise ChannelClosed from error
        if said != _DIALLED or len(descriptors) != 1:
            raise ChannelClosed
        return socket.socket(fileno=descriptors[0])

    def _send(self, text: bytes, *, count: int) -> None:
        try:
            self._socket.sendall(_HEAD.pack(len(text), count) + text)
        except OSError as error:
            raise ChannelClosed from error

    def _exactly(self, count: int) -> bytes:
        taken = bytearray()
        while len(taken) < count:
            try:
                part = self._socket.recv(count - len(taken))
            except OSError as error:
                raise ChannelClosed from error
            if not part:
                raise ChannelClosed
            taken += part
        return bytes(taken)
