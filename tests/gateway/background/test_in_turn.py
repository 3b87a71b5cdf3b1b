"""Machines of one platform are worked on in turn: one in trouble is nobody else's, and no hand is overruled."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from catalog.clouds import CloudMachine, MachineAction
from catalog.errors import CloudUnavailable
from catalog.model.ids import MachineId, PlatformId, SiteId
from catalog.model.machine import Machine
from catalog.model.platform import Platform
from catalog.schedules import keeping
from catalog.store import rows
from catalog.store.database import Tx
from gateway.background import schedules, spending
from gateway.background.in_turn import SILENT_IN_A_ROW, InTurn
from gateway.background.schedules import KeepSchedules
from gateway.background.spending import StopSpending
from tests.gateway.background.test_schedules import OFFICE, SwitchedCloud, World, at, run
from tests.gateway.background.test_spending import budget, priced
from tests.support.doubles import MemoryClouds
from tests.support.ordering import OFFER, PLATFORM
from tests.support.rounds import one_round

SECOND = PlatformId("platform_Z")


@dataclass
class Deeds:
    """What is done to machines, some of which cannot be."""

    ill: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)

    async def __call__(self, machine: Machine) -> None:
        """Do it, or raise what may pass."""
        self.tried.append(machine.id)
        if machine.id in self.ill:
            raise CloudUnavailable(machine.id)
        self.done.append(machine.id)


def named(count: int) -> list[Machine]:
    """Return so many machines, called 0, 1, 2 ..."""
    return [
        Machine(id=MachineId(str(number)), platform_id=PLATFORM, offer_id=OFFER, name="m", size="s", image="i")
        for number in range(count)
    ]


@pytest.mark.parametrize("ill", [{"0"}, {"0", "1"}, {"0", "2", "4"}, {"4"}], ids=lambda ill: " ".join(sorted(ill)))
def test_one_that_is_not_answered_for_holds_up_no_other(ill: set[str]) -> None:
    """All the others are worked on; the first trouble is raised at the end."""
    deeds = Deeds(ill)
    with pytest.raises(CloudUnavailable, match=min(ill)):
        asyncio.run(InTurn().each(PLATFORM, named(5), deeds))
    assert set(deeds.done) == {"0", "1", "2", "3", "4"} - ill


def test_so_many_in_a_row_speak_for_the_platform_but_not_every_time() -> None:
    """A visit is given up after three in a row; with the next they come last, and those behind them are worked on."""
    deeds, in_turn = Deeds({"0", "1", "2"}), InTurn()
    for _ in range(2):
        with pytest.raises(CloudUnavailable):
            asyncio.run(in_turn.each(PLATFORM, named(6), deeds))
    assert deeds.tried[:SILENT_IN_A_ROW] == ["0", "1", "2"]
    assert deeds.tried[SILENT_IN_A_ROW:] == ["3", "4", "5", "0", "1", "2"]


@dataclass
class Slow(SwitchedCloud):
    """A cloud at whose first look at a machine something happens elsewhere."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    def __init__(self, here: World, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Take what happens."""
        super().__init__(here.clock)
        self.meanwhile = meanwhile

    async def machine(self, cloud_id: str) -> CloudMachine | None:
        """Return it."""
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        return await super().machine(cloud_id)


def test_a_hand_in_the_middle_of_a_visit_is_not_overruled(tmp_path: Path) -> None:
    """While the first machine is stopped at 18:00 the other one is started by hand: it runs on, and is not told of."""

    async def story(here: World) -> None:
        await here.default()

        async def by_hand() -> None:
            await here.write(lambda tx: keeping.taken_in_hand(tx, rows.by_id(tx, Machine, "machine_1"), at(23, 18.01)))

        here.cloud = Slow(here, by_hand)
        assert await here.look(23, 18) == [("vm-0", "stop")]
        assert await here.told() == ["machine.schedule-stop"]

    run(tmp_path, story)


def test_another_schedule_in_the_middle_of_a_visit_counts(tmp_path: Path) -> None:
    """Exempted while the first machine is stopped, the other one runs on."""

    async def story(here: World) -> None:
        await here.default()
        here.cloud = Slow(here, lambda: here.own(1, []))
        assert await here.look(23, 18) == [("vm-0", "stop")]

    run(tmp_path, story)


def test_a_budget_that_is_raised_in_the_middle_of_a_visit_counts(tmp_path: Path) -> None:
    """Raised while the first machine is stopped: the other one runs on."""

    async def story(here: World) -> None:
        await here.write(priced)
        await budget(here, "20")
        cloud = Slow(here, lambda: budget(here, "1000"))
        task = StopSpending(database=here.database, clock=here.clock, clouds=MemoryClouds({PLATFORM: cloud}))
        for hour in (18, 19):
            here.clock.advance(at(23, hour) - here.clock.now_s())
            await one_round(task)
        assert cloud.acted == [("vm-0", MachineAction.STOP.value)]

    run(tmp_path, story)


def elsewhere(tx: Tx) -> None:
    """Let the second machine be at another platform."""
    site = rows.by_id(tx, Platform, PLATFORM).site_id
    other = Platform(id=SECOND, name="south", provider="memory", site_id=SiteId(site), account="main")
    rows.insert(tx, other, at(23, 9))
    rows.update(tx, rows.by_id(tx, Machine, "machine_1"), {"platform_id": SECOND}, at(23, 9))


@pytest.mark.parametrize("whose", ["each has its own", "the project's"])
def test_a_dead_platform_starves_no_other_s_schedules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """With places for one schedule and one machine a look, that of the other platform is stopped by the second look."""
    monkeypatch.setattr(schedules, "SCHEDULES_A_LOOK", 1)
    monkeypatch.setattr(schedules, "MACHINES_A_LOOK", 1)

    async def story(here: World) -> None:
        if whose == "the project's":
            await here.default()
        else:
            await here.own(0, OFFICE)
            await here.own(1, OFFICE)
        await here.write(elsewhere)
        dead, well = SwitchedCloud(here.clock), SwitchedCloud(here.clock)
        dead.unreachable = True
        clouds = MemoryClouds({PLATFORM: dead, SECOND: well})
        task = KeepSchedules(database=here.database, clock=here.clock, clouds=clouds)
        here.clock.advance(at(23, 18) - here.clock.now_s())
        for _ in range(2):
            await one_round(task)
        assert well.acted == [("vm-1", "stop")]
        dead.unreachable = False
        for _ in range(3):
            await one_round(task)
        assert (dead.acted, well.acted) == ([("vm-0", "stop")], [("vm-1", "stop")])

    run(tmp_path, story)


def test_a_dead_platform_starves_no_other_s_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a place for one machine a look, that of the other platform is stopped all the same."""
    monkeypatch.setattr(spending, "MACHINES_A_LOOK", 1)

    async def story(here: World) -> None:
        await here.write(priced)
        await here.write(elsewhere)
        await budget(here, "20")
        dead, well = SwitchedCloud(here.clock), SwitchedCloud(here.clock)
        dead.unreachable = True
        clouds = MemoryClouds({PLATFORM: dead, SECOND: well})
        for hour in (18, 19):
            here.clock.advance(at(23, hour) - here.clock.now_s())
            await one_round(StopSpending(database=here.database, clock=here.clock, clouds=clouds))
        assert well.acted == [("vm-1", "stop")]

    run(tmp_path, story)
