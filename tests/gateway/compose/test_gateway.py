"""The composition: what is wired is what the settings say, and a gateway leaves nothing behind."""

import asyncio
import contextlib
import json
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import WrongState
from gateway.api.services import Wakes
from gateway.bootstrap import ADMIN_TOKEN_FILE
from gateway.compose.gateway import gateway
from gateway.settings import ApiSettings, GatewaySettings, Settings
from tests.support.waiting import until


def settings_in(directory: Path) -> Settings:
    """Return settings for a gateway of its own in ``directory``."""
    return Settings(
        gateway=GatewaySettings(state_dir=directory / "state"), api=ApiSettings(listen=f"unix:{directory}/api")
    )


async def get(path: Path, what: str, *, token: str = "", method: str = "GET") -> tuple[int, dict[str, Any]]:
    """Return status and JSON body of a call without a body over the unix socket."""
    reader, writer = await asyncio.open_unix_connection(path)
    proof = f"Authorization: Bearer {token}\r\nIf-Match: *\r\n" if token else ""
    writer.write(f"{method} {what} HTTP/1.1\r\nHost: x\r\n{proof}Connection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body)


def test_a_gateway_runs_and_ends(tmp_path: Path) -> None:
    """It is ready, runs every task an endpoint wakes, keeps its secrets to itself, and can start again at once."""

    async def run() -> str:
        async with gateway(settings_in(tmp_path)) as running:
            assert running.url == f"unix:{tmp_path}/api"
            assert (await get(tmp_path / "api", "/readyz"))[0] == 200
            names = {each["name"] for each in running.runner.status()}
            assert set(Wakes.ALL) <= names
            for name in Wakes.ALL:
                running.runner.wake(name)
            with pytest.raises(WrongState):  # one process at a time
                async with gateway(settings_in(tmp_path)):
                    pass
            return running.public_key + running.ssh_public_key

    assert asyncio.run(run()) == asyncio.run(run())
    assert not (tmp_path / "api").exists()
    state = tmp_path / "state"
    readable = [path.name for path in state.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert [name for name in readable if "key" in name or "token" in name or "crossway" in name] == []


def test_a_gateway_that_ends_writes_down_what_calls_left(tmp_path: Path) -> None:
    """The token's use and refusals that repeat another are in the database, although their minute has not ended."""

    async def run() -> None:
        async with gateway(settings_in(tmp_path)) as running:
            token = (tmp_path / "state" / ADMIN_TOKEN_FILE).read_text().strip()
            await until(lambda: next(each["runs"] for each in running.runner.status() if each["name"] == "last-used"))
            for _ in range(3):
                assert (await get(tmp_path / "api", "/v1/sites/none", token=token, method="DELETE"))[0] == 404

    asyncio.run(run())
    with contextlib.closing(sqlite3.connect(settings_in(tmp_path).database_url.removeprefix("sqlite:///"))) as kept:
        [(used_at_s,)] = kept.execute("SELECT used_at_s FROM token")
        records = kept.execute("SELECT action, data FROM audit_record WHERE result = 'refused' ORDER BY id").fetchall()
    assert used_at_s is not None
    assert [action for action, _ in records] == ["remove_site", "remove_site"]
    assert json.loads(records[1][1])["count"] == "2"
