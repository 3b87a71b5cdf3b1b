"""Machines that a platform had before, through the API: who imports them, who sees and steers them, what is sent."""

import asyncio
from pathlib import Path
from typing import Any

from catalog.model.machine import Machine
from catalog.store import rows
from tests.support.api_world import ApiWorld, Reply, api_world


async def take(world: ApiWorld, machine: str = "old-1", role: str = "operator", **body: Any) -> Reply:
    """Import a machine of the platform's."""
    asked = {"platform": "platform", "machine": machine, "project": "bakery/tenant", **body}
    return await world.call(role, "POST", "/v1/machines", asked)


async def there(world: ApiWorld, role: str) -> dict[str, tuple[str | None, str | None]]:
    """Return what is at the platform as ``role`` sees it: custody and project by the cloud's id."""
    listed = (await world.call(role, "GET", "/v1/platforms/platform/machines")).body["items"]
    return {each["cloud_id"]: (each["custody"], each["project"]) for each in listed}


def test_an_observed_machine_is_its_project_s_to_see_and_nobody_s_to_steer(tmp_path: Path) -> None:
    """Its members see it with its facts, rivals do not; no action reaches the cloud; an operator releases it."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            assert await there(world, "operator") == {"found-1": (None, None), "found-2": (None, None)}
            reply = await take(world)
            assert (reply.status, reply.body["custody"], reply.body["state"]) == (201, "observed", "in-use")
            assert (reply.body["size"], reply.body["price"]["amount"]) == ("s1", "0.02")
            path = reply.headers["Location"]
            assert (await world.call("tenant", "GET", path)).body["cloud_id"] == "found-1"
            assert (await world.call("rival", "GET", path)).status == 404
            listed = (await world.call("tenant", "GET", "/v1/machines?custody=observed")).body["items"]
            assert [each["name"] for each in listed] == ["old-1"]
            for role in ("tenant", "admin"):
                for action in ("start", "stop", "reboot", "destroy", "give-back"):
                    refused = await world.call(role, "POST", f"{path}/actions", {"action": action})
                    assert (refused.status, refused.body["field"]) == (403, "action"), refused.text
            assert (await there(world, "operator"))["found-1"] == ("observed", world.ids["tenant"])
            assert (await there(world, "platform"))["found-1"] == ("observed", None)
            for role, status in (("tenant", 403), ("auditor", 403), ("platform", 403)):
                assert (await world.call(role, "POST", f"{path}/release")).status == status
            released = await world.call("operator", "POST", f"{path}/release")
            assert (released.status, released.body["state"]) == (200, "gone")
            assert (await world.call("operator", "POST", f"{path}/release")).status == 409
            assert (await there(world, "operator"))["found-1"] == (None, None)
            assert world.acted == []

    asyncio.run(story())


def test_a_managed_machine_is_steered_by_its_project(tmp_path: Path) -> None:
    """As one of ours while it is managed; observed again nothing is done any more; given back, it is left alone."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = (await take(world, custody="managed")).headers["Location"]

            async def stop() -> int:
                return (await world.call("tenant", "POST", f"{path}/actions", {"action": "stop"})).status

            async def entrusted(custody: str) -> int:
                return (await world.call("admin", "POST", f"{path}/custody", {"custody": custody})).status

            assert await stop() == 202
            assert [(cloud_id, action.value) for _, cloud_id, action in world.acted] == [("found-1", "stop")]
            assert (await entrusted("observed"), await stop()) == (200, 403)
            assert (await entrusted("managed"), await stop()) == (200, 202)
            assert (await entrusted("managed")) == 200
            given = await world.call("tenant", "POST", f"{path}/actions", {"action": "give-back"})
            assert (given.status, given.body["state"]) == (202, "gone")
            assert len(world.acted) == 2

    asyncio.run(story())


def test_what_is_asked_to_be_destroyed_is_destroyed(tmp_path: Path) -> None:
    """A managed machine ends at its cloud when somebody asks for just that: the provisioner is told its id."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = (await take(world, custody="managed")).headers["Location"]
            gone = await world.call("tenant", "POST", f"{path}/actions", {"action": "destroy"})
            assert (gone.status, gone.body["state"]) == (202, "destroying")
            assert (await world.call("admin", "POST", f"{path}/release")).status == 409

    asyncio.run(story())


def test_of_many_imports_at_once_one_stands(tmp_path: Path) -> None:
    """Twelve at the same moment into two projects: one answers 201, the others 409, and there is one row."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            projects = ("bakery/tenant", world.ids["rival"])
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(take(world, project=projects[each % 2])) for each in range(12)]
            assert sorted(task.result().status for task in asked) == [201] + [409] * 11
            held = await world.services.database.read(lambda tx: rows.where(tx, Machine, cloud_id="found-1"))
            assert len(held) == 1

    asyncio.run(story())


def test_what_cannot_be_imported_is_refused_with_the_field(tmp_path: Path) -> None:
    """An unknown platform, project or machine names its field; who may not import hears only that."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for field in ("platform", "project", "machine"):
                reply = await take(world, **{field: "unheard-of"})
                assert (reply.status, reply.body["field"]) == (422, field), reply.text
            assert (await take(world, role="tenant")).status == 403

    asyncio.run(story())
