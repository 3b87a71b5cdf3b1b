"""What was asked of a machine's cloud, and left by whoever asked, is gone on with: done, taken back, or tried again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlmodel import Session

from catalog import changing
from catalog.model.consent import Grant
from catalog.model.machine import Machine
from catalog.store import rows
from gateway.background.changes import FinishChanges
from tests.support.clocks import ManualClock
from tests.support.doubles import MemoryCloud, MemoryClouds
from tests.support.ordering import PLATFORM, Life, life
from tests.support.rounds import one_round

VERBS = ["create", "list", "destroy", "rebuild", "resize", "rename"]
DEEDS: dict[str, Callable[[Session, Machine, float], changing.Change]] = {
    "resize": lambda tx, held, now_s: changing.resize(tx, held, "large", now_s),
    "rename": lambda tx, held, now_s: changing.rename(tx, held, "web", now_s),
    "rebuild": lambda tx, held, now_s: changing.rebuild(tx, held, None, now_s),
}


async def look(running: Life, cloud: MemoryCloud, after_s: float) -> Machine:
    """Let the task run ``after_s`` later, with a fresh memory; return the machine as it then is."""
    running.clock.advance(after_s)
    clouds = MemoryClouds({PLATFORM: cloud})
    await one_round(FinishChanges(database=running.database, clock=running.clock, clouds=clouds))
    [machine] = await running.machines()
    return machine


def run(folder: Path, deed: str, story: Callable[[Life, MemoryCloud], Awaitable[None]]) -> None:
    """Run ``story`` with a machine of which ``deed`` was written, and whose cloud nobody has asked."""

    async def all_of_it() -> None:
        clock = ManualClock()
        cloud = MemoryCloud(clock)
        async with life(folder, clock, cloud) as running:
            await running.place("shop")
            await running.settled()

            def left(tx: Session) -> None:
                rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"verbs": VERBS}, clock.now_s())
                DEEDS[deed](tx, rows.where(tx, Machine)[0], clock.now_s())

            await running.database.write(left)
            await story(running, cloud)

    asyncio.run(all_of_it())


@pytest.mark.parametrize("deed", ["resize", "rename"])
def test_it_is_asked_again_once_nobody_waits_for_it(deed: str, tmp_path: Path) -> None:
    """Not before two minutes have passed; then the cloud is asked, and nothing is under way any more."""

    async def story(running: Life, cloud: MemoryCloud) -> None:
        [before] = cloud.present
        waiting = await look(running, cloud, changing.LEFT_ALONE_S - 1)
        assert (waiting.changing is not None, cloud.present) == (True, (before,))
        machine = await look(running, cloud, 1)
        [now] = cloud.present
        assert machine.changing is None
        assert (now.size, now.name) == (("s2", before.name) if deed == "resize" else (before.size, machine.name))
        assert machine.name.startswith("web-" if deed == "rename" else "shop-")

    run(tmp_path, deed, story)


def test_a_cloud_that_is_away_is_asked_until_it_answers(tmp_path: Path) -> None:
    """Unreachable: it stays wanted; back again: it is done."""

    async def story(running: Life, cloud: MemoryCloud) -> None:
        cloud.unreachable = True
        waiting = await look(running, cloud, changing.LEFT_ALONE_S)
        assert (waiting.size, waiting.changing is not None) == ("s2", True)
        cloud.unreachable = False
        assert (await look(running, cloud, 60)).changing is None
        assert [each.size for each in cloud.present] == ["s2"]

    run(tmp_path, "resize", story)


def test_a_clear_no_takes_it_back(tmp_path: Path) -> None:
    """The cloud knows no such machine: the row is as it was before anybody asked."""

    async def story(running: Life, cloud: MemoryCloud) -> None:
        cloud.vanish(cloud.present[0].cloud_id)
        machine = await look(running, cloud, changing.LEFT_ALONE_S)
        assert (machine.size, machine.changing) == ("s1", None)

    run(tmp_path, "resize", story)


def test_a_rebuild_is_not_asked_for_twice(tmp_path: Path) -> None:
    """Whether it was done is not known, and somebody may use the machine since: nothing is lost by asking again."""

    async def story(running: Life, cloud: MemoryCloud) -> None:
        before = cloud.present
        machine = await look(running, cloud, changing.LEFT_ALONE_S)
        assert (machine.changing, cloud.present) == (None, before)

    run(tmp_path, "rebuild", story)
