"""What every PlatformLink promises, in memory and over HTTP to a real connector alike."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from catalog.messages.handshake import GrantedCapability
from catalog.ports import PlatformLink
from gateway.connector import answer
from gateway.connector.policy import Verdict
from gateway.connector.settings import read_settings
from tests.support.clocks import ManualClock
from tests.support.platform_links import GRANT_ASK_DENY, InMemoryPlatformLink, linked, request, write_config

Answer = Callable[[str, str, Verdict], None]
Open = Callable[[str], AbstractAsyncContextManager[tuple[PlatformLink, Answer]]]


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands at 1,800,000,000 s."""
    return ManualClock()


@pytest.fixture(params=["in memory", "http"])
def open_link(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Open:
    """How to open a link to a platform with a given policy, for each implementation."""

    @asynccontextmanager
    async def in_memory(policy: str) -> AsyncIterator[tuple[PlatformLink, Answer]]:
        link = InMemoryPlatformLink(read_settings(write_config(tmp_path, policy)).policy, clock)
        yield link, link.answer

    @asynccontextmanager
    async def over_http(policy: str) -> AsyncIterator[tuple[PlatformLink, Answer]]:
        config = write_config(tmp_path, policy)
        async with linked(config, clock) as link:
            yield link, lambda *said: answer(config, *said)

    return in_memory if request.param == "in memory" else over_http


def run(open_link: Open, policy: str, check: Callable[[PlatformLink, Answer], Awaitable[None]]) -> None:
    """Open a link to a platform with ``policy`` and run ``check`` on it."""

    async def main() -> None:
        async with open_link(policy) as (link, say):
            await check(link, say)

    asyncio.run(main())


def test_service_information_is_the_owners_and_repeatable(open_link: Open) -> None:
    """The owner's words arrive unchanged, twice."""

    async def check(link: PlatformLink, _say: Answer) -> None:
        first = await link.service_information()
        assert (first.provider, first.region) == ("simulated", "north-1")
        assert first.services == ("machine", "image", "size", "location")
        assert first.facts == {"owner": "North Cloud AG"}
        assert await link.service_information() == first

    run(open_link, GRANT_ASK_DENY, check)


def test_a_decision_grants_what_both_want_within_the_rule(open_link: Open, clock: ManualClock) -> None:
    """Granted are the verbs in both lists, with quota and end (now + 3600 s); asked waits; denied is absent."""

    async def check(link: PlatformLink, _say: Answer) -> None:
        decision = await link.authorize(request())
        assert decision.granted == (
            GrantedCapability(
                capability="machine", verbs=("create", "list"), quota=5, expires_at_s=clock.now_s() + 3600
            ),
        )
        assert decision.pending == ("image",)
        assert decision.signed

    run(open_link, GRANT_ASK_DENY, check)


def test_nothing_granted_is_an_empty_decision(open_link: Open) -> None:
    """A platform that denies, or has no rule for, everything asked gives a decision without grants, not an error."""

    async def check(link: PlatformLink, _say: Answer) -> None:
        decision = await link.authorize(request("grant_2", size=("list",), volume=("list",)))
        assert (decision.request_id, decision.granted, decision.pending) == ("grant_2", (), ())

    run(open_link, GRANT_ASK_DENY, check)


def test_the_same_request_gets_the_same_decision(open_link: Open, clock: ManualClock) -> None:
    """A repeated request changes nothing, not even the end of a grant that counts from when it was given."""

    async def check(link: PlatformLink, _say: Answer) -> None:
        first = await link.authorize(request())
        clock.advance(50)
        again = await link.authorize(request())
        assert (again.granted, again.pending) == (first.granted, first.pending)

    run(open_link, GRANT_ASK_DENY, check)


@pytest.mark.parametrize(
    ("verdict", "granted"),
    [
        pytest.param(Verdict.GRANT, ["image", "machine"], id="owner grants"),
        pytest.param(Verdict.DENY, ["machine"], id="owner denies"),
    ],
)
def test_what_waits_for_the_owner_is_decided_by_the_owner(
    open_link: Open, verdict: Verdict, granted: list[str]
) -> None:
    """After the owner's answer the same request no longer pends, and what was granted before is still granted."""

    async def check(link: PlatformLink, say: Answer) -> None:
        before = await link.authorize(request())
        assert before.pending == ("image",)
        say("grant_1", "image", verdict)
        after = await link.authorize(request())
        assert sorted(grant.capability for grant in after.granted) == granted
        assert after.pending == ()
        assert set(before.granted) <= set(after.granted)

    run(open_link, GRANT_ASK_DENY, check)
