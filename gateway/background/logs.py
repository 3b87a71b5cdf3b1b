"""The upkeep of the event log and the audit log: old events are forgotten, the audit log's end is signed."""

from collections.abc import Sequence
from dataclasses import dataclass

from catalog import audit, events
from catalog.ports import Clock
from catalog.store.database import Database
from gateway.background.runner import BackgroundTask


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPolicy:
    """How long events are kept, and how often the audit log's end is signed."""

    events_kept_s: float = 30 * 86_400.0
    checkpoint_period_s: float = 60.0


def log_tasks(database: Database, clock: Clock, sign: audit.Sign, policy: LogPolicy) -> Sequence[BackgroundTask]:
    """Return the tasks that look after both logs."""

    async def forget() -> None:
        await database.write(lambda tx: events.forget(tx, clock.now_s(), kept_s=policy.events_kept_s))

    async def checkpoint() -> None:
        await database.write(lambda tx: audit.checkpoint(tx, sign, clock.now_s()))

    return (
        BackgroundTask(name="forget-events", run_once=forget, period_s=3600.0, timeout_s=60.0),
        BackgroundTask(name="sign-audit", run_once=checkpoint, period_s=policy.checkpoint_period_s, timeout_s=30.0),
    )
