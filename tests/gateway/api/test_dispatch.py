"""Versions, pages and long polls: what every endpoint gets from its declaration."""

import asyncio
from pathlib import Path

import pytest

from catalog import connections
from catalog.model.connection import ConnectionEvent
from catalog.model.ids import ConnectionId
from catalog.model.network import Site
from catalog.store import rows
from gateway.api.bodies import Nothing
from gateway.api.endpoints import Call, Routes
from gateway.api.server import build_app, serve_app
from gateway.api.services import ApiLimits
from tests.support.api_world import ApiWorld, Reply, api_world
from tests.support.waiting import until


def test_a_change_is_based_on_a_version(tmp_path: Path) -> None:
    """Without If-Match 428, with an old one 412 and nothing changed, with the present one the change and a new ETag."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            read = await world.call("admin", "GET", "/v1/sites/fra")
            first = read.headers["ETag"]
            assert first == '"1"'
            missing = await world.call("admin", "PATCH", "/v1/sites/fra", {"region": "x"}, headers={"If-Match": ""})
            assert (missing.status, missing.code) == (428, "precondition-missing")
            done = await world.call("admin", "PATCH", "/v1/sites/fra", {"region": "eu"}, headers={"If-Match": first})
            assert (done.status, done.headers["ETag"], done.body["region"]) == (200, '"2"', "eu")
            stale = await world.call("admin", "PATCH", "/v1/sites/fra", {"region": "x"}, headers={"If-Match": first})
            assert (stale.status, stale.body["field"]) == (412, "If-Match")
            odd = await world.call("admin", "PATCH", "/v1/sites/fra", {"region": "x"}, headers={"If-Match": "2"})
            assert (odd.status, odd.body["field"]) == (400, "If-Match")
            assert (await world.call("admin", "GET", "/v1/sites/fra")).body["region"] == "eu"

    asyncio.run(story())


def test_a_change_leaves_alone_what_it_does_not_name(tmp_path: Path) -> None:
    """PATCH with one field keeps the others; null clears what may be empty and is refused elsewhere."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            place = {"name": "iad", "region": "us", "latitude": 39.0, "longitude": -77.5}
            await world.call("admin", "POST", "/v1/sites", place)
            moved = await world.call("admin", "PATCH", "/v1/sites/iad", {"latitude": None})
            assert {name: moved.body[name] for name in place} == {**place, "latitude": None}
            refused = await world.call("admin", "PATCH", "/v1/sites/iad", {"region": None})
            assert (refused.status, refused.body["field"]) == (422, "region")

    asyncio.run(story())


def test_the_settings_weights_can_be_changed_once_from_version_0(tmp_path: Path) -> None:
    """Before any change the weights are the settings' with ETag "0"; of two admins who both saw that, one wins."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            read = await world.call("admin", "GET", "/v1/weights")
            assert (read.headers["ETag"], read.body["hops"]) == ('"0"', 5.0)
            wanted = {"delay": 1, "loss": 2, "jitter": 3, "hops": 4, "price": 5, "risk": 6}
            seen = {"If-Match": '"0"'}
            assert (await world.call("admin", "PUT", "/v1/weights", wanted, headers=seen)).status == 200
            assert (await world.call("admin", "PUT", "/v1/weights", wanted, headers=seen)).status == 412

    asyncio.run(story())


def test_an_endpoint_that_forgets_the_precondition_fails_loudly(tmp_path: Path) -> None:
    """A PUT that never looks at If-Match is a mistake of ours: 500, and nothing is written."""
    routes = Routes("careless")

    @routes.plain("PUT", "/v1/careless", permission="network:write", status=204, summary="Careless")
    def overwrite(tx: object, call: Call[Nothing]) -> None:
        rows.insert(tx, Site(id="site_x", name="careless"), call.now_s)  # type: ignore[arg-type]

    async def story() -> None:
        async with api_world(tmp_path) as world:
            app = build_app(world.services, list(routes))
            async with serve_app(app, "127.0.0.1:0") as url:
                world.url = url
                reply = await world.call("admin", "PUT", "/v1/careless")
                assert (reply.status, reply.code) == (500, "internal-error")
                assert await world.services.database.read(lambda tx: rows.find(tx, Site, "site_x")) is None

    asyncio.run(story())


def test_pages_lead_to_the_end_and_hold_everything_once(tmp_path: Path) -> None:
    """Following next_page_token from a page of two yields each of seven organisations once, then null."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for name in ("a", "b", "c", "d", "e"):
                await world.call("admin", "POST", "/v1/organisations", {"name": name})
            found: list[str] = []
            sizes: list[int] = []
            path = "/v1/organisations?limit=2"
            while path:
                page = (await world.call("admin", "GET", path)).body
                sizes.append(len(page["items"]))
                found += [item["name"] for item in page["items"]]
                token = page["next_page_token"]
                path = f"/v1/organisations?limit=2&page_token={token}" if token else ""
            assert sizes == [2, 2, 2, 1]
            assert sorted(found) == ["a", "b", "bakery", "c", "d", "e", "foundry"]

    asyncio.run(story())


