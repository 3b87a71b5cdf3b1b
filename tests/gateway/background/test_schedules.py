"""Machines start and stop at the edges of their schedules, once each, and are let be in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalog.clouds import CloudMachine, MachineAction, MachineStatus
from catalog.errors import CloudRefused, WrongState
from catalog.model.consent import Grant
from catalog.model.event import Event
from catalog.model.ids import MachineId
from catalog.model.machine import Machine, MachineState
from catalog.model.schedule import Schedule
from catalog.schedules import keeping
from catalog.store import rows
from catalog.store.database import Database, Tx
from gateway.background import schedules
from gateway.background.schedules import KeepSchedules
from tests.support.clocks import ManualClock
from tests.support.doubles import MemoryCloud, MemoryClouds
from tests.support.ordering import OFFER, OTHER_PROJECT, PLATFORM, PROJECT, seeded_database
from tests.support.rounds import one_round

OFFICE: list[dict[str, object]] = [{"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "stop": "18:00"}]
HOUR_S = 3600.0


def at(day: int, hour: float) -> float:
    """Return that hour (UTC) of a day of November 2026; the 23rd is a Monday, the 31st the first of December."""
    return datetime(2026, 11, 1, tzinfo=UTC).timestamp() + (24 * (day - 1) + hour) * HOUR_S


class SwitchedCloud(MemoryCloud):
    """A cloud whose machines start and stop; ``acted`` is all that was asked."""

    def __init__(self, clock: ManualClock) -> None:
        """Begin with two machines that run."""
        super().__init__(clock)
        self.acted: list[tuple[str, str]] = []
        self.refuses = False
        self._machines = {
            f"vm-{number}": CloudMachine(cloud_id=f"vm-{number}", name="m", status=MachineStatus.RUNNING)
            for number in range(2)
        }

    async def act(self, cloud_id: str, action: MachineAction) -> None:
        """Start or stop it."""
        self._answer()
        if self.refuses:
            raise CloudRefused("no")
        self.acted.append((cloud_id, action.value))
        after = MachineStatus.RUNNING if action is MachineAction.START else MachineStatus.STOPPED
        self._machines[cloud_id] = replace(self._machines[cloud_id], status=after)


@dataclass
class World:
    """Two machines of the project, their cloud, and the task."""

    database: Database
    clock: ManualClock
    cloud: SwitchedCloud

    async def look(self, day: int, hour: float) -> list[tuple[str, str]]:
        """Let the task run then, with a fresh memory, and return what it asked of the cloud."""
        self.clock.advance(at(day, hour) - self.clock.now_s())
        self.cloud.acted.clear()
        clouds = MemoryClouds({PLATFORM: self.cloud})
        await one_round(KeepSchedules(database=self.database, clock=self.clock, clouds=clouds))
        return list(self.cloud.acted)

    async def write(self, work: Callable[[Tx], object]) -> None:
        """Change something."""
        await self.database.write(work)

    async def own(self, number: int, windows: list[dict[str, object]]) -> None:
        """Give one machine a schedule of its own."""
        now_s = self.clock.now_s()
        await self.write(
            lambda tx: keeping.set_for_machine(
                tx, rows.by_id(tx, Machine, f"machine_{number}"), zone="UTC", windows=windows, now_s=now_s
            )
        )

    async def default(self) -> None:
        """Give the project office hours."""
        now_s = self.clock.now_s()
        await self.write(lambda tx: keeping.set_for_project(tx, PROJECT, zone="UTC", windows=OFFICE, now_s=now_s))

    async def told(self) -> list[str]:
        """Return the kinds of events about schedules of machines, in order."""
        found = await self.database.read(lambda tx: rows.where(tx, Event, project_id=PROJECT))
        return [each.kind for each in found if each.kind.startswith("machine.schedule-")]


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """Give a world on Monday at ten."""
    clock = ManualClock()
    clock.advance(at(23, 10) - clock.now_s())
    async with seeded_database(folder, clock) as database:

        def fill(tx: Tx) -> None:
            grant = rows.by_id(tx, Grant, "grant_M")
            rows.update(tx, grant, {"verbs": ["create", "list", "destroy", "start", "stop"]}, at(23, 10))
            for number in range(2):
                machine = Machine(
                    id=MachineId(f"machine_{number}"), platform_id=PLATFORM, offer_id=OFFER, project_id=PROJECT,
                    state=MachineState.IN_USE, name=f"m{number}", size="s1", image="i1", cloud_id=f"vm-{number}",
                    used_from_s=at(23, 9),
                )  # fmt: skip
                rows.insert(tx, machine, at(23, 9))

        await database.write(fill)
        yield World(database, clock, SwitchedCloud(clock))


def run(folder: Path, story: Callable[[World], object]) -> None:
    """Run a story in a world."""

    async def all_of_it() -> None:
        async with world(folder) as here:
            await story(here)  # type: ignore[misc] # every story is a coroutine

    asyncio.run(all_of_it())


def test_a_machine_stops_and_starts_at_the_edges(tmp_path: Path) -> None:
    """Nothing when it is set, nor before 18:00; then one stop, nothing through the night, and one start at 8."""

    async def story(here: World) -> None:
        await here.own(0, OFFICE)
        assert await here.look(23, 10) == []
        assert await here.look(23, 17.99) == []
        assert await here.look(23, 18) == [("vm-0", "stop")]
        assert await here.look(23, 18.1) == []
        assert await here.look(24, 7.99) == []
        assert await here.look(24, 8) == [("vm-0", "start")]
        assert await here.look(24, 9) == []
        assert await here.told() == ["machine.schedule-stop", "machine.schedule-start"]

    run(tmp_path, story)


def test_a_schedule_said_once_more_drops_no_edge(tmp_path: Path) -> None:
    """The same at 18:30, before anybody looked at the edge of 18:00: it is stopped; with other windows it is let be."""

    async def story(here: World) -> None:
        for number in range(2):
            await here.own(number, OFFICE)
        here.clock.advance(at(23, 18.5) - here.clock.now_s())
        await here.own(0, [dict(each) for each in OFFICE])
        await here.own(1, [{"days": ["mon"], "start": "08:00", "stop": "18:15"}])
        assert await here.look(23, 18.6) == [("vm-0", "stop")]

    run(tmp_path, story)


def test_what_is_done_by_hand_stays_until_the_next_edge(tmp_path: Path) -> None:
    """Started at 20:00 it runs on; at 8:00 there is nothing to change, and nothing is told; at 18:00 it stops again."""

    async def story(here: World) -> None:
        await here.own(0, OFFICE)
        await here.look(23, 18)
        await here.cloud.act("vm-0", MachineAction.START)
        assert [await here.look(23, 20), await here.look(24, 7)] == [[], []]
        assert await here.look(24, 8) == []
        assert await here.told() == ["machine.schedule-stop"]
        assert await here.look(24, 18) == [("vm-0", "stop")]

    run(tmp_path, story)


def test_a_hand_goes_before_an_edge_that_could_not_be_settled(tmp_path: Path) -> None:
    """The cloud is away at 18:00; who starts a machine at 19:00 keeps it, the other one stops later."""

    async def story(here: World) -> None:
        await here.default()
        here.cloud.unreachable = True
        assert await here.look(23, 18) == []
        await here.write(lambda tx: keeping.taken_in_hand(tx, rows.by_id(tx, Machine, "machine_0"), at(23, 19)))
        here.cloud.unreachable = False
        assert await here.look(23, 19.5) == [("vm-1", "stop")]

    run(tmp_path, story)


def test_of_missed_edges_only_the_last_counts(tmp_path: Path) -> None:
    """Nobody looked from Monday 10:00 to Wednesday 20:00: one stop. After the next night and day: nothing at all."""

    async def story(here: World) -> None:
        await here.own(0, OFFICE)
        assert await here.look(25, 20) == [("vm-0", "stop")]
        assert await here.look(26, 19) == []
        assert await here.told() == ["machine.schedule-stop"]

    run(tmp_path, story)


def test_a_project_s_default_is_for_machines_without_their_own(tmp_path: Path) -> None:
    """One keeps to the default, the other is exempt; without its exemption it joins at the next edge."""

    async def story(here: World) -> None:
        await here.default()
        await here.own(1, [])
        assert await here.look(23, 18) == [("vm-0", "stop")]
        await here.write(lambda tx: rows.delete(tx, rows.by_id(tx, Schedule, "machine_1")))
        assert await here.look(24, 8) == [("vm-0", "start")]
        assert sorted(await here.look(24, 18)) == [("vm-0", "stop"), ("vm-1", "stop")]

    run(tmp_path, story)


def test_a_machine_that_came_after_the_edge_has_not_seen_it(tmp_path: Path) -> None:
    """Handed over at 20:00 it runs, and stops on Tuesday evening; another project's is nobody's business here."""

    async def story(here: World) -> None:
        await here.default()

        def late(tx: Tx) -> None:
            rows.update(tx, rows.by_id(tx, Machine, "machine_0"), {"used_from_s": at(23, 20)}, at(23, 20))
            rows.update(tx, rows.by_id(tx, Machine, "machine_1"), {"project_id": OTHER_PROJECT}, at(23, 20))

        await here.write(late)
        assert await here.look(23, 20.5) == []
        assert await here.look(24, 8) == []
        assert await here.look(24, 18) == [("vm-0", "stop")]

    run(tmp_path, story)


def test_a_cloud_that_refuses_is_told_of_once_and_holds_nobody_up(tmp_path: Path) -> None:
    """Nothing is tried again until the next edge."""

    async def story(here: World) -> None:
        await here.default()
        here.cloud.refuses = True
        await here.look(23, 18)
        here.cloud.refuses = False
        assert await here.look(23, 19) == []
        assert await here.told() == ["machine.schedule-stop-failed"] * 2
        here.cloud._machines["vm-0"] = replace(here.cloud._machines["vm-0"], status=MachineStatus.STOPPED)
        assert await here.look(24, 8) == [("vm-0", "start")]

    run(tmp_path, story)


def test_a_portion_at_a_time_all_come_to_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one machine a run, the second is stopped by the second run, and no third has anything to do."""
    monkeypatch.setattr(schedules, "MACHINES_A_LOOK", 1)

    async def story(here: World) -> None:
        await here.default()
        looks = [await here.look(23, 18 + place / 100) for place in range(3)]
        assert looks == [[("vm-0", "stop")], [("vm-1", "stop")], []]

    run(tmp_path, story)


