"""Work at platforms, each by itself: none waits for another, none is worked on twice at once, each has its deadline.

A slow or hostile platform uses up its own time only. Those that did badly the last time share places of their own, so
that however many they are, the others find theirs free.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from catalog.model.ids import PlatformId
from catalog.ports import Clock
from gateway.background.runner import BackgroundTask, contained
from gateway.connections.steps import KNOWN_ERRORS

log = logging.getLogger(__name__)

Visit = Callable[[], Awaitable[object]]

AT_ONCE = 8  # platforms that did well the last time, or are new
DOUBTFUL_AT_ONCE = 4  # platforms whose last visit failed or was slow
SLOW_S = 10.0  # a visit that takes longer would be felt by whoever waits for its place
WELL_AFTER_S = 300.0  # not every visit meets what went wrong in the last one
_SLOW = "slow"
_LOOK_TIMEOUT_S = 60.0  # of asking our own database who is due


class Rounds:
    """Who is due is asked every ``period_s`` and when woken, and each of them visited, ``visit_timeout_s`` at most.

    What a visit fails with is logged when it begins and when it is over, and concerns nobody else. Work for a runner.
    """

    def __init__(
        self,
        name: str,
        due: Callable[[], Awaitable[Mapping[PlatformId, Visit]]],
        *,
        period_s: float,
        visit_timeout_s: float,
        is_always_due: bool = False,
    ) -> None:
        """``due`` returns the visits that are due now, by platform; it asks no platform itself.

        Where every platform ``is_always_due``, one that was due in the middle of its visit waits for the next look.
        """
        self.name = name
        self._due = due
        self._visit_timeout_s = visit_timeout_s
        self._is_always_due = is_always_due
        self._failing: dict[PlatformId, str] = {}  # -> the code of what its last visit failed with
        self._doubtful: dict[PlatformId, tuple[str, float]] = {}  # -> the last trouble's code, and when it was
        self._under_way: set[PlatformId] = set()
        self._again: set[PlatformId] = set()  # those that were due in the middle of a visit
        self._places = asyncio.Semaphore(AT_ONCE)
        self._doubtful_places = asyncio.Semaphore(DOUBTFUL_AT_ONCE)
        self._visits: asyncio.TaskGroup | None = None
        self._task = BackgroundTask(name=name, run_once=self._look, period_s=period_s, timeout_s=_LOOK_TIMEOUT_S)

    def wake(self) -> None:
        """Ask now who is due."""
        self._task.wake()

    def status(self) -> dict[str, Any]:
        """Return what the API shows of this work, with the platforms whose last visit failed, and in what."""
        return {**self._task.status(), "failing": dict(sorted(self._failing.items()))}

    async def run_forever(self, clock: Clock) -> None:
        """Run until cancelled; what is under way then is cut off."""
        async with asyncio.TaskGroup() as self._visits:
            await self._task.run_forever(clock)

    async def begin(self, visits: asyncio.TaskGroup) -> None:
        """Begin in ``visits`` what is due and not under way, and return without waiting for its end."""
        due = await self._due()
        if not self._is_always_due:
            self._again |= due.keys() & self._under_way
        for platform in sorted(due.keys() - self._under_way):
            self._under_way.add(platform)
            visits.create_task(self._visited(platform, due[platform]), name=f"{self.name} {platform}")

    async def _look(self) -> None:
        if self._visits is None:
            raise AssertionError("only run_forever looks")
        await self.begin(self._visits)

    async def _visited(self, platform: PlatformId, visit: Visit) -> None:
        following: Visit | None = visit
        try:
            while following is not None:
                async with self._doubtful_places if platform in self._doubtful else self._places:
                    self._note(platform, await self._ended(following))
                following = await self._following(platform)
        finally:
            self._under_way.discard(platform)
            self._again.discard(platform)

    async def _following(self, platform: PlatformId) -> Visit | None:
        """Return the visit that came due in the middle of the last one, after which nobody else need be looked at."""
        if platform not in self._again:
            return None
        # What it was due for may have come after the visit had looked.
        self._again.discard(platform)
        try:
            async with asyncio.timeout(_LOOK_TIMEOUT_S):
                return (await contained(self._due, (*KNOWN_ERRORS, TimeoutError))).get(platform)
        except (*KNOWN_ERRORS, TimeoutError):
            # The next look says what is the matter.
            self.wake()
            return None

    async def _ended(self, visit: Visit) -> str:
        """Return the code of what ``visit`` ended in, "slow" when it took long, "" when all is well."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            async with asyncio.timeout(self._visit_timeout_s):
                await contained(visit, (*KNOWN_ERRORS, TimeoutError))
        except KNOWN_ERRORS as error:
            return error.code
        except TimeoutError:
            return "cut-off"
        return _SLOW if loop.time() - began_s > SLOW_S else ""

    def _note(self, platform: PlatformId, code: str) -> None:
        now_s = asyncio.get_running_loop().time()
        before, at_s = self._doubtful.get(platform, ("", 0.0))
        facts = {"task": self.name, "platform": platform}
        if code in {"", _SLOW}:
            self._failing.pop(platform, None)
        else:
            self._failing[platform] = code
        if code:
            self._doubtful[platform] = (code, now_s)
            if code != before:
                log.info("platform not worked on as it should be", extra={**facts, "code": code})
        elif before and now_s - at_s >= WELL_AFTER_S:
            del self._doubtful[platform]
            log.info("platform worked on again", extra={**facts, "code": before})
