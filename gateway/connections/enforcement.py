"""See to it, within a second, that what is not granted any more does not go on: driver calls are cut, tunnels let go.

What decides is in the database alone. Whoever ends or narrows a grant only writes, and wakes this; without a wake, and
when a grant's time runs out, it is seen within ``review_s``. Passages look after themselves.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from catalog.model.connection import Connection, ConnectionState
from catalog.model.ids import ConnectionId
from catalog.ports import Clock
from catalog.store.database import Database, Tx
from catalog.store.rows import where
from gateway.connections.running_calls import RunningCalls
from gateway.connections.tunnels import LiveConnections
from gateway.connections.watched import REVIEW_S, Watched

log = logging.getLogger(__name__)

_OVER = frozenset({ConnectionState.FAILED, ConnectionState.CLOSED})


class Enforcement:
    """The service that reviews what runs under grants in this process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        calls: RunningCalls,
        live: LiveConnections,
        let_go: Callable[[ConnectionId], None],
        *,
        review_s: float = REVIEW_S,
    ) -> None:
        """``let_go`` is told of each connection whose row is over while its tunnel stands."""
        self._database = database
        self._clock = clock
        self._calls = calls
        self._live = live
        self._let_go = let_go
        self._review_s = review_s
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look now: something was written that may end what runs."""
        self._woken.set()

    async def run(self) -> None:
        """Look when woken, and every ``review_s``, until cancelled."""
        while True:
            self._woken.clear()
            await self.review()
            try:
                async with asyncio.timeout(self._review_s):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def review(self) -> None:
        """Cut the calls that no grant covers any more, and have the tunnels of connections that are over closed."""
        if not len(self._calls) and not len(self._live):
            return
        now_s = self._clock.now_s()
        held = self._live.ids()

        def look(tx: Tx) -> tuple[dict[Watched, str], Sequence[Connection]]:
            return self._calls.verdicts(tx, now_s), where(tx, Connection, id=held, state=_OVER)

        verdicts, over = await self._database.read(look)
        for call, reason in verdicts.items():
            call.end(reason)
        for connection in over:
            self._let_go(connection.id)
        if verdicts:
            log.info("driver calls cut", extra={"count": len(verdicts)})
