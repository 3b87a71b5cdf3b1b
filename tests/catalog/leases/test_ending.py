"""The end of leases, with a clock that tests move: reminders, extension, and giving back exactly once."""

import asyncio
from pathlib import Path

import pytest

from catalog.holders import holder
from catalog.leases.ending import LEASE_ENDED, due_reminder, end_due
from catalog.leases.rules import change_rule, extend
from catalog.model.event import Event
from catalog.model.ids import MachineId
from catalog.model.machine import Machine, MachineState
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.clocks import ManualClock
from tests.support.doubles import MemoryCloud
from tests.support.ordering import OFFER, PLATFORM, PROJECT, Life, life

DAY_S = 86_400.0
REMINDERS_S = (DAY_S, 3600.0)


def lent(*, set_at_s: float, ends_at_s: float | None, reminded_s: float | None = None) -> Machine:
    """Return a machine that is stored nowhere."""
    return Machine(
        id=MachineId("m"),
        platform_id=PLATFORM,
        offer_id=OFFER,
        name="m",
        size="s1",
        image="i1",
        lease_set_at_s=set_at_s,
        lease_ends_at_s=ends_at_s,
        reminded_s=reminded_s,
    )


WEEK = {"set_at_s": 0.0, "ends_at_s": 7 * DAY_S}


@pytest.mark.parametrize(
    ("machine", "now_s", "due_s"),
    [
        pytest.param(lent(set_at_s=0.0, ends_at_s=None), 1e9, None, id="no end"),
        pytest.param(lent(**WEEK), 5 * DAY_S, None, id="too early"),
        pytest.param(lent(**WEEK), 6 * DAY_S, DAY_S, id="a day before"),
        pytest.param(lent(**WEEK, reminded_s=DAY_S), 6.5 * DAY_S, None, id="said once"),
        pytest.param(lent(**WEEK, reminded_s=DAY_S), 7 * DAY_S - 3600, 3600.0, id="an hour before"),
        pytest.param(lent(**WEEK), 7 * DAY_S - 60, 3600.0, id="nobody looked for days: the latest alone"),
        pytest.param(lent(**WEEK, reminded_s=3600.0), 7 * DAY_S - 60, None, id="all said"),
        pytest.param(lent(set_at_s=0.0, ends_at_s=7200.0), 10.0, None, id="a lease of two hours: no day before it"),
        pytest.param(lent(set_at_s=0.0, ends_at_s=7200.0), 3600.0, 3600.0, id="its hour"),
        pytest.param(lent(set_at_s=0.0, ends_at_s=3600.0), 10.0, None, id="a lease of an hour: none"),
    ],
)
def test_which_reminder_is_due(machine: Machine, now_s: float, due_s: float | None) -> None:
    """Each is given once, the latest only, and none that was due when the lease was set."""
    assert due_reminder(machine, now_s, REMINDERS_S) == due_s


async def pass_to(world: Life, at_s: float) -> None:
    """Let the clock come to ``at_s``, and all work be done, leases included, twice."""
    world.clock.advance(at_s - world.clock.now_s())
    for _ in range(2):
        await world.database.write(lambda tx: end_due(tx, world.clock.now_s(), REMINDERS_S))
        while await world.all_due():
            pass


def told(tx: Tx, kind: str) -> list[Event]:
    """Return the events of this kind."""
    return list(rows.where(tx, Event, kind=kind))


def test_a_lease_from_order_to_end(tmp_path: Path) -> None:
    """Two machines for two days: both are reminded of; one is extended and reminded of again, each is given back once.

    The cloud destroys each once, and nothing of them is left.
    """
    clock, cloud = ManualClock(), MemoryCloud(ManualClock())

    async def story() -> None:
        async with life(tmp_path, clock, cloud) as world:
            await world.database.write(lambda tx: change_rule(tx, holder(tx, PROJECT), {"default_s": 2 * DAY_S}, 1.0))
            orders = [await world.place(), await world.place()]
            await world.settled()
            machines = {each.order_id: each for each in await world.machines()}
            first, second = (machines[each.id] for each in orders)
            assert first.lease_ends_at_s is not None
            begun_s = first.lease_ends_at_s - 2 * DAY_S
            assert orders[0].created_at_s < begun_s <= clock.now_s()  # when it was handed over, not when ordered

            await pass_to(world, begun_s + DAY_S + 60)
            assert len(await world.database.read(lambda tx: told(tx, "machine.lease-ending"))) == 2
            await pass_to(world, begun_s + 2 * DAY_S - 3600)
            reminders = await world.database.read(lambda tx: told(tx, "machine.lease-ending"))
            assert [each.data["left_s"] for each in reminders if each.subject_id == first.id][1] == 3600
            assert all(each.project_id == PROJECT for each in reminders)

            def longer(tx: Tx) -> Machine:
                return extend(tx, rows.by_id(tx, Machine, second.id), 2 * DAY_S, clock.now_s(), by_admin=False)

            await world.database.write(longer)
            await pass_to(world, begun_s + 2 * DAY_S + 60)
            await world.settled()
            states = {each.id: (each.state, each.reason) for each in await world.machines()}
            assert states[first.id] == (MachineState.GONE, LEASE_ENDED)
            assert states[second.id][0] is MachineState.IN_USE

            await pass_to(world, begun_s + 5 * DAY_S)
            await world.settled()
            assert {each.state for each in await world.machines()} == {MachineState.GONE}
            ended = await world.database.read(lambda tx: told(tx, "machine.destroying"))
            assert sorted(each.subject_id for each in ended) == sorted((first.id, second.id))

    asyncio.run(story())
    assert (len(cloud.destroyed), cloud.present) == (2, ())


def test_what_has_no_end_stays(tmp_path: Path) -> None:
    """A machine without a lease outlives a year."""
    clock = ManualClock()

    async def story() -> None:
        async with life(tmp_path, clock, MemoryCloud(ManualClock())) as world:
            await world.place()
            await world.settled()
            await pass_to(world, clock.now_s() + 365 * DAY_S)
            (machine,) = await world.machines()
            assert (machine.state, machine.lease_ends_at_s) == (MachineState.IN_USE, None)

    asyncio.run(story())
