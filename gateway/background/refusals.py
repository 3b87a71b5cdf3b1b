"""Write down how often calls were refused that were refused before: when their minute is over, and at the end."""

from functools import partial

from catalog import refusals
from catalog.ports import Clock
from catalog.refusals import MINUTE_S, Refusals
from catalog.store.database import Database
from gateway.background.runner import BackgroundTask

NAME = "refusals"
PERIOD_S = 15.0
AT_ONCE = 50  # chained one by one, some ms each: other writers wait for one part and not for all of them


def refusal_work(database: Database, clock: Clock, noted: Refusals) -> BackgroundTask:
    """Return the task that records ``noted``; what could not be recorded is tried again."""

    async def tell(begun_by_s: float) -> None:
        now_s = clock.now_s()
        repeated = noted.end_minutes(now_s, begun_by_s=begun_by_s)
        for start in range(0, len(repeated), AT_ONCE):
            part = repeated[start : start + AT_ONCE]
            await database.write(partial(refusals.record, repeated=part, now_s=now_s))
            noted.told(part)

    return BackgroundTask(
        name=NAME,
        run_once=lambda: tell(clock.now_s() - MINUTE_S),
        period_s=PERIOD_S,
        timeout_s=30.0,
        at_end=lambda: tell(float("inf")),
    )
