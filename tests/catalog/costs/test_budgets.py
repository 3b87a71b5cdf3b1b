"""Budgets: what they refuse, what they tell, and that orders at once never find the same money."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from catalog.costs import budgets
from catalog.costs.tally import Cost, Month, Tally
from catalog.errors import BudgetExceeded, InvalidValue
from catalog.holders import holder
from catalog.messages.contracts import MachineCreated, MachineDestroyed
from catalog.model.budget import Budget
from catalog.model.event import Event
from catalog.model.ids import MachineId, MessageId
from catalog.model.machine import MACHINE_TRANSITIONS, Machine, MachineEvent
from catalog.model.order import Order
from catalog.orders.settle import settle
from catalog.pool.give_back import give_back
from catalog.prices import book, lines
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.clocks import ManualClock
from tests.support.ordering import OTHER_PROJECT, PLATFORM, PROJECT, RETRY, order, seed, seeded_database
from tests.support.stores import Store

NOVEMBER = Month.named("2026-11")
HOUR_S = 3600.0
OWNER = f"organisation_{PROJECT}"


def at(hour: float) -> float:
    """Return the moment so many hours into November, which has 720."""
    return NOVEMBER.begin_s + hour * HOUR_S


def priced(tx: Tx) -> None:
    """Let an hour of the small size cost 1 EUR; the large one's price is not known."""
    text = "platform,item,unit,amount,currency,valid_from,source\nnorth,s1,hour,1,EUR,2026-01-01,list\n"
    book.import_lines(tx, lines.read(text, lines.ListFormat.CSV, source="", now_s=1.0), 1.0)


@pytest.fixture
def world(store: Store) -> Store:
    """Return a database in which things have prices."""
    store.write(lambda tx: (seed(tx), priced(tx)))
    return store


def budget(world: Store, whose: str = PROJECT, **terms: Any) -> Budget:
    """Set a budget."""
    return world.write(lambda tx: budgets.change(tx, holder(tx, whose), terms, at(0)))


def refusal(world: Store, hour: float, **wanted: Any) -> str:
    """Return in which words an order is refused."""
    with pytest.raises(BudgetExceeded) as refused:
        world.write(lambda tx: order(tx, None, at(hour), **wanted))
    assert refused.value.field == "budget"
    return str(refused.value)


def test_an_order_is_refused_when_the_month_would_cost_too_much(world: Store) -> None:
    """With 20 hours of the month left, 50 EUR pay for two machines and not for three; for ten hours one more fits."""
    budget(world, amount="50", currency="EUR", stops_orders=True)
    for _ in range(2):
        world.write(lambda tx: order(tx, None, at(700)))
    assert refusal(world, 700) == (
        "the budget of project owner-of-project_T/shop for 2026-11 is 50 EUR: 0.00 are spent, "
        "what runs will make it 40.00, 20.00 more are needed"
    )
    world.write(lambda tx: order(tx, None, at(700), lease_s=10 * HOUR_S))
    world.write(lambda tx: order(tx, None, at(700), project=OTHER_PROJECT))
    assert "50 EUR" in refusal(world, 700, lease_s=HOUR_S)
    december = NOVEMBER.end_s + HOUR_S * (744 - 12)
    world.write(lambda tx: order(tx, None, december, lease_s=HOUR_S))


def test_an_organisation_s_budget_holds_for_all_and_one_without_a_stop_refuses_nothing(world: Store) -> None:
    """The project's own budget of nothing only tells; its organisation's refuses."""
    budget(world, amount="0", currency="EUR")
    world.write(lambda tx: order(tx, None, at(700)))
    budget(world, OWNER, amount="30", currency="EUR", stops_orders=True)
    assert "organisation owner-of-project_T" in refusal(world, 700)


def test_what_cannot_be_counted_is_not_admitted_unless_the_budget_says_what_it_counts_for(world: Store) -> None:
    """An unknown price, and one in another currency, are refused; at 2 an hour 20 hours are 40 of 50."""
    budget(world, amount="50", currency="EUR", stops_orders=True)
    assert "not every machine's price is known in EUR" in refusal(world, 700, size="large")
    budget(world, currency="USD")
    assert "not every machine's price is known in USD" in refusal(world, 700)
    budget(world, currency="EUR", unknown_hourly="2")
    world.write(lambda tx: order(tx, None, at(700), size="large"))
    assert "what runs will make it 40.00, 20.00 more" in refusal(world, 700)
    budget(world, unknown_hourly=None)
    assert "not every machine's price" in refusal(world, 719.9)


def test_who_lacks_a_price_is_not_told_to_wait(world: Store) -> None:
    """Next month knows no more prices than this one: they are imported, or the budget says what they count for."""
    budget(world, amount="50", currency="EUR", stops_orders=True)
    with pytest.raises(BudgetExceeded) as unknown:
        world.write(lambda tx: order(tx, None, at(700), size="large"))
    assert "--unknown-hourly" in (unknown.value.fix or "")
    assert "price import" in (unknown.value.fix or "")
    budget(world, amount="1", unknown_hourly="2")
    with pytest.raises(BudgetExceeded) as spent:
        world.write(lambda tx: order(tx, None, at(700), size="large"))
    assert "next month" in (spent.value.fix or "")


