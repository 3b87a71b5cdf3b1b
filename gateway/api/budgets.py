"""Budgets by the month, and what machines cost."""

from typing import Annotated

from pydantic import Field

from catalog.costs import budgets
from catalog.costs.tally import Cost, Month, Tally
from catalog.delegation import check_budget
from catalog.errors import InvalidValue, NotFound
from catalog.holders import Holder, holder
from catalog.model.budget import Budget
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Composite, Nothing, Out, absent, stamp
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.holders import named, own_holder

routes = Routes("budgets")

Amount = Annotated[
    str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$", max_length=19, description="An exact decimal number.")
]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", max_length=3, description="ISO 4217; nothing is converted.")]
Ratio = Annotated[float, Field(gt=0, le=100)]
Ratios = Annotated[
    list[Ratio],
    Field(max_length=16, description="Shares of the amount, such as 0.8: each is told as `budget.alert` once spent."),
]
Stops = Annotated[bool, Field(description="Refuse orders that would not fit until the end of the month.")]

StopsMachines = Annotated[
    bool,
    Field(description="Refuse such orders, and stop the machines once all is spent; told an hour before that."),
]


class BudgetChangesIn(Body):
    """What shall change; what is left out stays. A first one needs amount and currency."""

    amount: Amount = absent()
    currency: Currency = absent()
    alert_ratios: Ratios = absent()
    stops_orders: Stops = absent()
    stops_machines: StopsMachines = absent()
    unknown_hourly: Amount | None = Field(
        default=None, description="What an hour counts for that has no price in this currency; null: nobody can say."
    )


class BudgetOut(Composite):
    """A budget, and how it stands this month."""

    kind: str = Field(description="`project` or `organisation`.")
    reference: str = Field(description="`ORGANISATION/PROJECT`, or the organisation's name.")
    amount: str
    currency: str
    alert_ratios: list[float]
    stops_orders: bool
    stops_machines: bool
    unknown_hourly: str | None
    month: str
    spent: str
    forecast: str = Field(description="By the end of the month, if what is there stays as long as it is lent.")
    is_complete: bool = Field(description="false: some machine has no price that counts, so it is at least so much.")


class CostOut(Out):
    """What machines cost in one currency; hours are those that it was paid for."""

    currency: str
    spent: str
    forecast: str
    hours: float


class MonthCostOut(Out):
    """What the machines of a project or organisation cost in a month."""

    id: str = Field(description="The holder's.")
    kind: str
    reference: str
    month: str
    costs: list[CostOut]
    unknown_hours: float = Field(description="Of machines whose price nobody knows: they cost more than is said here.")


@routes.plain(
    "GET",
    "/v1/budgets",
    permission="budget:read",
    answer=BudgetOut,
    many=True,
    summary="List the budgets that were set",
)
def list_budgets(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of them: an admin's all, else those of the own projects and organisations."""
    mine = {} if call.sees_all else {"id": call.scope.projects | call.principal.owned}
    found = page(tx, Budget, limit=call.limit, token=call.page_token, where=mine)
    items = [_out(tx, holder(tx, row.id), row, call.now_s) for row in found.items]
    return Listing(items=items, next_token=found.next_token)


@routes.plain(
    "GET", "/v1/budgets/{holder}", permission="budget:read", answer=BudgetOut, summary="Show a budget and how it stands"
)
def get_budget(tx: Tx, call: Call[Nothing]) -> BudgetOut:
    """Return it."""
    whose = own_holder(tx, call)
    return _out(tx, whose, _held(tx, whose), call.now_s)


@routes.endpoint(
    "PATCH",
    "/v1/budgets/{holder}",
    permission="budget:write",
    body=BudgetChangesIn,
    answer=BudgetOut,
    errors=(InvalidValue,),
    summary="Set or change the budget of a project or organisation",
)
def change_budget(tx: Tx, call: Call[BudgetChangesIn]) -> BudgetOut:
    """Return the budget."""
    whose = own_holder(tx, call)
    call.precondition.check(rows.find(tx, Budget, whose.id) or Budget(id=whose.id, version=0, amount="", currency=""))
    check_budget(tx, call.principal, whose, named(call.body))
    return _out(tx, whose, budgets.change(tx, whose, named(call.body), call.now_s), call.now_s)


@routes.plain("DELETE", "/v1/budgets/{holder}", permission="budget:write", status=204, summary="Remove a budget")
def remove_budget(tx: Tx, call: Call[Nothing]) -> None:
    """Remove it."""
    whose = own_holder(tx, call)
    budget = _held(tx, whose)
    call.precondition.check(budget)
    check_budget(tx, call.principal, whose, None)
    rows.delete(tx, budget)


@routes.plain(
    "GET",
    "/v1/costs/{holder}",
    permission="cost:read",
    answer=MonthCostOut,
    filters={"month": "Such as `2026-11` (UTC); else this one."},
    errors=(InvalidValue,),
    summary="Show what the machines of a project or organisation cost in a month",
)
def get_costs(tx: Tx, call: Call[Nothing]) -> MonthCostOut:
    """Return the costs by currency."""
    whose = own_holder(tx, call)
    wanted = call.filters.get("month")
    month = Month.at(call.now_s) if wanted is None else Month.named(wanted)
    return _costs(whose, month, budgets.cost_of(tx, whose, month, call.now_s))


def _held(tx: Tx, whose: Holder) -> Budget:
    budget = rows.find(tx, Budget, whose.id)
    if budget is None:
        raise NotFound(f"{whose} has no budget")
    return budget


def _out(tx: Tx, whose: Holder, row: Budget, now_s: float) -> BudgetOut:
    month = Month.at(now_s)
    now = budgets.standing(row, budgets.cost_of(tx, whose, month, now_s))
    return BudgetOut(
        **stamp(row),
        kind=whose.kind,
        reference=whose.reference,
        amount=row.amount,
        currency=row.currency,
        alert_ratios=row.alert_ratios,
        stops_orders=row.stops_orders,
        stops_machines=row.stops_machines,
        unknown_hourly=row.unknown_hourly,
        month=month.name,
        spent=budgets.shown(now.cost.spent),
        forecast=budgets.shown(now.cost.forecast),
        is_complete=now.is_complete,
    )


def _costs(whose: Holder, month: Month, found: Tally) -> MonthCostOut:
    return MonthCostOut(
        id=whose.id,
        kind=whose.kind,
        reference=whose.reference,
        month=month.name,
        costs=[_cost(currency, cost, found) for currency, cost in sorted(found.by_currency.items())],
        unknown_hours=float(round(found.unknown.spent, 3)),
    )


def _cost(currency: str, cost: Cost, found: Tally) -> CostOut:
    hours = float(round(found.hours_by_currency[currency].spent, 3))
    return CostOut(
        currency=currency, spent=budgets.shown(cost.spent), forecast=budgets.shown(cost.forecast), hours=hours
    )
