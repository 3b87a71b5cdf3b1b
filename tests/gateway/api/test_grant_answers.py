"""The owner's word through the API: the platform's alone, within what is asked, and felt at once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from catalog import grant_rules
from tests.support.api_world import ApiWorld, Reply, api_world


async def say(world: ApiWorld, role: str = "platform", **body: Any) -> Reply:
    """Answer for machines."""
    path = f"/v1/grants/{world.ids['grant-machine']}/answer"
    return await world.call(role, "POST", path, {"decision": "grant", **body})


def test_an_owner_narrows_what_stands(tmp_path: Path) -> None:
    """The terms are the new ones, everything that may have to end is woken, and orders outside of them are refused."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            before = len(world.woken)
            scope = {"projects": ["nobody/*"], "sizes": ["small"]}
            reply = await say(world, verbs=["create", "list"], quota=7, scope=scope, on_end="drain", wind_down_s=60.0)
            assert (reply.status, reply.body["state"]) == (200, "accepted")
            assert reply.body["verbs"] == ["create", "list"]
            assert (reply.body["quota"], reply.body["scope"], reply.body["on_end"]) == (7, scope, "drain")
            assert {"enforcement", "passages", "dispatch"} <= set(world.woken[before:])
            wanted = {"offer": world.ids["offer-machine"], "size": "small", "image": "debian-12"}
            order = await world.call("tenant", "POST", "/v1/orders", wanted)
            assert (order.status, order.body["field"]) == (403, "project")

    asyncio.run(story())


def test_to_adopt_machines_is_granted_by_name_alone(tmp_path: Path) -> None:
    """Asked again, an answer that names no verbs grants all but that; one that stands keeps it where none is named."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/grants/{world.ids['grant-machine']}"
            assert "adopt" in (await say(world, quota=3)).body["verbs"]
            for named, granted in ((None, False), (["list", "stop", "adopt"], True)):
                assert (await say(world, decision="deny")).status == 200
                assert (await world.call("admin", "POST", f"{path}/ask")).status == 202
                verbs = (await say(world, **({} if named is None else {"verbs": named}))).body["verbs"]
                assert "stop" in verbs
                assert ("adopt" in verbs) is granted

    asyncio.run(story())


def test_no_ends_it(tmp_path: Path) -> None:
    """A denial of what stands is its end."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            reply = await say(world, decision="deny")
            assert (reply.status, reply.body["state"]) == (200, "revoked")
            assert (await say(world)).status == 409

    asyncio.run(story())


@pytest.mark.parametrize(("role", "status"), [("admin", 403), ("tenant", 403), ("other", 404)])
def test_nobody_answers_for_the_owner(tmp_path: Path, role: str, status: int) -> None:
    """Not the gateway's admin either; another platform does not even learn that there is such a grant."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            assert (await say(world, role)).status == status

    asyncio.run(story())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"verbs": ["fly"]}, id="unknown verb"),
        pytest.param({"verbs": ["Not A Verb"]}, id="no verb at all"),
        pytest.param({"wind_down_s": 60.0}, id="a time without its rule"),
        pytest.param({"destinations": ["127.0.0.1:22"]}, id="a destination that nobody is forwarded to"),
        pytest.param({"quota": 0}, id="quota of none"),
        pytest.param({"calls_per_minute": 1}, id="too few calls to prove anything"),
    ],
)
def test_terms_without_sense_are_refused(tmp_path: Path, body: dict[str, Any]) -> None:
    """With 422 and the field, and the grant is as it was."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            before = await world.call("platform", "GET", f"/v1/grants/{world.ids['grant-machine']}")
            reply = await say(world, **body)
            assert reply.status == 422, reply.text
            after = await world.call("platform", "GET", f"/v1/grants/{world.ids['grant-machine']}")
            assert after.body == before.body

    asyncio.run(story())


def test_an_admin_asks_again_for_what_was_taken_back_and_the_owner_grants_it(tmp_path: Path) -> None:
    """Revoked, asked for, granted, and accepted by the standing rule in the same call."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/grants/{world.ids['grant-machine']}"
            await world.write(lambda tx: grant_rules.add(tx, platform="platform", capability="machine", now_s=1.0))
            assert (await say(world, decision="deny")).body["state"] == "revoked"
            asked = await world.call("admin", "POST", f"{path}/ask")
            assert (asked.status, asked.body["state"]) == (202, "requested")
            assert (await world.call("platform", "POST", f"{path}/ask")).status == 403
            assert (await say(world, quota=2)).body["quota"] == 2
            assert (await world.call("admin", "GET", path)).body["state"] == "accepted"
            assert (await world.call("admin", "POST", f"{path}/ask")).status == 409

    asyncio.run(story())
