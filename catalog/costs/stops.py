"""Budgets that stop machines: announced an hour before the money is spent, carried out once it is.

Each machine is stopped once for each time that it comes to this; nobody starts it again but an admin, its schedule
included, while the budget is spent. A new month, or a larger budget, starts nothing: people and schedules do.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from catalog import unattended
from catalog.clouds import MachineAction
from catalog.costs import budgets
from catalog.costs.tally import Month
from catalog.errors import BudgetExceeded
from catalog.holders import Holder, holder, holders_of, projects_of
from catalog.model.budget import Budget
from catalog.model.ids import ProjectId
from catalog.model.machine import Custody, Machine, MachineState
from catalog.store import costs, events, rows
from catalog.store.database import Tx
from catalog.store.telling import telling
from catalog.unattended import Cause

ANNOUNCED_S: Final = 3600.0  # so long before machines stop their project is told: long enough to save one's work
_FIX = "wait for the next month, or ask for a larger budget"


def is_announcement_due(tx: Tx, now_s: float) -> bool:
    """Return whether ``announce`` would tell anything."""
    return any(_is_coming(tx, budget, now_s) for budget in _stopping(tx))


def announce(tx: Tx, now_s: float) -> int:
    """Tell, once a month each, of every budget that will be spent in an hour and then stops machines."""
    coming = [budget for budget in _stopping(tx) if _is_coming(tx, budget, now_s)]
    for budget in coming:
        month, stops_at_s = Month.at(now_s), now_s + ANNOUNCED_S
        rows.update(tx, budget, {"stop_month": month.name, "stop_at_s": stops_at_s}, now_s)
        about = telling(budget)
        assert about is not None
        told = {"month": month.name, "stops_at_s": stops_at_s}
        events.append(tx, about, "budget.stop-announced", {**about.facts, **told}, now_s)
    return len(coming)


def to_stop(tx: Tx, now_s: float, limit: int) -> Sequence[Machine]:
    """Return machines in use whose budget is spent, and which were not stopped for it yet.

    Up to ``limit`` for each budget at each platform.
    """
    found: dict[str, Machine] = {}
    for budget in _stopping(tx):
        if _is_spent(tx, budget, now_s):
            whose = projects_of(tx, holder(tx, budget.id))
            still = costs.unstopped(tx, whose, budget.stop_at_s or 0.0, limit)
            found |= {machine.id: machine for machine in still}
    return list(found.values())


def has_to_stop(tx: Tx, machine_id: str, now_s: float) -> bool:
    """Return whether the machine is still one of those that ``to_stop`` returns: no budget was raised meanwhile."""
    machine = rows.by_id(tx, Machine, machine_id)
    if machine.project_id is None or machine.state is not MachineState.IN_USE or machine.custody == Custody.OBSERVED:
        return False
    stopped_s = machine.budget_stop_s
    return any(
        stopped_s is None or stopped_s < (budget.stop_at_s or 0.0)
        for _, budget in _spent_over(tx, machine.project_id, now_s)
    )


def note_stop(tx: Tx, machine_id: str, now_s: float, *, was_changed: bool, failure: str = "") -> None:
    """Note that the machine was stopped because its budget is spent, or could not be, and tell its project."""
    machine = rows.by_id(tx, Machine, machine_id)
    rows.update(tx, machine, {"budget_stop_s": now_s}, now_s)
    if not was_changed and not failure:
        return
    unattended.tell(tx, machine, MachineAction.STOP, Cause.BUDGET, now_s, failure=failure)


def refuse_start(tx: Tx, project_id: ProjectId | None, now_s: float) -> None:
    """Raise BudgetExceeded while a spent budget stops the machines of the project."""
    spent = next(_spent_over(tx, project_id, now_s), None) if project_id is not None else None
    if spent is not None:
        whose, _ = spent
        raise BudgetExceeded(f"the budget of {whose} is spent, and stops machines", field="budget", fix=_FIX)


def _spent_over(tx: Tx, project_id: ProjectId, now_s: float) -> Iterator[tuple[Holder, Budget]]:
    """Yield the spent budgets that stop the project's machines now, the project's own first, with whose each is."""
    for whose in holders_of(tx, project_id):
        budget = rows.find(tx, Budget, whose.id)
        if budget is not None and budget.stops_machines and _is_spent(tx, budget, now_s):
            yield whose, budget


def _stopping(tx: Tx) -> Sequence[Budget]:
    return rows.where(tx, Budget, stops_machines=True)


def _is_coming(tx: Tx, budget: Budget, now_s: float) -> bool:
    """Return whether the budget will be spent in an hour, as things are, and nobody was told of it this month."""
    return budget.stop_month != Month.at(now_s).name and _spent(tx, budget, now_s, in_s=ANNOUNCED_S)


def _is_spent(tx: Tx, budget: Budget, now_s: float) -> bool:
    if budget.stop_month != Month.at(now_s).name or budget.stop_at_s is None or now_s < budget.stop_at_s:
        return False
    return _spent(tx, budget, now_s)


def _spent(tx: Tx, budget: Budget, now_s: float, *, in_s: float = 0.0) -> bool:
    """Return whether all of the budget is spent ``in_s`` from now, at most at the end of the month."""
    month = Month.at(now_s)
    at_s = min(now_s + in_s, month.end_s)
    tally = budgets.cost_of(tx, holder(tx, budget.id), month, at_s)
    return budgets.standing(budget, tally).is_spent(budget)
