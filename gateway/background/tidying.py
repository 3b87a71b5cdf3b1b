"""Forget what nobody can ask for any more: answers kept for repeats, handled messages, all but the newest steps."""

from collections.abc import Callable
from typing import Protocol

from catalog.ports import Clock, MessageQueue
from catalog.store.database import Database, Tx
from catalog.store.tidy import tidy
from gateway.background.runner import BackgroundTask

# A message may come again while its id is remembered; a day outlasts every redelivery.
HANDLED_KEPT_S = 86_400.0


class Records(Protocol):
    """The provisioner's journal, as far as it is tidied here."""

    async def tidy(self, before_s: float) -> object:
        """Forget what ended before ``before_s``. May be repeated."""
        ...


def tidy_work(
    database: Database, clock: Clock, queue: MessageQueue, expire: Callable[[Tx, float], object]
) -> BackgroundTask:
    """Return the task; ``expire`` forgets the answers that were kept for repeats."""

    async def run_once() -> None:
        await database.write(lambda tx: (expire(tx, clock.now_s()), tidy(tx, clock.now_s())))
        await queue.forget_done(clock.now_s() - HANDLED_KEPT_S)

    return BackgroundTask(name="tidy", run_once=run_once, period_s=3600.0, timeout_s=60.0)


def tidy_records_work(records: Records, clock: Clock) -> BackgroundTask:
    """Return the task of the provisioner, wherever that runs."""

    async def run_once() -> None:
        await records.tidy(clock.now_s() - HANDLED_KEPT_S)

    return BackgroundTask(name="tidy-records", run_once=run_once, period_s=3600.0, timeout_s=60.0)