def test_a_filter_narrows_a_list(tmp_path: Path) -> None:
    """?state= lists only what is in that state, and nothing for a state that is no state."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for state, count in (("in-use", 1), ("idle", 0)):
                assert len((await world.call("admin", "GET", f"/v1/machines?state={state}")).body["items"]) == count

    asyncio.run(story())


async def watch(world: ApiWorld, etag: str, wait_s: int, path: str = "") -> Reply:
    """Watch the seeded connection (or ``path``) for a change from ``etag``."""
    headers = {"Prefer": f"wait={wait_s}", "If-None-Match": etag}
    return await world.call("platform", "GET", path or f"/v1/connections/{world.ids['connection']}", headers=headers)


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "found by polling"])
def test_a_watcher_is_answered_when_the_thing_changes(tmp_path: Path, announced: bool) -> None:  # noqa: FBT001
    """A watcher that saw the present version waits, and gets the new one although nobody told it what changed."""
    limits = ApiLimits(watch_poll_s=60.0 if announced else 0.05)

    async def story() -> None:
        async with api_world(tmp_path, limits=limits) as world, asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch(world, '"1"', 50))
            await until(lambda: world.services.changes.waiting)
            connection = ConnectionId(world.ids["connection"])
            await world.write(lambda tx: connections.move(tx, connection, ConnectionEvent.BEGIN, world.clock.now_s()))
            if announced:
                await world.services.changes.notify()
            reply = await watching
            assert (reply.status, reply.body["state"], reply.headers["ETag"]) == (200, "routing", '"2"')
            assert reply.headers["Preference-Applied"] == "wait"

    asyncio.run(story())


def test_other_changes_do_not_end_a_watch(tmp_path: Path) -> None:
    """A write elsewhere wakes the watcher, which finds its thing as it was and waits on, until its time is up: 304."""

    async def story() -> None:
        async with api_world(tmp_path) as world, asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch(world, '"1"', 1))
            await until(lambda: world.services.changes.waiting)
            assert (await world.call("admin", "POST", "/v1/organisations", {"name": "a"})).status == 201
            reply = await watching
            assert (reply.status, reply.text, reply.headers["ETag"]) == (304, "", '"1"')

    asyncio.run(story())


def test_a_watcher_that_is_behind_is_answered_at_once(tmp_path: Path) -> None:
    """Who saw another version, or none, need not wait; without Prefer an unchanged thing is 304 at once."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            assert (await watch(world, '"0"', 60)).status == 200
            assert (await watch(world, "", 60)).status == 200
            assert (await watch(world, '"1"', 0)).status == 304

    asyncio.run(story())


def test_when_too_many_watch_the_next_is_not_kept_waiting(tmp_path: Path) -> None:
    """A preference is only a preference: at the cap an unchanged thing is answered with 304 at once."""

    async def story() -> None:
        async with api_world(tmp_path, limits=ApiLimits(watchers=0)) as world:
            assert (await watch(world, '"1"', 60)).status == 304

    asyncio.run(story())


def test_a_composite_changes_with_what_it_shows(tmp_path: Path) -> None:
    """Approving an endpoint changes the platform's ETag for watchers, though not the platform's own version."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = "/v1/platforms/platform"
            before = (await world.call("platform", "GET", path)).headers["ETag"]
            assert (await watch(world, before, 0, path)).status == 304
            await world.call("admin", "POST", f"{path}/endpoints/api/approve", {"dial": "10.1.2.9:443"})
            after = await watch(world, before, 0, path)
            assert (after.status, after.body["version"]) == (200, 1)
            assert after.headers["ETag"] != before
            wanted = {"secret": "another"}
            done = await world.call("platform", "PUT", f"{path}/secret", wanted, headers={"If-Match": before})
            assert done.status == 200  # If-Match is about the platform's own version

    asyncio.run(story())
