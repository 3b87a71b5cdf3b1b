"""Alive, ready and busy are three things."""

import asyncio
import dataclasses
import threading
from pathlib import Path
from typing import Any

import aiohttp

from catalog.store.database import READERS
from gateway.api.server import build_app, serve_app
from gateway.api.services import ApiLimits
from tests.support.api_world import STRANGER, ApiWorld, api_world
from tests.support.waiting import until


async def ready(world: ApiWorld) -> tuple[int, dict[str, Any]]:
    """Return status and body of /readyz, as a prober without a token sees them."""
    reply = await world.call(STRANGER, "GET", "/readyz")
    return reply.status, reply.body


def test_a_database_that_does_not_answer_is_unreadiness(tmp_path: Path) -> None:
    """While every reader hangs /readyz is a 503 after its limit, though /livez is well; then it is ready again."""
    release, hanging = threading.Event(), []

    def hang(_tx: object) -> None:
        hanging.append(1)
        release.wait()

    async def story() -> None:
        async with api_world(tmp_path, limits=ApiLimits(readiness_s=1.0)) as world, asyncio.TaskGroup() as tasks:
            assert await ready(world) == (200, {"status": "ok", "checks": {"database": "ok"}, "ailing": {}})
            try:
                for _ in range(READERS):
                    tasks.create_task(world.services.database.read(hang))
                await until(lambda: len(hanging) == READERS)
                status, told = await ready(world)
                assert (status, told["status"]) == (503, "not-ready")
                assert "no answer" in told["checks"]["database"]
                assert (await world.call(STRANGER, "GET", "/livez")).status == 200
            finally:
                release.set()
            await until_ready(world)

    asyncio.run(story())


async def until_ready(world: ApiWorld) -> None:
    """Wait until the readers are free again; the test's own timeout is the only limit."""
    while (await ready(world))[0] != 200:
        pass


def test_background_work_that_ails_is_told_and_keeps_nobody_away(tmp_path: Path) -> None:
    """A task whose cloud is away stands under "ailing" with its error's code, and the status stays 200."""
    tasks = [{"name": "machines", "last_error": "cloud-unavailable"}, {"name": "pools", "last_error": ""}]

    async def story() -> None:
        async with api_world(tmp_path) as world:
            services = dataclasses.replace(world.services, background_status=lambda: tasks)
            app = build_app(services)
            async with (
                serve_app(app, "127.0.0.1:0") as url,
                aiohttp.ClientSession() as http,
                http.get(f"{url}/readyz") as reply,
            ):
                assert (reply.status, (await reply.json())["ailing"]) == (200, {"machines": "cloud-unavailable"})

    asyncio.run(story())
