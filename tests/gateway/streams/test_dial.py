"""Opening a stream at a gateway: what each kind of refusal and silence is told as."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from gateway.client.address import parse_address
from gateway.client.problems import AnswerUnreadable, ApiProblem, ClientError, ServerUnreachable
from gateway.streams.dial import REFUSAL, StreamDialer, Target

TARGET = Target(platform="north", host="db.internal", port=5432)


def outcome(answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None, **changes: float) -> ClientError:
    """Return what opening a stream at a server that answers so ends in; None: a server that never answers."""

    async def story() -> ClientError:
        listener = socket.create_server(("127.0.0.1", 0))
        dialer = StreamDialer(server=parse_address(f"http://127.0.0.1:{listener.getsockname()[1]}"), **changes)
        app = web.Application()
        if answer is not None:
            app.router.add_get("/{any:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        try:
            if answer is not None:
                await web.SockSite(runner, listener).start()
            with pytest.raises(ClientError) as caught:
                async with dialer.opened(TARGET, {"Authorization": "Bearer cw_x"}):
                    pass
            return caught.value
        finally:
            await runner.cleanup()
            listener.close()

    return asyncio.run(story())


def test_a_problem_is_read_from_the_header_of_the_refusal() -> None:
    """Code, words and fix arrive, as if its body had been read."""

    async def refuse(request: web.Request) -> web.Response:
        assert request.raw_path == TARGET.path == "/v1/streams?platform=north&host=db.internal&port=5432"
        problem = {"code": "denied", "detail": "not granted", "fix": "granted: none"}
        return web.Response(status=403, headers={REFUSAL: json.dumps(problem)})

    error = outcome(refuse)
    assert isinstance(error, ApiProblem)
    assert (error.status, error.code, error.detail, error.fix) == (403, "denied", "not granted", "granted: none")


@pytest.mark.parametrize("header", ["", "{", "[1]", "null"])
def test_an_odd_header_is_no_mistake_of_ours(header: str) -> None:
    """Whatever stands there, the status is told."""

    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=503, headers={REFUSAL: header})

    error = outcome(refuse)
    assert isinstance(error, ApiProblem)
    assert (error.status, error.code) == (503, "http-503")


def test_a_redirect_is_not_followed() -> None:
    """The token goes nowhere but to the gateway that was named."""
    seen: list[str] = []

    async def redirect(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        raise web.HTTPFound("/elsewhere")

    assert isinstance(outcome(redirect), AnswerUnreadable)
    assert seen == ["/v1/streams"]


def test_silence_ends_in_time() -> None:
    """A server that takes the connection and says nothing is unreachable after the time that was set."""
    error = outcome(None, timeout_s=0.2)
    assert isinstance(error, ServerUnreachable)
    assert "silent for 0.2 s" in str(error)


def test_nobody_there_is_told() -> None:
    """A closed port is told as such."""

    async def story() -> None:
        async with StreamDialer(server=parse_address("http://127.0.0.1:1")).opened(TARGET, {}):
            pass

    with pytest.raises(ServerUnreachable):
        asyncio.run(story())
