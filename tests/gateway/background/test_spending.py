"""A spent budget stops machines: told before, each once, and nobody but an admin starts them while it is spent."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.clouds import MachineAction
from catalog.costs import budgets, stops
from catalog.errors import BudgetExceeded
from catalog.holders import holder
from catalog.model.event import Event
from catalog.model.ids import OrderId
from catalog.model.machine import Machine
from catalog.model.order import Order
from catalog.schedules import keeping
from catalog.store import rows
from catalog.store.database import Tx
from gateway.background import spending
from gateway.background.schedules import KeepSchedules
from gateway.background.spending import StopSpending
from tests.gateway.background.test_schedules import OFFICE, World, at, world
from tests.support.doubles import MemoryClouds
from tests.support.ordering import OFFER, OTHER_PROJECT, PLATFORM, PROJECT
from tests.support.rounds import one_round

OWNER = f"organisation_{PROJECT}"


async def look(here: World, day: int, hour: float) -> list[tuple[str, str]]:
    """Let the task run then, with a fresh memory, and return what it asked of the cloud."""
    here.clock.advance(at(day, hour) - here.clock.now_s())
    here.cloud.acted.clear()
    clouds = MemoryClouds({PLATFORM: here.cloud})
    await one_round(StopSpending(database=here.database, clock=here.clock, clouds=clouds))
    return sorted(here.cloud.acted)


async def told(here: World, kind: str) -> int:
    """Return how many events of this kind there are."""
    return len(await here.database.read(lambda tx: rows.where(tx, Event, kind=kind)))


def priced(tx: Tx) -> None:
    """Let each of the two machines cost 1 EUR an hour, from Monday the 23rd at 9 on."""
    for number in range(2):
        price = {"amount": "1", "unit": "hour", "currency": "EUR", "source": "", "valid_from_s": 0.0}
        order = Order(
            id=OrderId(f"order_{number}"), project_id=PROJECT, offer_id=OFFER, name=f"o{number}", size="s1", image="i1",
            price=price,
        )  # fmt: skip
        rows.insert(tx, order, at(23, 9))
        rows.update(tx, rows.by_id(tx, Machine, f"machine_{number}"), {"order_id": order.id}, at(23, 9))


async def budget(here: World, amount: str, whose: str = PROJECT) -> None:
    """Let so much be spent in November, and machines stop after that."""
    terms = {"amount": amount, "currency": "EUR", "stops_machines": True}
    await here.write(lambda tx: budgets.change(tx, holder(tx, whose), terms, at(23, 9)))


def run(folder: Path, story: Callable[[World], object]) -> None:
    """Run a story in a world whose machines cost 2 EUR an hour together."""

    async def all_of_it() -> None:
        async with world(folder) as here:
            await here.write(priced)
            await story(here)  # type: ignore[misc] # every story is a coroutine

    asyncio.run(all_of_it())


@pytest.mark.parametrize("whose", [PROJECT, OWNER])
def test_machines_stop_when_all_is_spent_and_an_hour_after_it_was_told(tmp_path: Path, whose: str) -> None:
    """20 EUR are spent at 19:00: told at 18:00, once; nothing at 18:59; two stops at 19:00, once."""

    async def story(here: World) -> None:
        await budget(here, "20", whose)
        assert await look(here, 23, 17.9) == []
        assert await told(here, "budget.stop-announced") == 0
        assert [await look(here, 23, hour) for hour in (18, 18.5, 18.98)] == [[], [], []]
        assert await told(here, "budget.stop-announced") == 1
        assert await look(here, 23, 19) == [("vm-0", "stop"), ("vm-1", "stop")]
        assert [await look(here, 23, 19.1), await look(here, 24, 8)] == [[], []]
        assert await told(here, "machine.budget-stop") == 2

    run(tmp_path, story)


def test_what_is_spent_already_is_told_an_hour_before_too(tmp_path: Path) -> None:
    """1 EUR is long spent when the budget is looked at, at 10:00: nothing stops before 11:00."""

    async def story(here: World) -> None:
        await budget(here, "1")
        assert [await look(here, 23, hour) for hour in (10, 10.5, 10.99)] == [[], [], []]
        assert await told(here, "budget.stop-announced") == 1
        assert await look(here, 23, 11) == [("vm-0", "stop"), ("vm-1", "stop")]

    run(tmp_path, story)


def test_nobody_starts_them_but_an_admin(tmp_path: Path) -> None:
    """Neither a member nor the schedule; what an admin started is not stopped again; a larger budget lets all start."""

    async def story(here: World) -> None:
        await budget(here, "20")
        await here.own(1, OFFICE)
        await look(here, 23, 18)
        await look(here, 23, 19)

        async def refused(hour: float) -> bool:
            try:
                await here.database.read(lambda tx: stops.refuse_start(tx, PROJECT, at(23, hour)))
            except BudgetExceeded:
                return True
            return False

        assert await refused(19.1)
        await here.database.read(lambda tx: stops.refuse_start(tx, OTHER_PROJECT, at(23, 19.1)))
        assert await here.look(24, 8) == []
        assert await told(here, "machine.schedule-start-failed") == 1
        await here.cloud.act("vm-0", MachineAction.START)
        assert await look(here, 24, 8.5) == []
        await budget(here, "1000")
        await here.database.read(lambda tx: stops.refuse_start(tx, PROJECT, at(24, 9)))
        assert await here.look(25, 8) == [("vm-1", "start")]

    run(tmp_path, story)


def test_no_change_of_a_budget_holds_off_what_was_announced(tmp_path: Path) -> None:
    """Announced at 18:00; other alerts, less money and more that is spent all the same change nothing: two stops.

    Afterwards, too, nobody starts them; with money left it is announced anew.
    """

    async def story(here: World) -> None:
        async def changed(hour: float, **terms: object) -> None:
            await here.write(lambda tx: budgets.change(tx, holder(tx, PROJECT), terms, at(23, hour)))

        await budget(here, "20")
        await look(here, 23, 18)
        await changed(18.2, alert_ratios=[0.1])
        await changed(18.4, amount="17")
        await changed(18.9, amount="17.5")
        assert [len(await look(here, 23, hour)) for hour in (18.95, 19)] == [0, 2]
        await changed(19.1, alert_ratios=[0.2])
        await changed(19.2, amount="18")
        with pytest.raises(BudgetExceeded):
            await here.database.read(lambda tx: stops.refuse_start(tx, PROJECT, at(23, 19.3)))
        assert await told(here, "budget.stop-announced") == 1
        await changed(19.4, amount="30")
        await here.database.read(lambda tx: stops.refuse_start(tx, PROJECT, at(23, 19.5)))
        await look(here, 24, 8)
        assert await told(here, "budget.stop-announced") == 2

    run(tmp_path, story)


def test_a_new_month_begins_anew(tmp_path: Path) -> None:
    """On 1 December nothing is spent: machines may be started, and the end of December's money is announced again."""

    async def story(here: World) -> None:
        await budget(here, "20")
        await look(here, 23, 18)
        await look(here, 23, 19)
        await here.database.read(lambda tx: stops.refuse_start(tx, PROJECT, at(31, 1)))
        for name in ("vm-0", "vm-1"):
            await here.cloud.act(name, MachineAction.START)
        assert await look(here, 31, 8) == []
        assert await look(here, 31, 9) == []
        assert await told(here, "budget.stop-announced") == 2
        assert len(await look(here, 31, 10)) == 2

    run(tmp_path, story)


