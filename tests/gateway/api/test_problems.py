"""The table from errors to HTTP is complete, and what is not in it tells nothing."""

import asyncio
import logging
import re
from pathlib import Path

import pytest

from gateway.api.bodies import Nothing
from gateway.api.endpoints import Call, Door, Raw, Routes
from gateway.api.problems import STATUS
from gateway.api.server import build_app, serve_app
from tests.support.api_world import CANARY, STRANGER, api_world

ROOT = Path(__file__).parents[3]
CODE = re.compile(r"^    code(?:: ClassVar\[str\])? = \"([a-z-]+)\"", re.MULTILINE)
# Where errors live that can reach the API; the connector is the platform owner's side, with a door of its own.
SOURCES = [
    path
    for package in ("catalog", "gateway", "routing", "drivers")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not path.is_relative_to(ROOT / "gateway/connector")
]


def test_every_error_code_has_a_row_in_the_table() -> None:
    """An error without a row would be told as a mistake of ours; a row without an error would be dead."""
    codes = {code for path in SOURCES for code in CODE.findall(path.read_text())}
    assert len(codes) > 40
    assert codes == set(STATUS)


def test_a_mistake_of_ours_is_logged_once_and_tells_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An unknown exception is a 500 with a request id, one ERROR line with the traceback, and no word of its text."""
    routes = Routes("broken")

    @routes.probe("/broken", door=Door.ANYONE, summary="Broken")
    def break_down(_call: Call[Nothing]) -> Raw:
        raise LookupError(CANARY)

    async def story() -> None:
        async with api_world(tmp_path) as world:
            async with serve_app(build_app(world.services, list(routes)), "127.0.0.1:0") as url:
                world.url = url
                reply = await world.call(STRANGER, "GET", "/broken")
            assert (reply.status, reply.code) == (500, "internal-error")
            assert reply.body["request_id"] == reply.headers["X-Request-Id"]
            assert CANARY not in reply.text
            assert "LookupError" not in reply.text

    with caplog.at_level(logging.ERROR):
        asyncio.run(story())
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is LookupError
