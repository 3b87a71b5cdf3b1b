"""Streams within the grants: whose verb it takes, over whose connection, what narrows or ends one at once."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from catalog.errors import CatalogError, CloudTimedOut, CloudUnavailable, Denied, PassageEnded, WrongState
from routing.errors import HopRefused, HopTimedOut
from tests.support.streaming import HOST, PORT, StreamingWorld, streaming_world

PATIENCE_S = 30.0


def run(directory: Path, story: Callable[[StreamingWorld], Awaitable[None]]) -> None:
    """Run ``story`` in a fresh world."""

    async def go() -> None:
        async with asyncio.timeout(PATIENCE_S), streaming_world(directory) as world:
            await story(world)

    asyncio.run(go())


def test_what_passes_is_counted_in_the_passage_and_the_sessions_connection(tmp_path: Path) -> None:
    """Bytes of both directions and one call stand in the row, which ends with the stream."""

    async def story(world: StreamingWorld) -> None:
        async with world.streams.opened(world.principal("admin"), "platform", host="DB.Internal", port=PORT) as stream:
            reader, writer = await world.tunnel.program()
            await stream.write(b"abc")
            stream.end_writing()
            assert await reader.read() == b"abc"
            writer.write(b"answer")
            writer.write_eof()
            assert await stream.read() == b"answer"
            assert await stream.read() == b""
            writer.close()
        (row,) = await world.rows_of_passages()
        assert (row.purpose, row.kind) == (f"{HOST}:{PORT}", "stream")
        assert (row.calls, row.bytes_in, row.bytes_out) == (1, 3, 6)
        assert row.ended_at_s is not None
        assert world.tunnel.dialled == [f"{HOST}:{PORT}"]

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("role", "verbs", "is_let_in"),
    [
        pytest.param("admin", ("open",), True, id="a user, open"),
        pytest.param("admin", ("join",), False, id="a user, join only"),
        pytest.param("platform", ("open",), True, id="the owner itself"),
        pytest.param("other", ("join",), True, id="another platform, join"),
        pytest.param("other", ("open",), False, id="another platform, open only"),
    ],
)
def test_users_open_and_platforms_join(tmp_path: Path, role: str, verbs: tuple[str, ...], *, is_let_in: bool) -> None:
    """The two verbs are told apart, and another platform's stream is of the connection that its owner consented to."""

    async def story(world: StreamingWorld) -> None:
        await world.grant(verbs)
        opening = world.streams.opened(world.principal(role), "platform", host=HOST, port=PORT)
        if is_let_in:
            async with opening:
                (row,) = await world.rows_of_passages()
                own = {"other": {world.from_other}, "platform": {world.connection}}
                assert row.connection_id in own.get(role, {world.from_other, world.connection})
        else:
            with pytest.raises(Denied):
                await opening.__aenter__()
            assert await world.rows_of_passages() == []
        assert bool(world.tunnel.dialled) is is_let_in

    run(tmp_path, story)


def test_without_a_connection_of_its_own_a_platform_is_refused(tmp_path: Path) -> None:
    """That its target is reachable for others is not enough."""

    async def story(world: StreamingWorld) -> None:
        with pytest.raises(WrongState, match="no connection to this platform"):
            await world.streams.opened(world.principal("platform"), "other", host=HOST, port=PORT).__aenter__()

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("verbs", "destinations"),
    [
        pytest.param(("join",), (f"{HOST}:{PORT}",), id="the verb is taken back"),
        pytest.param(("open", "join"), (f"{HOST}:80",), id="the destinations are narrowed"),
    ],
)
def test_a_narrowed_grant_cuts_what_it_does_not_cover_any_more(
    tmp_path: Path, verbs: tuple[str, ...], destinations: tuple[str, ...]
) -> None:
    """The block is cancelled where it stands, and the platform's side sees the end."""

    async def idle(world: StreamingWorld, opened: asyncio.Event) -> None:
        async with world.streams.opened(world.principal("admin"), "platform", host=HOST, port=PORT) as stream:
            opened.set()
            await stream.read()

    async def narrow(world: StreamingWorld, opened: asyncio.Event) -> None:
        await opened.wait()
        reader, _ = await world.tunnel.program()
        await world.grant(verbs, destinations)
        assert await reader.read() == b""

    async def story(world: StreamingWorld) -> None:
        opened = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(narrow(world, opened))
            with pytest.raises(PassageEnded):
                await idle(world, opened)

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        pytest.param(HopRefused("no", hop="x"), CloudUnavailable, id="refused"),
        pytest.param(HopTimedOut("no", hop="x"), CloudTimedOut, id="silent"),
    ],
)
def test_what_cannot_be_dialled_ends_its_passage(tmp_path: Path, refusal: Exception, told: type[CatalogError]) -> None:
    """The error says what happened, and no passage is left open."""

    async def story(world: StreamingWorld) -> None:
        world.tunnel.refusal = refusal
        with pytest.raises(told):
            await world.streams.opened(world.principal("admin"), "platform", host=HOST, port=PORT).__aenter__()
        (row,) = await world.rows_of_passages()
        assert row.ended_at_s is not None

    run(tmp_path, story)
