"""What a raw prober needs to know of one kind of probe: how its packets are made and its answers are read."""

import socket
from typing import Protocol, TypeVar

T_contra = TypeVar("T_contra", contravariant=True)
Samples = tuple[float | None, ...]


class Pace(Protocol):
    """How one target is probed, as ``ProbePolicy`` says it."""

    @property
    def samples(self) -> int:
        """Probes to send."""
        ...

    @property
    def interval_ms(self) -> float:
        """Time from one to the next."""
        ...

    @property
    def timeout_ms(self) -> float:
        """How long after it was sent a probe counts as lost."""
        ...


class Aim(Protocol):
    """One target, made ready: all that is the same for each probe of it is worked out."""

    @property
    def host(self) -> str:
        """The IPv4 address that probes go to and answers must come from."""
        ...

    @property
    def address(self) -> bytes:
        """The same, as the four bytes of an IP header."""
        ...

    def packet(self, serial: int, token: int) -> bytes:
        """Return the probe numbered ``serial`` (16 bit), with ``token`` in it for the answer to repeat."""
        ...


class Wire(Protocol[T_contra]):
    """What one kind of probe looks like on the network."""

    token_bits: int  # 16, 32 or 64
    longest_ms: float  # an answer later than this may not be the answer to the probe

    def open(self) -> socket.socket:
        """Return a new raw socket that receives answers. Raises PermissionError without CAP_NET_RAW."""
        ...

    def close(self) -> None:
        """Close what ``open`` opened."""
        ...

    def aim(self, target: T_contra) -> Aim:
        """Return ``target`` made ready. Sends nothing. Raises OSError when no way leads there."""
        ...

    def answer(self, datagram: bytes) -> tuple[int, int] | None:
        """Return serial and token that ``datagram``, IP header included, answers; None when it answers none of ours."""
        ...


def ip_header_bytes(datagram: bytes) -> int:
    """Return how long the IPv4 header is that ``datagram`` begins with, by its own word (RFC 791, 3.1)."""
    return (datagram[0] & 0x0F) * 4 if datagram else 0