def test_many_orders_at_once_never_find_the_same_money(tmp_path: Path) -> None:
    """Of 60 orders at once, each 20 EUR until the end of the month, 100 EUR pay for exactly five."""

    async def run() -> list[object]:
        async with seeded_database(tmp_path, ManualClock()) as database:

            async def one() -> object:
                try:
                    return await database.write(lambda tx: order(tx, None, at(700)))
                except BudgetExceeded as refused:
                    return refused

            terms = {"amount": "100", "currency": "EUR", "stops_orders": True}
            await database.write(lambda tx: (priced(tx), budgets.change(tx, holder(tx, PROJECT), terms, at(0))))
            async with asyncio.TaskGroup() as tasks:
                placing = [tasks.create_task(one()) for _ in range(60)]
            return [each.result() for each in placing]

    placed = asyncio.run(run())
    assert sum(isinstance(each, Order) for each in placed) == 5


def test_a_machine_costs_from_its_delivery_until_nothing_is_left_of_it(world: Store) -> None:
    """Ordered at hour 1, delivered at 2, given back at 10, gone at 12: ten hours; what was never delivered: none."""

    def deliver(tx: Tx) -> Machine:
        machine = rows.by_id(tx, Machine, order(tx, None, at(1)).machine_id)
        failed = rows.by_id(tx, Machine, order(tx, None, at(1)).machine_id)
        rows.move(tx, failed, MACHINE_TRANSITIONS, MachineEvent.BUILD_FAILED, at(2))
        name = MachineId(machine.id)
        made = MachineCreated(
            id=MessageId("c"), created_at_s=1.0, machine=name, platform=PLATFORM, attempt=1, cloud_id="vm"
        )
        settle(tx, made, at(2), RETRY)
        give_back(tx, name, PROJECT, at(10))
        settle(
            tx, MachineDestroyed(id=MessageId("d"), created_at_s=1.0, machine=name, platform=PLATFORM), at(12), RETRY
        )
        return machine

    world.write(deliver)
    for whose in (PROJECT, OWNER):
        cost = world.read(lambda tx, whose=whose: budgets.cost_of(tx, holder(tx, whose), NOVEMBER, at(500)))
        assert cost.by_currency == {"EUR": Cost(spent=Decimal(10), forecast=Decimal(10))}
    october = world.read(lambda tx: budgets.cost_of(tx, holder(tx, PROJECT), Month.named("2026-10"), at(500)))
    assert october == Tally()


@pytest.mark.parametrize(
    ("told_month", "told", "ratio", "due"),
    [
        pytest.param("", 0.0, 0.49, None, id="not yet"),
        pytest.param("", 0.0, 0.5, 0.5, id="reached"),
        pytest.param("", 0.0, 0.9, 0.8, id="two at once: the highest"),
        pytest.param("2026-11", 0.8, 0.9, None, id="told"),
        pytest.param("2026-11", 0.5, 0.9, 0.8, id="the next"),
        pytest.param("2026-10", 0.8, 0.5, 0.5, id="another month"),
    ],
)
def test_which_alert_is_due(told_month: str, told: float, ratio: float, due: float | None) -> None:
    """Each ratio is told once a month, of several only the highest."""
    row = Budget(
        id="p",
        amount="1",
        currency="EUR",
        alert_ratios=[0.5, 0.8, 1.0],
        alerted_month=told_month,
        alerted_ratio=told,
    )
    assert budgets.due_ratio(row, NOVEMBER, ratio) == due


def test_alerts_are_events_of_the_project_once_each(world: Store) -> None:
    """A machine of 1 EUR an hour under 100 EUR: at hour 49 nothing, at 52 half, at 99 four fifths, at 101 all of it."""

    def deliver(tx: Tx) -> None:
        machine = rows.by_id(tx, Machine, order(tx, None, at(0)).machine_id)
        rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.DELIVERED, at(0), {"used_from_s": at(0)})

    world.write(deliver)
    budget(world, amount="100", currency="EUR", alert_ratios=[1.0, 0.5, 0.8])
    for hour, due in ((49, 0), (52, 1), (52, 0), (99, 1), (101, 1), (200, 0)):
        assert world.read(lambda tx, hour=hour: budgets.is_alert_due(tx, at(hour))) == bool(due)
        assert world.write(lambda tx, hour=hour: budgets.alert(tx, at(hour))) == due
    told = world.read(lambda tx: rows.where(tx, Event, kind="budget.alert"))
    assert [(each.data["ratio"], each.data["spent"]) for each in told] == [
        (0.5, "52.00"),
        (0.8, "99.00"),
        (1.0, "101.00"),
    ]
    assert {each.project_id for each in told} == {PROJECT}
    december = NOVEMBER.end_s + 60 * HOUR_S
    assert world.write(lambda tx: budgets.alert(tx, december)) == 1


def test_terms_that_make_no_sense_are_refused(world: Store) -> None:
    """A first budget needs amount and currency, and a currency is one."""
    for terms, field in (
        ({"amount": "5"}, "currency"),
        ({"currency": "EUR"}, "amount"),
        ({"amount": "5", "currency": "ZZZ"}, "currency"),
    ):
        with pytest.raises(InvalidValue) as refused:
            budget(world, **terms)
        assert refused.value.field == field
