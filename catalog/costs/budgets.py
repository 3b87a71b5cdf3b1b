"""Budgets by the month: alerts when a share of one is spent, and orders that are refused beyond it.

Asked in the transaction of the order, so that many at once cannot each find the same money. What cannot be counted (a
price that is unknown or in another currency, where the budget does not say what such an hour counts for) is not
admitted under a budget that stops orders, and makes what is spent "at least" so much elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from catalog.costs.tally import Cost, Month, Tally, hourly, hours_in, tally
from catalog.errors import BudgetExceeded, InvalidValue
from catalog.holders import Holder, holder, holders_of, projects_of
from catalog.model.budget import Budget
from catalog.model.ids import ProjectId
from catalog.prices.currencies import CURRENCIES
from catalog.prices.lines import plain
from catalog.store import costs, events, rows
from catalog.store.costs import Use
from catalog.store.database import Tx
from catalog.store.telling import telling

_CENT = Decimal("0.01")
_FIX = "wait for the next month, end a machine, or ask an admin for a larger budget"
_FIX_UNKNOWN = (
    "an admin imports the prices (crossway price import), or says what an hour without a price counts for "
    "(crossway budget set --unknown-hourly)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a budget stands; not ``is_complete`` when some machine could not be counted: it is at least so much."""

    cost: Cost
    is_complete: bool

    def ratio(self, budget: Budget) -> float:
        """Return which share of the budget is spent; of a budget of 0, all of it."""
        amount = Decimal(budget.amount)
        return float(self.cost.spent / amount) if amount else 1.0

    def is_spent(self, budget: Budget) -> bool:
        """Return whether nothing is left of the budget."""
        return self.cost.spent >= Decimal(budget.amount)


def cost_of(tx: Tx, whose: Holder, month: Month, now_s: float) -> Tally:
    """Return what the holder's machines cost in ``month``."""
    return tally(costs.uses(tx, projects_of(tx, whose), month.begin_s, month.end_s), month, now_s)


def change(tx: Tx, whose: Holder, changes: Mapping[str, Any], now_s: float) -> Budget:
    """Set what is named of the holder's budget and return it; a first one needs ``amount`` and ``currency``.

    Raises InvalidValue naming the field. Alerts of this month are given again for the new terms; a stop is announced
    again only where they leave something to spend, or begin to stop machines: no change holds off what was announced.
    """
    if changes.get("currency") is not None and changes["currency"] not in CURRENCIES:
        raise InvalidValue("this is no currency", field="currency", fix="its ISO 4217 code, such as EUR")
    wanted = {**changes, "alerted_month": "", "alerted_ratio": 0.0}
    if "alert_ratios" in wanted:
        wanted["alert_ratios"] = sorted(set(wanted["alert_ratios"]))
    held = rows.find(tx, Budget, whose.id)
    if held is not None:
        if _is_announced_anew(tx, whose, held, wanted, now_s):
            wanted |= {"stop_month": "", "stop_at_s": None}
        return rows.update(tx, held, wanted, now_s)
    for field in ("amount", "currency"):
        if wanted.get(field) is None:
            raise InvalidValue("a new budget needs it", field=field, fix="give amount and currency")
    return rows.insert(tx, Budget(id=whose.id, **wanted), now_s)


def standing(budget: Budget, found: Tally) -> Standing:
    """Return how ``budget`` stands when its holder's machines cost ``found``."""
    known = found.by_currency.get(budget.currency, Cost())
    others = found.other_hours(budget.currency)
    if budget.unknown_hourly is not None:
        return Standing(cost=known + others * Decimal(budget.unknown_hourly), is_complete=True)
    return Standing(cost=known, is_complete=not others.forecast)


def refuse_beyond(
    tx: Tx, project_id: ProjectId, *, price: Mapping[str, Any] | None, lease_s: float | None, now_s: float
) -> None:
    """Raise BudgetExceeded when a budget that stops orders has no room for one more machine until the month ends.

    ``price`` is as an order keeps it, ``lease_s`` how long the machine is lent.
    """
    ends_at_s = None if lease_s is None else now_s + lease_s
    _refuse(tx, project_id, Use(price=price, from_s=now_s, to_s=None, lease_ends_at_s=ends_at_s), now_s)


def refuse_over(tx: Tx, project_id: ProjectId, now_s: float) -> None:
    """Raise BudgetExceeded when a budget that stops orders has no room until the month ends for what is there.

    For a machine that is there and has just become dearer.
    """
    _refuse(tx, project_id, None, now_s)


