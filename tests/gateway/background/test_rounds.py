"""Platforms are worked on each by itself: a hung, failing or slow one costs no other anything. Time jumps."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from catalog.errors import CloudUnavailable
from catalog.model.ids import PlatformId
from gateway.background.rounds import AT_ONCE, DOUBTFUL_AT_ONCE, WELL_AFTER_S, Rounds, Visit
from tests.support.autojump import LoopClock, run_autojump

PERIOD_S, TIMEOUT_S = 10.0, 100.0
GOOD, BAD = PlatformId("platform_good"), PlatformId("platform_bad")


@dataclass
class Work:
    """Visits of so many seconds, or that end in an error; what began, ended, and ran at once."""

    takes_s: dict[PlatformId, float] = field(default_factory=dict)
    errors: dict[PlatformId, Exception] = field(default_factory=dict)
    began: dict[PlatformId, list[float]] = field(default_factory=dict)
    ended: Counter[PlatformId] = field(default_factory=Counter)
    running: Counter[PlatformId] = field(default_factory=Counter)
    most_at_once: int = 0

    async def due(self) -> Mapping[PlatformId, Visit]:
        """Return a visit to each."""
        return {each: lambda each=each: self.visit(each) for each in (*self.takes_s, *self.errors)}

    async def visit(self, platform: PlatformId) -> None:
        """Do as is said of it."""
        self.began.setdefault(platform, []).append(asyncio.get_running_loop().time())
        self.running[platform] += 1
        assert self.running[platform] == 1, "two visits to one platform at once"
        self.most_at_once = max(self.most_at_once, self.running.total())
        try:
            if (error := self.errors.get(platform)) is not None:
                raise error
            await asyncio.sleep(self.takes_s[platform])
            self.ended[platform] += 1
        finally:
            self.running[platform] -= 1

    def run(self, seconds: float) -> "Work":
        """Let the rounds be made for so many virtual seconds."""

        async def run() -> None:
            rounds = Rounds("test", self.due, period_s=PERIOD_S, visit_timeout_s=TIMEOUT_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await rounds.run_forever(LoopClock())

        run_autojump(run)
        return self


def named(count: int) -> list[PlatformId]:
    """Return so many platforms that come before ``GOOD``, as far as an order matters."""
    return [PlatformId(f"platform_a{number:02}") for number in range(count)]


def longest_gap_s(work: Work, *, after_s: float) -> float:
    """Return the longest pause between two visits to the good platform, from ``after_s`` to 1000 s."""
    times = [after_s, *(at_s for at_s in work.began[GOOD] if at_s > after_s), 1000.0]
    return max(second - first for first, second in pairwise(times))


def test_who_hangs_delays_nobody_and_is_cut_off() -> None:
    """The good one is visited at 0, 10 .. 140 s; the bad one at 0 s and, cut off at 100 s, at once again."""
    work = Work(takes_s={BAD: 1e6, GOOD: 1.0}).run(145)
    assert work.began[GOOD] == [10.0 * number for number in range(15)]
    assert work.began[BAD] == [0.0, 100.0]
    assert (work.ended[BAD], work.ended[GOOD]) == (0, 15)


@pytest.mark.parametrize("error", [CloudUnavailable("down"), KeyError("a bug"), TimeoutError()], ids=repr)
def test_who_fails_harms_nobody(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """It is visited as often as the others, and its trouble told once."""
    with caplog.at_level(logging.INFO, logger="gateway.background.rounds"):
        work = Work(takes_s={GOOD: 1.0}, errors={BAD: error}).run(95)
    assert len(work.began[BAD]) == len(work.began[GOOD]) == 10
    told = [record for record in caplog.records if record.name == "gateway.background.rounds"]
    assert [(record.message, getattr(record, "platform", "")) for record in told] == [
        ("platform not worked on as it should be", BAD)
    ]


def test_however_many_hang_the_others_find_a_place() -> None:
    """Thirty hang: until each has been cut off once the good one may wait, from then on it is never late.

    The first look gives eight places to the hanging; they are cut off 100 s later, and the next eight; so by 400 s all
    thirty are known. Each of them after that shares four places, and the good one, in its own, is visited every 10 s.
    """
    work = Work(takes_s={**dict.fromkeys(named(30), 1e6), GOOD: 1.0}).run(1000)
    assert longest_gap_s(work, after_s=400) <= PERIOD_S
    assert work.most_at_once <= AT_ONCE + DOUBTFUL_AT_ONCE


def test_who_is_slow_but_well_gives_up_its_place_too() -> None:
    """Eight that take 60 s and succeed do not keep a ninth waiting twice."""
    work = Work(takes_s={**dict.fromkeys(named(AT_ONCE), 60.0), GOOD: 1.0}).run(1000)
    assert work.began[GOOD][0] == 60.0
    assert longest_gap_s(work, after_s=60) <= PERIOD_S
    assert all(work.ended[each] > 1 for each in named(AT_ONCE))


def test_who_does_well_again_gets_its_place_back() -> None:
    """A platform that failed shares the doubtful places, all of them taken, until it has been well for a while.

    Its trouble was at 0 s; the four that hang are known, and in those places, from 100 s on: so it waits until they are
    cut off, and once it was visited after ``WELL_AFTER_S`` it is never late.
    """
    work = Work(takes_s=dict.fromkeys(named(DOUBTFUL_AT_ONCE), 1e6), errors={GOOD: CloudUnavailable("down")})

    async def run() -> None:
        rounds = Rounds("test", work.due, period_s=PERIOD_S, visit_timeout_s=TIMEOUT_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1000), asyncio.TaskGroup() as tasks:
                tasks.create_task(rounds.run_forever(LoopClock()))
                await asyncio.sleep(5)
                del work.errors[GOOD]
                work.takes_s[GOOD] = 1.0

    run_autojump(run)
    assert longest_gap_s(work, after_s=WELL_AFTER_S + 2 * TIMEOUT_S) <= PERIOD_S


def test_news_in_the_middle_of_a_visit_are_not_missed() -> None:
    """Woken while its visit is under way, a platform is visited again as soon as that has ended, once."""
    work = Work(takes_s={GOOD: 3.0})

    async def run() -> None:
        rounds = Rounds("test", work.due, period_s=1000.0, visit_timeout_s=TIMEOUT_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(50), asyncio.TaskGroup() as tasks:
                tasks.create_task(rounds.run_forever(LoopClock()))
                for _ in range(2):
                    await asyncio.sleep(1)
                    rounds.wake()

    run_autojump(run)
    assert work.began[GOOD] == [0.0, 3.0]


def test_news_of_one_platform_are_no_look_at_the_others() -> None:
    """One whose visits outlast the period is visited again at once, and the others at their looks alone."""
    work = Work(takes_s={BAD: 13.0, GOOD: 1.0}).run(95)
    assert work.began[GOOD] == [10.0 * number for number in range(10)]
    assert work.began[BAD] == [13.0 * number for number in range(8)]


def test_who_is_always_due_waits_for_the_next_look() -> None:
    """Where everybody is due at every look, being due in the middle of a visit is no news: there is a pause."""
    work = Work(takes_s={BAD: 13.0, GOOD: 1.0})

    async def run() -> None:
        rounds = Rounds("test", work.due, period_s=PERIOD_S, visit_timeout_s=TIMEOUT_S, is_always_due=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(95):
                await rounds.run_forever(LoopClock())

    run_autojump(run)
    assert work.began == {BAD: [20.0 * number for number in range(5)], GOOD: [10.0 * number for number in range(10)]}


def test_the_status_says_whose_visits_fail() -> None:
    """By platform, in what the last visit failed, until one has ended well; who is only slow does not fail."""
    work = Work(takes_s={GOOD: 15.0}, errors={BAD: CloudUnavailable("down")})

    async def run() -> None:
        rounds = Rounds("test", work.due, period_s=PERIOD_S, visit_timeout_s=TIMEOUT_S)
        seen = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                tasks.create_task(rounds.run_forever(LoopClock()))
                await asyncio.sleep(25)
                seen.append(rounds.status()["failing"])
                del work.errors[BAD]
                work.takes_s[BAD] = 1.0
                await asyncio.sleep(20)
                seen.append(rounds.status()["failing"])
        assert seen == [{BAD: "cloud-unavailable"}, {}]

    run_autojump(run)
