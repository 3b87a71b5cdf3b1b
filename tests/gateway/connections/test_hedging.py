"""One thing over the best way, and over the next as soon as that is in doubt or fails; what is too late is let go."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from catalog.errors import CloudTimedOut, CloudUnavailable
from gateway.connections.hedging import Way, hedged
from routing.tunnel.liveness import Health
from tests.support.feelings import Feeling, ways

Attempt = Callable[[Way], Awaitable[str]]


def race(attempt: Attempt, *feelings: Feeling) -> tuple[str, list[str]]:
    """Return who won and what was discarded; every tunnel must have been let go of."""
    discarded: list[str] = []

    async def discard(late: str) -> None:
        discarded.append(late)

    async def run() -> str:
        async with asyncio.timeout(60):
            return await hedged(lambda: ways(*feelings), attempt, discard)

    try:
        return asyncio.run(run()), discarded
    finally:
        assert all(each.listeners == [] for each in feelings)


def test_a_healthy_way_is_used_alone() -> None:
    """While the first way is healthy the second one is not touched."""
    tried: list[str] = []

    async def attempt(way: Way) -> str:
        tried.append(way.route.hops[0])
        return way.route.hops[0]

    assert race(attempt, Feeling(), Feeling()) == ("0", [])
    assert tried == ["0"]


def test_doubt_brings_in_the_next_way_and_the_first_answer_counts() -> None:
    """The first way goes quiet under way: the second is tried beside it, and wins; the first is cancelled."""
    first, cancelled = Feeling(), []

    async def attempt(way: Way) -> str:
        if way.route.hops == ("1",):
            return "1"
        first.becomes(Health.SUSPECT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(way.route.hops[0])
            raise
        return "never"

    assert race(attempt, first, Feeling()) == ("1", [])
    assert cancelled == ["0"]


def test_a_way_in_doubt_may_still_win() -> None:
    """Doubt is not death: when the first way answers after all, before the second, that is the result."""
    first, second_runs = Feeling(), asyncio.Event()

    async def attempt(way: Way) -> str:
        if way.route.hops == ("1",):
            second_runs.set()
            await asyncio.Event().wait()
        first.becomes(Health.SUSPECT)
        await second_runs.wait()
        return "0"

    assert race(attempt, first, Feeling()) == ("0", [])


def test_a_failure_brings_in_the_next_way_and_the_last_error_is_told() -> None:
    """Each way is tried once; when all fail, what the last one said is raised, and without a way, that."""
    tried: list[str] = []

    async def attempt(way: Way) -> str:
        tried.append(way.route.hops[0])
        raise CloudTimedOut(f"over {way.route.hops[0]}")

    with pytest.raises(CloudTimedOut, match="over 1"):
        race(attempt, Feeling(), Feeling())
    assert tried == ["0", "1"]
    with pytest.raises(CloudUnavailable):
        race(attempt)


def test_two_that_succeed_at_once_leave_nothing_behind() -> None:
    """What is too late is handed back, to be closed."""
    first, both = Feeling(), asyncio.Event()

    async def attempt(way: Way) -> str:
        if way.route.hops == ("1",):
            both.set()
        else:
            first.becomes(Health.SUSPECT)
            await both.wait()
        return way.route.hops[0]

    won, discarded = race(attempt, first, Feeling())
    assert {won, *discarded} == {"0", "1"}
