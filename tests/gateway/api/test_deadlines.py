"""Slow and greedy clients are cut; honest ones beside them are served."""

import asyncio
import socket
from pathlib import Path

from gateway.api.services import ApiLimits
from tests.support.api_world import STRANGER, ApiWorld, api_world
from tests.support.waiting import until

SHORT = ApiLimits(head_s=0.2, body_s=0.2, keepalive_s=0.4, linger_s=0.2)


async def talk(world: ApiWorld, said: bytes, then: bytes = b"") -> bytes:
    """Send ``said`` on its own connection, ``then`` after the first answer; return what comes until the end."""
    host, _, port = world.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answered = b""
    try:
        writer.write(said)
        async with asyncio.timeout(30):  # only a server that never closes gets there
            if then:
                answered = await reader.readuntil(b"}")
                writer.write(then)
            return answered + await reader.read()
    except ConnectionResetError:
        return answered
    finally:
        writer.close()


def cuts(world: ApiWorld, limit: str) -> float:
    """Return how many connections were cut by ``limit``."""
    return (
        world.services.metrics.registry.get_sample_value("crossway_http_connections_cut_total", {"limit": limit}) or 0
    )


def connected(world: ApiWorld) -> float:
    """Return how many connections are open."""
    return world.services.metrics.registry.get_sample_value("crossway_http_connections") or 0


def test_a_head_that_never_ends_is_cut(tmp_path: Path) -> None:
    """Nothing sent at all, half a head, and half of a second head on a kept connection: each is closed unanswered."""
    # So long a keep-alive that nothing but the deadline of heads can end a connection.
    limits = ApiLimits(head_s=0.2, keepalive_s=600.0)
    half = b"GET /livez HTTP/1.1\r\nHost: x\r\n"

    async def story() -> None:
        async with api_world(tmp_path, limits=limits) as world:
            assert await talk(world, b"") == b""
            assert await talk(world, half) == b""
            assert (await talk(world, half + b"\r\n", half)).count(b"HTTP/1.1 200") == 1
            assert cuts(world, "head_s") == 3
            assert (await world.call(STRANGER, "GET", "/livez")).status == 200

    asyncio.run(story())


def test_a_body_that_never_ends_is_a_408(tmp_path: Path) -> None:
    """A body that stops half-way is answered with a problem, and the connection is closed."""

    async def story() -> None:
        async with api_world(tmp_path, limits=SHORT) as world:
            head = f"POST /v1/organisations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.tokens['admin']}\r\n"
            head += "Content-Type: application/json\r\nIdempotency-Key: k\r\nContent-Length: 100\r\n\r\n{"
            answered = await talk(world, head.encode())
            assert answered.startswith(b"HTTP/1.1 408")
            assert b"read-timed-out" in answered

    asyncio.run(story())


def test_an_idle_connection_is_closed_after_its_keep_alive(tmp_path: Path) -> None:
    """A connection that was served and then stays silent ends by itself."""

    async def story() -> None:
        async with api_world(tmp_path, limits=SHORT) as world:
            answered = await talk(world, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answered.startswith(b"HTTP/1.1 200")

    asyncio.run(story())


def test_what_is_not_http_gets_a_problem_without_an_echo(tmp_path: Path) -> None:
    """Garbage is answered as a malformed request, quoting none of it."""

    async def story() -> None:
        async with api_world(tmp_path, limits=SHORT) as world:
            for said in (
                b"\x16\x03\x01 tls-hello\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: x\r\nevil header: <script>\r\n\r\n",
            ):
                answered = await talk(world, said)
                assert b" 400 Bad Request" in answered.splitlines()[0]
                assert b"application/problem+json" in answered
                assert b"malformed-request" in answered
                assert b"script" not in answered
                assert b"aiohttp" not in answered

    asyncio.run(story())


def test_connections_past_the_cap_are_closed_and_the_place_is_given_back(tmp_path: Path) -> None:
    """With a cap of three per address a fourth connection is closed at once; when one ends, the next is served."""
    limits = ApiLimits(connections_per_address=3)

    async def story() -> None:
        async with api_world(tmp_path, limits=limits) as world:
            host, _, port = world.url.removeprefix("http://").partition(":")
            held = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
            await until(lambda: connected(world) == 3)
            assert await talk(world, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") == b""
            assert cuts(world, "connections_per_address") == 1
            for _, writer in held:
                writer.close()
            await until(lambda: connected(world) == 0)
            assert (await world.call(STRANGER, "GET", "/livez")).status == 200

    asyncio.run(story())


def test_slow_connections_do_not_keep_honest_requests_waiting(tmp_path: Path) -> None:
    """Beside a hundred half-sent heads every honest request is answered, and in the end all hundred are gone."""
    limits = ApiLimits(head_s=1.0, connections=200, connections_per_address=200)

    async def story() -> None:
        async with api_world(tmp_path, limits=limits) as world:
            host, _, port = world.url.removeprefix("http://").partition(":")
            slow = []
            for _ in range(100):
                sock = socket.create_connection((host, int(port)))
                sock.sendall(b"GET /livez HTTP/1.1\r\n")
                slow.append(sock)
            for _ in range(20):
                assert (await world.call("admin", "GET", "/v1/whoami")).status == 200
            await until(lambda: cuts(world, "head_s") == 100)
            for sock in slow:
                sock.close()

    asyncio.run(story())
