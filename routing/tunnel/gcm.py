"""AES-GCM as SSH numbers its packets (RFC 5647), with one cipher object per key instead of one per packet.

It takes the place of asyncssh's own cipher object inside a connection, so that there is one packet counter, whichever
code path a packet takes.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from routing.tunnel.views import Octets

TAG_BYTES = 16
_COUNTER_MASK = 2**64 - 1
_FIXED_BYTES = 4  # of the nonce; the other 8 count packets


class PacketCipher:
    """One direction of a connection under one key."""

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._aead = AESGCM(key)
        self._fixed = iv[:_FIXED_BYTES]
        self._counter = int.from_bytes(iv[_FIXED_BYTES:], "big")
        self._opened: bytes | None = None

    def seal_into(self, length: bytes, packet: Octets, out: memoryview) -> None:
        """Write the ciphertext of ``packet`` and its tag to ``out``, which must be exactly that long."""
        self._aead.encrypt_into(self._nonce(), packet, length, out)

    def open(self, length: Octets, sealed: Octets) -> bytes | None:
        """Return the packet that ``sealed`` (ciphertext and tag) holds, or None when it was tampered with."""
        if self._opened is not None:
            packet, self._opened = self._opened, None
            return packet
        try:
            return self._aead.decrypt(self._nonce(), sealed, length)
        except InvalidTag:
            return None

    def put_back(self, packet: bytes) -> None:
        """Let the next ``open`` return ``packet``: it was opened already, by somebody who could not use it."""
        self._opened = packet

    def encrypt_and_sign(self, header: bytes, data: bytes) -> tuple[bytes, bytes]:
        """Return ciphertext and tag the way asyncssh asks for them: header and ciphertext, then the tag."""
        sealed = self._aead.encrypt(self._nonce(), data, header)
        return header + sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]

    def verify_and_decrypt(self, header: bytes, data: bytes, mac: bytes) -> bytes | None:
        """Return the packet the way asyncssh asks for it; None when it was tampered with."""
        return self.open(header, data + mac)

    def _nonce(self) -> bytes:
        nonce = self._fixed + self._counter.to_bytes(8, "big")
        self._counter = (self._counter + 1) & _COUNTER_MASK
        return nonce
