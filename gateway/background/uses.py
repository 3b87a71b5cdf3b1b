"""Write down who called: once a minute and once more at the end, so that no call waits for it or fails by it."""

from functools import partial

from catalog import last_used
from catalog.last_used import LastUsed
from catalog.store.database import Database
from gateway.background.runner import BackgroundTask

PERIOD_S = 60.0
AT_ONCE = 500  # other writers wait for one part and not for all of them


def use_work(database: Database, uses: LastUsed) -> BackgroundTask:
    """Return the task that writes ``uses``; what could not be written is tried again with what came since."""

    async def run_once() -> None:
        unwritten = list(uses.unwritten().items())
        for start in range(0, len(unwritten), AT_ONCE):
            part = dict(unwritten[start : start + AT_ONCE])
            await database.write(partial(last_used.write, used=part))
            uses.written(part)

    return BackgroundTask(name="last-used", run_once=run_once, period_s=PERIOD_S, timeout_s=30.0, at_end=run_once)