def _refuse(tx: Tx, project_id: ProjectId, more: Use | None, now_s: float) -> None:
    month = Month.at(now_s)
    for whose in holders_of(tx, project_id):
        budget = rows.find(tx, Budget, whose.id)
        if budget is None or not (budget.stops_orders or budget.stops_machines):
            continue
        wanted = Decimal(0) if more is None else estimate(budget, more, month, now_s)
        found = cost_of(tx, whose, month, now_s)
        if words := shortage(budget, found, wanted):
            is_known = wanted is not None and standing(budget, found).is_complete
            message = f"the budget of {whose} for {month.name} is {words}"
            raise BudgetExceeded(message, field="budget", fix=_FIX if is_known else _FIX_UNKNOWN)


def estimate(budget: Budget, use: Use, month: Month, now_s: float) -> Decimal | None:
    """Return what a machine will have cost when its lease or the month ends; None: it cannot be counted."""
    hours = hours_in(use, month, now_s).forecast
    each, currency = hourly(use.price)
    if each is None or currency != budget.currency:
        each = None if budget.unknown_hourly is None else Decimal(budget.unknown_hourly)
    return None if each is None else hours * each


def shortage(budget: Budget, found: Tally, wanted: Decimal | None) -> str:
    """Return in words why ``budget`` has no room for ``wanted`` more beside ``found``; "" when it has."""
    now = standing(budget, found)
    total = f"{budget.amount} {budget.currency}"
    if wanted is None or not now.is_complete:
        return f"{total}, and not every machine's price is known in {budget.currency}"
    if now.cost.forecast + wanted > Decimal(budget.amount):
        return (
            f"{total}: {shown(now.cost.spent)} are spent, what runs will make it {shown(now.cost.forecast)}, "
            f"{shown(wanted)} more are needed"
        )
    return ""


def is_alert_due(tx: Tx, now_s: float) -> bool:
    """Return whether ``alert`` would tell anything: adding up needs no write transaction."""
    month = Month.at(now_s)
    return any(_due(tx, budget, month, now_s)[0] is not None for budget in rows.where(tx, Budget))


def alert(tx: Tx, now_s: float) -> int:
    """Tell, once a month each, of every ratio that a budget's spending has reached, and return how many were told.

    Of several that are reached between two looks only the highest is told.
    """
    month = Month.at(now_s)
    return sum(_alert(tx, budget, month, now_s) for budget in rows.where(tx, Budget))


def due_ratio(budget: Budget, month: Month, ratio: float) -> float | None:
    """Return the highest of the budget's ratios that ``ratio`` has reached and nobody was told of; None for none."""
    told = budget.alerted_ratio if budget.alerted_month == month.name else 0.0
    return max((each for each in budget.alert_ratios if told < each <= ratio), default=None)


def shown(amount: Decimal) -> str:
    """Return an amount as people read it, to the cent, and exactly below one."""
    return f"{amount.quantize(_CENT)}" if amount >= _CENT or not amount else plain(amount.normalize())


def _is_announced_anew(tx: Tx, whose: Holder, held: Budget, wanted: Mapping[str, Any], now_s: float) -> bool:
    """Return whether the stop that was announced for this month, if any, does not hold under the wanted terms."""
    if wanted.get("stops_machines") and not held.stops_machines:
        return True
    after = Budget(
        id=held.id,
        amount=wanted.get("amount") or held.amount,
        currency=wanted.get("currency") or held.currency,
        unknown_hourly=wanted.get("unknown_hourly", held.unknown_hourly),
    )
    grows = Decimal(after.amount) > Decimal(held.amount)
    if not grows and (after.currency, after.unknown_hourly) == (held.currency, held.unknown_hourly):
        return False
    return not standing(after, cost_of(tx, whose, Month.at(now_s), now_s)).is_spent(after)


def _due(tx: Tx, budget: Budget, month: Month, now_s: float) -> tuple[float | None, Standing]:
    now = standing(budget, cost_of(tx, holder(tx, budget.id), month, now_s))
    return due_ratio(budget, month, now.ratio(budget)), now


def _alert(tx: Tx, budget: Budget, month: Month, now_s: float) -> int:
    ratio, now = _due(tx, budget, month, now_s)
    if ratio is None:
        return 0
    rows.update(tx, budget, {"alerted_month": month.name, "alerted_ratio": ratio}, now_s)
    about = telling(budget)
    assert about is not None
    told = {"month": month.name, "ratio": ratio, "spent": shown(now.cost.spent), "forecast": shown(now.cost.forecast)}
    events.append(tx, about, "budget.alert", {**about.facts, **told, "is_complete": now.is_complete}, now_s)
    return 1
