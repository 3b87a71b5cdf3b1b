"""Machines are rebuilt, resized and renamed through the API: written first, then asked of the cloud, undone by a no."""

import asyncio
from pathlib import Path

import pytest

from catalog.errors import CloudError, CloudRefused, CloudTimedOut, CloudUnavailable
from catalog.model.offering import InventoryItem
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.api_world import ApiWorld, api_world

CHANGES = {"rebuild": {"image": "debian-12"}, "resize": {"size": "large"}, "rename": {"name": "web"}}


async def prepared(world: ApiWorld) -> str:
    """Add a larger size; return the path of the tenant's machine."""

    def work(tx: Tx) -> None:
        size = InventoryItem(platform_id=world.ids["platform"], kind="size", cloud_id="s2", name="large")
        rows.insert(tx, size, world.clock.now_s())

    await world.write(work)
    return f"/v1/machines/{world.ids['machine']}"


def test_what_is_wanted_is_asked_of_the_cloud(tmp_path: Path) -> None:
    """Each deed once, with the cloud's own ids; the answer and the machine say so, and the audit log has it."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = await prepared(world)
            before = (await world.call("tenant", "GET", path)).body
            for deed, body in CHANGES.items():
                reply = await world.call("tenant", "POST", f"{path}/{deed}", body)
                assert reply.status == 202, reply.text
            now = (await world.call("tenant", "GET", path)).body
            assert (now["image"], now["size"]) == ("i1", "s2")
            assert now["name"].startswith("web-")
            cloud_id = before["cloud_id"]
            wanted = [("rebuild", cloud_id, "i1"), ("resize", cloud_id, "s2"), ("rename", cloud_id, now["name"])]
            assert world.changes.asked == wanted
            told = (await world.call("tenant", "GET", f"/v1/events?subject={before['id']}")).body["items"]
            assert [each["data"]["size"] for each in told][-3:] == ["s1", "s2", "s2"]
            assert told[-1]["data"]["name"] == now["name"]
            done = (await world.call("admin", "GET", "/v1/audit?limit=200")).body["items"]
            deeds = [(each["action"], each["result"]) for each in done if each["subject"] == before["id"]]
            for deed in CHANGES:
                assert (f"{deed}_machine", "begun") in deeds
                assert (f"{deed}_machine", "done") in deeds

    asyncio.run(story())


@pytest.mark.parametrize("deed", ["resize", "rename"])
@pytest.mark.parametrize(
    ("error", "status", "stays"),
    [
        pytest.param(CloudRefused("it does not"), 502, False, id="a clear no takes it back"),
        pytest.param(CloudTimedOut("no answer"), 504, True, id="an unknown outcome does not"),
        pytest.param(CloudUnavailable("503"), 503, True, id="nor does a cloud that may have done it"),
    ],
)
def test_a_change_that_the_cloud_does_not_make(
    tmp_path: Path,
    deed: str,
    error: CloudError,
    status: int,
    stays: bool,  # noqa: FBT001
) -> None:
    """Refused: the machine is as it was. Unknown: it says what is wanted, and a repeat asks the cloud again."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = await prepared(world)
            before = (await world.call("tenant", "GET", path)).body
            world.cloud_errors.append(error)
            reply = await world.call("tenant", "POST", f"{path}/{deed}", CHANGES[deed])
            now = (await world.call("tenant", "GET", path)).body
            assert reply.status == status, reply.text
            assert ((now["name"], now["size"]) != (before["name"], before["size"])) is stays
            assert now["changing"] == (deed if stays else "")
            again = await world.call("tenant", "POST", f"{path}/{deed}", CHANGES[deed])
            assert again.status == 202
            assert len(world.changes.asked) == 2
            assert (await world.call("tenant", "GET", path)).body["changing"] == ""

    asyncio.run(story())


def test_a_console_is_for_who_works_with_the_machine(tmp_path: Path) -> None:
    """A member and an admin read it; a viewer does not, and to another project there is no such machine."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/machines/{world.ids['machine']}/console"
            for role in ("tenant", "admin"):
                assert (await world.call(role, "GET", path)).body["text"].endswith("booted\nlogin:")
            assert (await world.call("viewer", "GET", path)).status == 403
            assert (await world.call("rival", "GET", path)).status == 404
            world.cloud_errors.append(CloudRefused("no console here"))
            assert (await world.call("tenant", "GET", path)).status == 502

    asyncio.run(story())
