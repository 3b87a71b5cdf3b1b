"""The API's streams: what is refused before anything is dialled, and how a refusal and a cut are told."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType

from catalog.model.access import Token
from catalog.store import rows
from catalog.token_text import digest
from catalog.tokens import revoke_token
from gateway.streams.wire import ENDED, EOF
from tests.support.streaming import HOST, PORT, StreamingWorld, streaming_world

PATIENCE_S = 30.0
GOOD = {"platform": "platform", "host": HOST, "port": str(PORT)}


def run(directory: Path, story: Callable[[StreamingWorld, aiohttp.ClientSession], Awaitable[None]]) -> None:
    """Run ``story`` in a fresh world."""

    async def go() -> None:
        async with asyncio.timeout(PATIENCE_S), streaming_world(directory) as world, aiohttp.ClientSession() as http:
            await story(world, http)

    asyncio.run(go())


def bearer(world: StreamingWorld, role: str) -> dict[str, str]:
    """Return the header that says who asks."""
    return {"Authorization": f"Bearer {world.api.tokens[role]}"} if role in world.api.tokens else {}


@pytest.mark.parametrize(
    ("role", "query", "status", "code"),
    [
        pytest.param("stranger", GOOD, 401, "unauthenticated", id="no token"),
        pytest.param("tenant", GOOD, 403, "denied", id="a tenant"),
        pytest.param("admin", {**GOOD, "port": "80"}, 403, "denied", id="not granted"),
        pytest.param("admin", {**GOOD, "host": "127.0.0.1"}, 403, "denied", id="loopback"),
        pytest.param("admin", {**GOOD, "port": "0"}, 422, "invalid-value", id="no port"),
        pytest.param("admin", {**GOOD, "port": "x"}, 422, "invalid-value", id="no number"),
        pytest.param("admin", {**GOOD, "platform": "nobody"}, 404, "not-found", id="no such platform"),
        pytest.param("admin", {"platform": "platform", "port": "1"}, 400, "malformed-request", id="no host"),
    ],
)
def test_a_refusal_is_http_and_reaches_who_wanted_a_websocket(
    tmp_path: Path, role: str, query: dict[str, str], status: int, code: str
) -> None:
    """The status is HTTP's, the problem stands in a header as well, and nothing is dialled or left open."""

    async def story(world: StreamingWorld, http: aiohttp.ClientSession) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{world.url}/v1/streams", params=query, headers=bearer(world, role))
        assert refused.value.status == status
        assert refused.value.headers is not None
        assert json.loads(refused.value.headers["Crossway-Problem"])["code"] == code
        assert world.tunnel.dialled == []
        assert await world.rows_of_passages() == []

    run(tmp_path, story)


def test_a_plain_request_is_refused_before_anything_is_dialled(tmp_path: Path) -> None:
    """Who cannot use a stream gets a 400 that says what would be right."""

    async def story(world: StreamingWorld, http: aiohttp.ClientSession) -> None:
        async with http.get(f"{world.url}/v1/streams", params=GOOD, headers=bearer(world, "admin")) as answer:
            told = await answer.json(content_type=None)
            assert (answer.status, told["field"]) == (400, "Upgrade")
        assert world.tunnel.dialled == []

    run(tmp_path, story)


def test_a_stream_ends_when_both_halves_have(tmp_path: Path) -> None:
    """Bytes pass, the half-close passes, and the WebSocket closes with 1000."""

    async def story(world: StreamingWorld, http: aiohttp.ClientSession) -> None:
        async with http.ws_connect(f"{world.url}/v1/streams", params=GOOD, headers=bearer(world, "admin")) as client:
            reader, writer = await world.tunnel.program()
            await client.send_bytes(b"question")
            await client.send_str(EOF)
            assert await reader.read() == b"question"
            writer.write(b"answer")
            writer.close()
            assert (await client.receive()).data == b"answer"
            assert (await client.receive()).data == EOF
            end = await client.receive()
            assert (end.type, end.data) == (WSMsgType.CLOSE, 1000)

    run(tmp_path, story)


def test_a_revoked_token_cuts_its_streams_and_says_why(tmp_path: Path) -> None:
    """The close code is the one for what has ended, and its reason names the token."""

    async def story(world: StreamingWorld, http: aiohttp.ClientSession) -> None:
        async with http.ws_connect(f"{world.url}/v1/streams", params=GOOD, headers=bearer(world, "admin")) as client:
            reader, writer = await world.tunnel.program()
            kept = digest(world.api.tokens["admin"])
            await world.write(lambda tx: revoke_token(tx, rows.where(tx, Token, digest=kept)[0].id, 1.0))
            end = await client.receive()
            assert (end.type, end.data) == (WSMsgType.CLOSE, ENDED)
            assert "token" in str(end.extra)
            assert await reader.read() == b""
            writer.close()

    run(tmp_path, story)
