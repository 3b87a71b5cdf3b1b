"""The event log over HTTP: by pages, as a feed that resumes, and how a feed ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from catalog import events
from catalog.model.access import Role
from catalog.store.database import Tx
from catalog.tokens import issue_token, revoke_token
from gateway.api.services import ApiLimits
from tests.support.api_world import ApiWorld, api_world
from tests.support.waiting import until


@asynccontextmanager
async def watching(
    world: ApiWorld, role: str, query: str = "", *, headers: dict[str, str] | None = None
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Open a feed as ``role``."""
    sent = {"Authorization": f"Bearer {world.tokens[role]}", "Accept": "text/event-stream", **(headers or {})}
    async with world.http.get(f"{world.url}/v1/events/watch{query}", headers=sent) as answer:
        yield answer


async def following(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
    """Yield the fields of each event of a feed, comments under the empty name."""
    fields: dict[str, str] = {}
    async for raw in answer.content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            yield fields
            fields = {}


async def some(answer: aiohttp.ClientResponse, count: int) -> list[dict[str, Any]]:
    """Return the next ``count`` events that hold data."""
    found: list[dict[str, Any]] = []
    async for fields in following(answer):
        if "data" in fields:
            found.append({**fields, "data": json.loads(fields["data"])})
        if len(found) == count:
            break
    return found


def issue(tx: Tx) -> None:
    """Do something that is told."""
    issue_token(tx, role=Role.ADMIN, name="news", now_s=1.0)


def test_the_log_is_read_by_pages_from_a_number_on(tmp_path: Path) -> None:
    """Pages follow each other without loss; ``since``, ``kind`` and ``subject`` narrow; rubbish is refused."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            everything: list[dict[str, Any]] = []
            token = ""
            while True:
                page = (await world.call("admin", "GET", f"/v1/events?limit=7{token}")).body
                everything += page["items"]
                if page["next_page_token"] is None:
                    break
                token = f"&page_token={page['next_page_token']}"
            assert [each["seq"] for each in everything] == list(range(1, len(everything) + 1))
            later = (await world.call("admin", "GET", "/v1/events?since=5&limit=200")).body["items"]
            assert later == everything[5:]
            order = world.ids["order"]
            told = (await world.call("tenant", "GET", f"/v1/events?subject={order}")).body["items"]
            assert [each["kind"] for each in told][:1] == ["order.placed"]
            assert (await world.call("rival", "GET", "/v1/events")).body["items"] == []
            grants = (await world.call("platform", "GET", "/v1/events?kind=grant.accepted")).body["items"]
            assert {each["platform"] for each in grants} == {world.ids["platform"]}
            assert (await world.call("admin", "GET", "/v1/events?since=x")).status == 400
            assert (await world.call("admin", "GET", "/v1/events?since=100000")).status == 422

    asyncio.run(story())


def test_a_watcher_sees_what_happens_and_resumes_where_it_was(tmp_path: Path) -> None:
    """From ``since`` on, then live, in order; a new feed with Last-Event-ID goes on after it, nothing twice or lost."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            async with watching(world, "admin", "?since=0") as answer:
                assert answer.content_type == "text/event-stream"
                newest = await world.services.database.read(events.newest)
                assert [int(each["id"]) for each in await some(answer, newest)] == list(range(1, newest + 1))
                await world.write(issue)
                [live] = await some(answer, 1)
                assert (live["event"], live["data"]["seq"]) == ("token.issued", newest + 1)
            for _ in range(3):
                await world.write(issue)
            async with watching(world, "admin", headers={"Last-Event-ID": live["id"]}) as answer:
                assert [int(each["id"]) for each in await some(answer, 3)] == [newest + 2, newest + 3, newest + 4]
            async with watching(world, "rival", "?since=0") as answer:
                first = await anext(following(answer))
                assert (first["id"], "data" in first) == (str(newest + 4), False)

    asyncio.run(story())


def test_a_feed_that_has_nothing_to_tell_still_beats(tmp_path: Path) -> None:
    """Others' events wake nobody's reader to silence: it is told the number up to which it missed nothing."""

    async def story() -> None:
        async with (
            api_world(tmp_path, limits=ApiLimits(feed_beat_s=0.05)) as world,
            watching(world, "rival") as answer,
        ):
            feed = following(answer)
            before = int((await anext(feed))["id"])
            await world.write(issue)
            beats = [before]
            while beats[-1] == before:
                fields = await anext(feed)
                assert "data" not in fields
                beats.append(int(fields["id"]))
            assert beats[-1] == before + 1

    asyncio.run(story())


def test_a_feed_ends_with_its_token(tmp_path: Path) -> None:
    """A token that is revoked, or runs out, ends the feed with the reason; a new feed is refused."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            async with watching(world, "rival") as answer:
                await anext(following(answer))
                await world.write(lambda tx: revoke_token(tx, world.ids["rival-token"], 1.0))
                [ended] = [fields async for fields in following(answer)]
                assert (ended["event"], json.loads(ended["data"])["code"]) == ("end", "unauthenticated")
            async with watching(world, "rival") as answer:
                assert answer.status == 401
            ttl_s = 0.1
            _, text = await world.write(
                lambda tx: issue_token(tx, role=Role.ADMIN, name="x", ttl_s=ttl_s, now_s=world.clock.now_s())
            )
            world.tokens["short"] = text
            async with watching(world, "short") as answer:
                feed = following(answer)
                await anext(feed)
                world.clock.advance(1.0)
                assert (await anext(feed))["event"] == "end"

    asyncio.run(story())


def test_events_that_are_forgotten_are_a_clear_refusal(tmp_path: Path) -> None:
    """410 with what to do, before anything of a feed is sent; without ``since`` reading begins with what is kept."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await world.write(lambda tx: events.forget(tx, world.clock.now_s() + 10, kept_s=5))
            newest = await world.services.database.read(events.newest)
            async with watching(world, "admin", "?since=1") as answer:
                problem = await answer.json()
            assert (answer.status, problem["code"]) == (410, "events-forgotten")
            assert f"since={newest}" in problem["fix"]
            assert (await world.call("admin", "GET", "/v1/events?since=1")).status == 410
            assert (await world.call("admin", "GET", "/v1/events")).body["items"] == []

    asyncio.run(story())


def test_who_cannot_read_a_feed_and_who_is_one_too_many_is_told(tmp_path: Path) -> None:
    """Without Accept: text/event-stream the answer is 400; beyond the limit of readers it is 429."""

    async def story() -> None:
        async with api_world(tmp_path, limits=ApiLimits(watchers=1)) as world:
            refused = await world.call("admin", "GET", "/v1/events/watch")
            assert (refused.status, refused.body["field"]) == (400, "Accept")
            async with watching(world, "admin") as first:
                await anext(following(first))
                async with watching(world, "admin") as second:
                    assert second.status == 429
            await world.write(issue)  # the feed learns that its reader is gone when it has something to send
            await until(lambda: world.services.changes.waiting == 0)

    asyncio.run(story())


def test_a_reader_that_takes_nothing_holds_nobody_up_and_is_cut_off(tmp_path: Path) -> None:
    """Beside a stalled reader another sees every event at once; the stalled one loses its connection."""
    much = 400

    async def story() -> None:
        limits = ApiLimits(feed_stall_s=0.3)
        async with api_world(tmp_path, limits=limits) as world, watching(world, "admin") as quick:
            await anext(following(quick))
            host, port = world.url.removeprefix("http://").split(":")
            _, stalled = await asyncio.open_connection(host, int(port), limit=1)
            head = "GET /v1/events/watch HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
            head += f"Authorization: Bearer {world.tokens['admin']}\r\n\r\n"
            stalled.write(head.encode())
            await until(lambda: world.services.changes.waiting == 2)

            def flood(tx: Tx) -> None:
                for _ in range(much):
                    issue_token(tx, role=Role.ADMIN, name="n" * 190, now_s=1.0)

            for _ in range(30):
                await world.write(flood)
                assert len(await some(quick, much)) == much
            await until(lambda: world.services.changes.waiting == 1)
            stalled.transport.abort()

    asyncio.run(story())
