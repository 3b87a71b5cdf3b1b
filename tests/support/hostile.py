"""Servers that break the rules on purpose: raw bytes over real sockets, for whoever must survive them.

``async with hostile(garbage) as address:`` listens on loopback and treats every connection the same way.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from catalog.ports import Address

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_DRIP_PAUSE_S = 0.02
_MANY = b"x" * 65_536


@asynccontextmanager
async def hostile(behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Address]:
    """Serve ``behave`` on a loopback port until the block ends; then cut every connection and wait for its task."""
    writers: list[asyncio.StreamWriter] = []
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await behave(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        host, port = server.sockets[0].getsockname()[:2]
        yield Address(host=host, port=port)
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        if tasks:
            await asyncio.wait(tasks)


async def request_body(reader: asyncio.StreamReader) -> bytes:
    """Read one HTTP request and return its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
    return await reader.readexactly(length)


def raw(answer: bytes) -> Behaviour:
    """Read the request, send ``answer`` as it is, close."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_body(reader)
        writer.write(answer)
        writer.write_eof() if writer.can_write_eof() else None
        await reader.read()  # until the other side has had enough: closing now could cut what we sent

    return behave


def http(body: bytes, *, status: str = "200 OK") -> Behaviour:
    """Answer with ``body``, well-formed as HTTP."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_body(reader)
        await answer(writer, body, status=status)
        await reader.read()

    return behave


def replying(reply: Callable[[dict[str, object]], object]) -> Behaviour:
    """Answer 200 with the JSON of ``reply(the request's JSON)``."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(writer, json.dumps(reply(json.loads(await request_body(reader)))).encode())
        await reader.read()

    return behave


async def answer(
    writer: asyncio.StreamWriter, body: bytes, *, status: str = "200 OK", headers: Mapping[str, str] | None = None
) -> None:
    """Send one well-formed HTTP answer."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)
    await writer.drain()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read everything, answer nothing, until the other side gives up."""
    del writer
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body byte by byte without end, each soon enough to look alive."""
    await request_body(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await _pause(reader)


async def endless_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send header lines without end."""
    await request_body(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X-Again: " + b"x" * 1000 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)  # over TLS a lost peer is noticed by the loop only


async def endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a chunked body without end, as fast as it is taken."""
    await request_body(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"%x\r\n%s\r\n" % (len(_MANY), _MANY))
        await writer.drain()
        await asyncio.sleep(0)  # as above


async def endless_continue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send ``100 Continue`` again and again instead of an answer."""
    await request_body(reader)
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await _pause(reader)


async def closes_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the connection without reading or saying anything."""
    del reader, writer


async def _pause(reader: asyncio.StreamReader) -> None:
    """Wait a moment, or until the other side closes or resets."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRIP_PAUSE_S):
            if not await reader.read(1):
                raise ConnectionResetError
