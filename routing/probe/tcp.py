"""Probe by TCP: time a connect, or a question and its answer over a connection.

``connect`` is one round trip on a real network. Behind a proxy that accepts at once and delays the bytes
afterwards it reads nearly nothing; there the other two ask something and time the answer, which is one round
trip whatever happened before it. A handful of samples only: sshd forks for every connection, and
MaxStartups turns a flood of probes into false loss.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Protocol

from routing.probe.plan import ProbePolicy
from routing.topology import Address

# Any well-formed identification will do: sshd answers it with its key exchange offer (RFC 4253, 4.2 and 7.1).
_VERSION = b"SSH-2.0-crossway_probe\r\n"
_VERSION_BYTES_LIMIT = 255
_REQUEST = b"HEAD / HTTP/1.0\r\n\r\n"
# A delaying proxy has accepted before it reached the far side; its own dial must not be timed with the answer.
_SETTLE_S = 0.4


# A SYN that was lost is repeated after a second (RFC 6298, 2.1): a connect that took this long lost one packet.
REPEATED_MS = 950.0


class TcpMethod(StrEnum):
    """What is timed over TCP; the values are ``LinkMeasurement.method``."""

    CONNECT = "connect"
    BANNER = "banner"
    FIRST_BYTE = "first_byte"


class Reader(Protocol):
    """The reading half of a byte stream, as asyncio's and asyncssh's streams have it."""

    async def read(self, n: int, /) -> bytes:
        """Return at most ``n`` bytes; nothing at the end of the stream."""
        ...


class Writer(Protocol):
    """The writing half of a byte stream, as asyncio's and asyncssh's streams have it."""

    def write(self, data: bytes, /) -> None:
        """Queue ``data`` for sending."""
        ...


class NoAnswer(Exception):
    """The far side ended the stream or spoke another protocol."""


async def probe_tcp(address: Address, method: TcpMethod, policy: ProbePolicy) -> tuple[float | None, ...]:
    """Return the round trip in ms to ``address`` for each of ``policy.samples``; None is one that was lost.

    Refused, reset, and silent past ``policy.timeout_ms`` all count as lost. Samples go one after the other.
    """
    samples: list[float | None] = []
    for _ in range(policy.samples):
        samples.append(await _sample_ms(address, method, policy.timeout_ms / 1000))
        await asyncio.sleep(policy.interval_ms / 1000)
    return tuple(samples)


async def _sample_ms(address: Address, method: TcpMethod, timeout_s: float) -> float | None:
    started_s = asyncio.get_running_loop().time()
    try:
        # The pause before a timed answer is ours, not the network's.
        async with asyncio.timeout(timeout_s + _SETTLE_S), _connected(address) as (reader, writer):
            if method is TcpMethod.CONNECT:
                took_ms = _ms_since(started_s)
                return took_ms if took_ms < REPEATED_MS else None
            return await answer_ms(reader, writer, method)
    except (OSError, TimeoutError, NoAnswer):
        return None


async def answer_ms(reader: Reader, writer: Writer, method: TcpMethod) -> float:
    """Return how long the far side takes to answer a question on a fresh stream, in ms.

    Raises NoAnswer, or what the stream raises, when it does not.
    """
    ask = _ask_sshd if method is TcpMethod.BANNER else _ask_http
    return await ask(reader, writer)


async def _ask_sshd(reader: Reader, writer: Writer) -> float:
    """Time from our identification to sshd's offer. Its fork lies before its own banner, so it is not timed."""
    banner = b""
    while not banner.endswith(b"\n"):
        piece = await reader.read(_VERSION_BYTES_LIMIT)
        banner += piece
        if not piece or len(banner) > _VERSION_BYTES_LIMIT:
            raise NoAnswer
    if not banner.startswith(b"SSH-"):
        raise NoAnswer  # such as "Exceeded MaxStartups"
    writer.write(_VERSION)
    started_s = asyncio.get_running_loop().time()
    if not await reader.read(1):
        raise NoAnswer
    return _ms_since(started_s)


async def _ask_http(reader: Reader, writer: Writer) -> float:
    """Time from a tiny request to the first byte. A TLS server answers plain text with an alert or by hanging up."""
    await asyncio.sleep(_SETTLE_S)
    writer.write(_REQUEST)
    started_s = asyncio.get_running_loop().time()
    with contextlib.suppress(ConnectionResetError):
        await reader.read(1)
    return _ms_since(started_s)


@contextlib.asynccontextmanager
async def _connected(address: Address) -> AsyncIterator[tuple[Reader, Writer]]:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield reader, writer
    finally:
        # Abort rather than close: what the far side still sends is of no interest.
        writer.transport.abort()


def _ms_since(started_s: float) -> float:
    return (asyncio.get_running_loop().time() - started_s) * 1000
