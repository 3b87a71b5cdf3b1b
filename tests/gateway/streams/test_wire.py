"""The protocol of streams, spoken over a real WebSocket on loopback: bytes, half-closes, and every way to end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType, web

from gateway.streams.doors import Local
from gateway.streams.wire import BROKEN, EOF, StreamBroken, carry, close

PATIENCE_S = 30.0


class Served:
    """One end of a served WebSocket: the program behind it, and how carrying ended."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair()
        self.theirs = theirs
        self.writer: asyncio.StreamWriter | None = None
        self.outcome: asyncio.Future[StreamBroken | None] = asyncio.get_running_loop().create_future()

    async def program(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the streams of the program behind the server."""
        reader, self.writer = await asyncio.open_connection(sock=self.theirs)
        return reader, self.writer

    async def answer(self, request: web.Request) -> web.WebSocketResponse:
        """Carry, and note how it ended."""
        web_socket = web.WebSocketResponse(max_msg_size=0)
        await web_socket.prepare(request)
        local = Local(*await asyncio.open_connection(sock=self.ours))
        try:
            await carry(web_socket, local)
        except StreamBroken as error:
            self.outcome.set_result(error)
            await close(web_socket, error.code, str(error))
        else:
            self.outcome.set_result(None)
            await close(web_socket, WSCloseCode.OK, "")
        finally:
            local.writer.transport.abort()
        return web_socket


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Served, aiohttp.ClientWebSocketResponse]]:
    """Give the server's side, and a client connected to it."""
    side = Served()
    app = web.Application()
    app.router.add_get("/", side.answer)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    try:
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            async with asyncio.timeout(PATIENCE_S), http.ws_connect(url, max_msg_size=0) as client:
                yield side, client
    finally:
        await runner.cleanup()
        if side.writer is not None:
            side.writer.transport.abort()
        await asyncio.sleep(0)
        side.theirs.close()


def run(story: Callable[[Served, aiohttp.ClientWebSocketResponse], Awaitable[None]]) -> None:
    """Run ``story`` over a fresh WebSocket."""

    async def go() -> None:
        async with served() as (side, client):
            await story(side, client)

    asyncio.run(go())


def test_halves_end_one_after_the_other() -> None:
    """After the caller's end the program still answers, megabytes if need be; then both sides are done."""

    async def story(side: Served, client: aiohttp.ClientWebSocketResponse) -> None:
        reader, writer = await side.program()
        await client.send_bytes(b"question")
        await client.send_str(EOF)
        assert await reader.read() == b"question"
        answer = bytes(range(256)) * 20_000

        async def say() -> None:
            writer.write(answer)
            await writer.drain()
            writer.write_eof()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(say())
            heard = bytearray()
            while (message := await client.receive()).type is WSMsgType.BINARY:
                heard += message.data
        assert (message.type, message.data) == (WSMsgType.TEXT, EOF)
        assert bytes(heard) == answer
        assert await side.outcome is None
        assert (await client.receive()).type is WSMsgType.CLOSE

    run(story)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(("hello",), id="a word that is none"),
        pytest.param((EOF, b"more"), id="bytes after the end"),
        pytest.param((EOF, EOF), id="the end twice"),
    ],
)
def test_who_breaks_the_protocol_is_told_and_cut(said: tuple[str | bytes, ...]) -> None:
    """The close code is 1002, and the program behind sees its stream end."""

    async def story(side: Served, client: aiohttp.ClientWebSocketResponse) -> None:
        await side.program()
        for each in said:
            await (client.send_str(each) if isinstance(each, str) else client.send_bytes(each))
        message = await client.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, WSCloseCode.PROTOCOL_ERROR)
        error = await side.outcome
        assert error is not None
        assert "protocol" in str(error)

    run(story)


def test_a_caller_that_goes_away_ends_the_stream() -> None:
    """A close before both halves have ended is a broken stream, and its reason is passed on."""

    async def story(side: Served, client: aiohttp.ClientWebSocketResponse) -> None:
        await side.program()
        await client.close(code=BROKEN, message=b"the local program is gone")
        error = await side.outcome
        assert str(error) == "the local program is gone"

    run(story)


def test_a_caller_that_goes_away_after_its_half_is_seen_too() -> None:
    """A half-close is not the end of listening: who leaves while the program still thinks is noticed at once."""

    async def story(side: Served, client: aiohttp.ClientWebSocketResponse) -> None:
        reader, _ = await side.program()
        await client.send_str(EOF)
        assert await reader.read() == b""
        await client.close()
        assert await side.outcome is not None

    run(story)


def test_a_long_reason_is_cut_to_what_a_close_frame_holds() -> None:
    """RFC 6455 allows 125 bytes, and no half of a character."""

    async def story(side: Served, client: aiohttp.ClientWebSocketResponse) -> None:
        await side.program()
        await close(client, BROKEN, "é" * 200)
        assert str(await side.outcome) == "é" * 60

    run(story)
