"""One look at every platform that is due, waited for to the end, as a test needs it."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Protocol

from catalog.model.ids import PlatformId
from gateway.background.rounds import Rounds, Visit


class Due(Protocol):
    """What looks after platforms."""

    def due(self) -> Awaitable[Mapping[PlatformId, Visit]]:
        """Return the visits that are due."""


async def one_round(work: Due) -> None:
    """Visit whoever is due, as the gateway does, and wait until all visits have ended."""
    rounds = Rounds("one", work.due, period_s=3600.0, visit_timeout_s=60.0)
    async with asyncio.TaskGroup() as visits:
        await rounds.begin(visits)