def test_a_cloud_that_is_away_is_asked_again_and_one_that_refuses_is_not(tmp_path: Path) -> None:
    """At 19:00 nobody answers; at 19:01 one machine a run is refused, and told of; then no more is tried."""

    async def story(here: World) -> None:
        await budget(here, "20")
        await look(here, 23, 18)
        here.cloud.unreachable = True
        assert await look(here, 23, 19) == []
        assert await told(here, "machine.budget-stop-failed") == 0
        here.cloud.unreachable, here.cloud.refuses = False, True
        await look(here, 23, 19.1)
        here.cloud.refuses = False
        assert await look(here, 23, 19.2) == []
        assert await told(here, "machine.budget-stop-failed") == 2

    run(tmp_path, story)


def test_a_portion_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one machine a run, two runs stop both."""
    monkeypatch.setattr(spending, "MACHINES_A_LOOK", 1)

    async def story(here: World) -> None:
        await budget(here, "20")
        await look(here, 23, 18)
        assert [len(await look(here, 23, hour)) for hour in (19, 19.1, 19.2)] == [1, 1, 0]

    run(tmp_path, story)


def test_a_budget_that_only_tells_stops_nothing(tmp_path: Path) -> None:
    """Nor does one that stops orders; one that stops machines refuses orders as well."""

    async def story(here: World) -> None:
        terms = {"amount": "20", "currency": "EUR", "stops_orders": True}
        await here.write(lambda tx: budgets.change(tx, holder(tx, PROJECT), terms, at(23, 9)))
        assert [await look(here, 23, hour) for hour in (18, 19, 20)] == [[], [], []]
        await here.write(
            lambda tx: budgets.change(
                tx, holder(tx, PROJECT), {"stops_orders": False, "stops_machines": True}, at(23, 20)
            )
        )
        with pytest.raises(BudgetExceeded):
            await here.database.read(
                lambda tx: budgets.refuse_beyond(tx, PROJECT, price=None, lease_s=None, now_s=at(23, 20))
            )

    run(tmp_path, story)


def test_the_tasks_may_meet(tmp_path: Path) -> None:
    """The schedule's stop and the budget's at one moment: the machine is asked once, by whoever comes first."""

    async def story(here: World) -> None:
        await budget(here, "20")
        await look(here, 23, 18)
        await here.write(
            lambda tx: keeping.set_for_project(
                tx,
                PROJECT,
                zone="UTC",
                windows=[{"days": ["mon"], "start": "08:00", "stop": "19:00"}],
                now_s=at(23, 18),
            )
        )
        assert len(await look(here, 23, 19)) == 2
        here.cloud.acted.clear()
        clouds = MemoryClouds({PLATFORM: here.cloud})
        await one_round(KeepSchedules(database=here.database, clock=here.clock, clouds=clouds))
        assert here.cloud.acted == []

    run(tmp_path, story)
