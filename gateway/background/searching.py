"""Read what can be searched before somebody searches, after a start and after changes: no search waits for it."""

from catalog.ports import Clock
from catalog.search.index import SearchIndex
from catalog.store.database import Database
from gateway.background.runner import BackgroundTask

AT_ONCE = 8  # offers' rows in one transaction: some tenths of a second, so that an end never waits for all of them


def search_work(database: Database, clock: Clock, index: SearchIndex) -> BackgroundTask:
    """Return the task that keeps ``index`` loaded."""

    async def run_once() -> None:
        while await database.read(lambda tx: index.load(tx, clock.now_s(), AT_ONCE)):
            pass
        await database.read(lambda tx: index.whole(tx, clock.now_s()))

    return BackgroundTask(name="search", run_once=run_once, period_s=15.0, timeout_s=300.0)
