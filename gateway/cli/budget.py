"""``crossway budget`` and ``crossway cost``: what a project or organisation may spend, and what it does."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

import typer

from gateway.cli.door import Door, Limit, Yes, remote
from gateway.cli.exits import CliError
from gateway.cli.output import Column, Format, cell
from gateway.cli.quota import Holder, OwnHolder, own

budgets = typer.Typer(help="What a project or organisation may spend in a month.")
costs = typer.Typer(help="What machines cost.")

_CENT: Final = Decimal("0.01")
_BUDGETS = (
    Column("WHOSE", "reference"),
    Column("MONTH", "month"),
    Column("AMOUNT", "amount"),
    Column("CURRENCY", "currency"),
    Column("SPENT", lambda budget: amount_text(budget.get("spent"))),
    Column("FORECAST", lambda budget: amount_text(budget.get("forecast"))),
    Column("COMPLETE", "is_complete"),
    Column("STOPS ORDERS", "stops_orders"),
    Column("STOPS MACHINES", "stops_machines"),
)


@remote(budgets, "list")
def list_budgets(door: Door, *, limit: Limit = None) -> None:
    """List the budgets and how they stand."""
    door.show_list(door.client.budgets.list(), _BUDGETS, limit)


@remote(budgets, "show")
def show_budget(door: Door, *, holder: OwnHolder = None) -> None:
    """Show a budget and how it stands."""
    _show(door, door.client.budgets.get(own(door, holder)))


@remote(budgets, "set")
def set_budget(
    door: Door,
    *,
    holder: Holder,
    amount: Annotated[str | None, typer.Option(help="For each month, such as 500 or 99.50.")] = None,
    currency: Annotated[str | None, typer.Option(help="Its ISO 4217 code; nothing is converted.")] = None,
    alert: Annotated[
        list[float] | None, typer.Option(help="Tell when this share is spent, such as 0.8; repeatable.")
    ] = None,
    stop_orders: Annotated[
        bool | None, typer.Option("--stop-orders/--no-stop-orders", help="Refuse orders that would not fit.")
    ] = None,
    stop_machines: Annotated[
        bool | None,
        typer.Option(
            "--stop-machines/--no-stop-machines", help="Refuse such orders, and stop machines once all is spent."
        ),
    ] = None,
    unknown_hourly: Annotated[
        str | None, typer.Option(metavar="AMOUNT|none", help="What an hour without a known price counts for.")
    ] = None,
) -> None:
    """Set what is named and keep the rest; a first budget needs --amount and --currency."""
    given: dict[str, object] = {
        "amount": amount,
        "currency": currency,
        "alert_ratios": alert,
        "stops_orders": stop_orders,
        "stops_machines": stop_machines,
        "unknown_hourly": unknown_hourly,
    }
    changes = {name: None if value == "none" else value for name, value in given.items() if value is not None}
    if not changes:
        raise CliError("there is nothing to change", fix="name at least one of the options")
    _show(door, door.client.budgets.set(holder, changes))


@remote(budgets, "remove")
def remove_budget(door: Door, *, holder: Holder, yes: Yes = False) -> None:
    """Remove a budget."""
    door.confirm(f"Remove the budget of {holder}", yes=yes)
    door.client.budgets.remove(holder)


@remote(costs, "show")
def show_costs(
    door: Door,
    *,
    holder: OwnHolder = None,
    month: Annotated[str | None, typer.Option(help="Such as 2026-11; else this one.")] = None,
) -> None:
    """Show what machines cost in a month: so far, and by its end if what is there stays."""
    _show(door, door.client.costs.get(own(door, holder), month=month))


def amount_text(amount: object) -> str:
    """Return an amount of money as people read it: to the cent, below one to two digits that say something."""
    try:
        exact = Decimal(str(amount))
    except InvalidOperation:
        return cell(amount)
    if not exact.is_finite() or abs(exact) >= _CENT or not exact:
        return f"{exact:.2f}" if exact.is_finite() and exact else cell(amount)
    return format(Decimal(f"{exact:.2g}"), "f")


def _show(door: Door, found: object) -> None:
    """Show it with readable amounts in a table, and exactly in the formats that programs read."""
    door.show(_readable(found) if door.format is Format.TABLE else found)


def _readable(value: object) -> object:
    match value:
        case dict():
            return {
                name: amount_text(each) if name in {"spent", "forecast"} else _readable(each)
                for name, each in value.items()
            }
        case list():
            return [_readable(each) for each in value]
    return value
