"""What keeps machines as they should be: looked at, by the clock, within their budget, changed to the end."""

from collections.abc import Sequence

from catalog.clouds import Clouds
from catalog.ports import Clock
from catalog.store.database import Database
from gateway.background.changes import FinishChanges
from gateway.background.refresh_machines import RefreshMachines
from gateway.background.rounds import Rounds
from gateway.background.schedules import KeepSchedules
from gateway.background.spending import StopSpending


def machine_work(database: Database, clock: Clock, clouds: Clouds) -> Sequence[Rounds]:
    """Return the work, each kind at every platform by itself."""
    machines = RefreshMachines(database=database, clock=clock, clouds=clouds)
    schedules = KeepSchedules(database=database, clock=clock, clouds=clouds)
    spending = StopSpending(database=database, clock=clock, clouds=clouds)
    changes = FinishChanges(database=database, clock=clock, clouds=clouds)
    return (
        Rounds("machines", machines.due, period_s=60.0, visit_timeout_s=300.0, is_always_due=True),
        Rounds("schedules", schedules.due, period_s=15.0, visit_timeout_s=300.0),
        Rounds("spending", spending.due, period_s=60.0, visit_timeout_s=300.0),
        Rounds("changes", changes.due, period_s=60.0, visit_timeout_s=900.0),
    )
