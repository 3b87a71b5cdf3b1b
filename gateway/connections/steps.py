"""The steps of a connection, recorded as they pass: what a crash leaves behind, and what a watcher sees."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from catalog.connections import record_step
from catalog.errors import CatalogError
from catalog.model.ids import ConnectionId
from catalog.ports import Checkpoint, Clock
from catalog.store.database import Database
from gateway.errors import GatewayError
from routing.errors import RoutingError

log = logging.getLogger(__name__)

# In the order in which they pass. Crash tests die at the beginning and the end of each, so a step that is
# added here without surviving that fails the suite.
CONNECT_STEPS = (
    "connect.snapshot",
    "connect.enumerate",
    "connect.probe",
    "connect.rank",
    "connect.tunnel",
    "connect.sessions",
    "connect.log-in",
    "connect.handshake",
    "connect.publish",
    "connect.establish",
)

# What a step may end in besides success; anything else is a bug and reaches the runner.
KNOWN_ERRORS = (CatalogError, GatewayError, RoutingError)


class StepLog:
    """Writes StepRecords and tells the checkpoint, so that crash tests can stop exactly here."""

    def __init__(self, database: Database, clock: Clock, checkpoint: Checkpoint) -> None:
        """Take where to write and whom to tell."""
        self._database = database
        self._clock = clock
        self._checkpoint = checkpoint

    @asynccontextmanager
    async def step(self, subject: ConnectionId, name: str) -> AsyncIterator[None]:
        """Record that ``name`` began, and then that it is done or failed with which code."""
        if name not in CONNECT_STEPS:
            raise AssertionError(f"{name} is not in CONNECT_STEPS")
        await self.note(subject, name, "begun")
        self._checkpoint.reached(f"{name}.begin")
        try:
            yield
        except KNOWN_ERRORS as error:
            await self.note(subject, name, "failed", detail=f"{error.code}: {error}")
            raise
        await self.note(subject, name, "done")
        self._checkpoint.reached(f"{name}.end")

    async def note(self, subject: ConnectionId, name: str, outcome: str, *, detail: str = "") -> None:
        """Record one line."""
        now_s = self._clock.now_s()
        await self._database.write(lambda tx: record_step(tx, subject, name, outcome, now_s, detail=detail))
        log.debug("connection step", extra={"connection": subject, "step": name, "outcome": outcome})