def test_what_the_platform_does_not_grant_is_refused(tmp_path: Path) -> None:
    """Without start or stop among its verbs a schedule is refused with the reason; an exemption needs neither."""

    async def story(here: World) -> None:
        for verbs in (["create", "start"], ["create", "stop"]):
            await here.write(
                lambda tx, v=verbs: rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"verbs": v}, at(23, 10))
            )
            with pytest.raises(WrongState, match="is not granted by this platform"):
                await here.own(0, OFFICE)
        await here.own(0, [])
        await here.write(
            lambda tx: rows.update(tx, rows.by_id(tx, Machine, "machine_1"), {"project_id": None}, at(23, 10))
        )
        with pytest.raises(WrongState):
            await here.own(1, [])

    run(tmp_path, story)


def test_the_schedule_of_a_machine_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    """At its next edge."""

    async def story(here: World) -> None:
        await here.own(0, OFFICE)
        await here.write(
            lambda tx: rows.move(
                tx, rows.by_id(tx, Machine, "machine_0"), {MachineState.IN_USE: {MachineState.GONE: MachineState.GONE}},
                MachineState.GONE, at(23, 12),
            )
        )  # fmt: skip
        assert await here.look(23, 18) == []
        assert await here.database.read(lambda tx: rows.where(tx, Schedule)) == []

    run(tmp_path, story)
