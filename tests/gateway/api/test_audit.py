"""What the API notes in the audit log, and that it can be read and signed."""

import asyncio
import base64
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog import chain
from catalog.errors import CloudRefused
from gateway.background.refusals import refusal_work
from tests.support.api_world import CANARY, ApiWorld, api_world


async def log_of(world: ApiWorld, query: str = "") -> list[dict[str, Any]]:
    """Return the log as an admin reads it."""
    found: list[dict[str, Any]] = (await world.call("admin", "GET", f"/v1/audit?limit=200{query}")).body["items"]
    return found


def short(records: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Return what matters of records."""
    return [(each["actor"].partition(":")[0], each["action"], each["result"], each["code"]) for each in records]


def test_every_change_is_noted_with_who_and_what(tmp_path: Path) -> None:
    """Done and refused changes, also by whom the role forbids it, are noted; reads and repeats are not."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            made = await world.call("admin", "POST", "/v1/sites", {"name": "iad"}, headers={"Idempotency-Key": "k1"})
            await world.call("admin", "POST", "/v1/sites", {"name": "iad"}, headers={"Idempotency-Key": "k1"})
            await world.call("admin", "POST", "/v1/sites", {"name": "iad"})
            await world.call("tenant", "POST", "/v1/sites", {"name": "osl"})
            await world.call("admin", "GET", "/v1/sites")
            await world.call("admin", "PATCH", "/v1/sites/iad", {"region": "us"}, headers={"If-Match": '"9"'})
            await world.call("stranger", "POST", "/v1/sites", {"name": "osl"})
            records = await log_of(world)
            assert short(records) == [
                ("admin", "create_site", "done", ""),
                ("admin", "create_site", "refused", "already-exists"),
                ("member", "create_site", "refused", "denied"),
                ("admin", "change_site", "refused", "stale"),
            ]
            assert records[0]["subject"] == made.body["id"]
            assert records[0]["actor_name"] == "root"
            assert records[0]["data"] == {"request": made.headers["X-Request-Id"], "fields": "name"}
            assert records[2]["actor"] == f"member:{world.ids['tenant']}"
            assert records[3]["subject"] == "iad"
            assert short(await log_of(world, "&actor=admin&result=done")) == [("admin", "create_site", "done", "")]

    asyncio.run(story())


def test_being_refused_again_and_again_makes_nobody_write(tmp_path: Path) -> None:
    """Of 40 refusals in a minute the first is noted at once and the others, when it is over, as one with their number.

    Other callers, actions and reasons are noted beside them; whatever may be done is, and noted each time.
    """

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for number in range(20):
                assert (await world.call("tenant", "POST", "/v1/sites", {"name": f"s{number}"})).status == 403
                path = f"/v1/machines/machine_{number}/actions"
                assert (await world.call("tenant", "POST", path, {"action": "reboot"})).status == 404
            assert (await world.call("user", "POST", "/v1/sites", {"name": "x"})).status == 403
            for name in ("iad", "osl"):
                assert (await world.call("admin", "POST", "/v1/sites", {"name": name})).status == 201
            first = [
                ("member", "create_site", "refused", "denied"),
                ("member", "act_on_machine", "refused", "not-found"),
                ("account", "create_site", "refused", "denied"),
                ("admin", "create_site", "done", ""),
                ("admin", "create_site", "done", ""),
            ]
            assert short(await log_of(world)) == first
            world.clock.advance(60)
            await refusal_work(world.services.database, world.clock, world.services.refusals).run_once()
            records = await log_of(world)
            assert short(records) == first + first[:2]
            assert [each["data"]["count"] for each in records[5:]] == ["19", "19"]
            assert records[6]["data"]["subjects"].startswith("machine_1 machine_2 ")

    asyncio.run(story())


def test_a_refusal_that_cannot_be_noted_now_is_noted_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program holds the database a caller is told why it is refused, and the log tells later."""
    monkeypatch.setattr("catalog.store.sqlite.BUSY_TIMEOUT_MS", 1)

    async def story() -> None:
        async with api_world(tmp_path) as world:
            world.services.database._write_engine.dispose()
            other = sqlite3.connect(tmp_path / "api.db")
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                refused = await world.call("tenant", "POST", "/v1/sites", {"name": "iad"})
                assert (refused.status, refused.code) == (403, "denied")
            other.rollback()
            other.close()
            await refusal_work(world.services.database, world.clock, world.services.refusals).finish(world.clock)
            [record] = await log_of(world)
            assert (record["action"], record["result"], record["data"]["count"]) == ("create_site", "refused", "2")

    asyncio.run(story())


def test_what_goes_on_outside_is_noted_twice(tmp_path: Path) -> None:
    """A call to a cloud is begun and then done or failed."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/machines/{world.ids['machine']}/actions"
            await world.call("tenant", "POST", path, {"action": "reboot"})
            world.cloud_errors.append(CloudRefused("no"))
            await world.call("tenant", "POST", path, {"action": "reboot"})
            assert [each[2:] for each in short(await log_of(world))] == [
                ("begun", ""),
                ("done", ""),
                ("begun", ""),
                ("failed", "cloud-refused"),
            ]

    asyncio.run(story())


def test_no_secret_gets_into_the_log(tmp_path: Path) -> None:
    """Changing a platform's secret is noted by the field's name alone."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/platforms/{world.ids['platform']}/secret"
            await world.call("platform", "PUT", path, {"secret": CANARY + "-new"})
            reply = await world.call("admin", "GET", "/v1/audit")
            assert reply.body["items"][0]["data"]["fields"] == "secret"
            assert CANARY not in reply.text
            assert world.tokens["platform"] not in reply.text

    asyncio.run(story())


def test_the_end_is_signed_by_the_gateway(tmp_path: Path) -> None:
    """The checkpoint is about the newest record before the call, and its signature proves it; without a key, 409."""
    key = Ed25519PrivateKey.generate()

    async def story() -> None:
        async with api_world(tmp_path) as world:
            assert (await world.call("admin", "POST", "/v1/audit/checkpoints")).status == 409
        (tmp_path / "signing").mkdir()
        async with api_world(tmp_path / "signing", sign=key.sign) as world:
            assert (await world.call("admin", "POST", "/v1/audit/checkpoints")).code == "wrong-state"
            signed = (await world.call("admin", "POST", "/v1/audit/checkpoints")).body
            [first, second] = await log_of(world)
            assert (signed["seq"], signed["digest"]) == (1, first["digest"])
            assert second["action"] == "sign_audit"
            assert chain.is_signed(signed, key.public_key())
            assert not chain.is_signed({**signed, "signature": base64.b64encode(b"x" * 64).decode()}, key.public_key())
            assert (await world.call("admin", "GET", "/v1/audit/checkpoints")).body["items"] == [signed]
            assert (await world.call("tenant", "GET", "/v1/audit")).status == 403

    asyncio.run(story())
