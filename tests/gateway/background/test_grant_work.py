"""What is over ends in a task of its own, which asks the one writer only when something is over."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from catalog import consent
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import MachineId
from catalog.model.machine import Machine, MachineState
from catalog.store import rows
from catalog.winding_down import BATCH
from gateway.background.grant_work import end_what_is_over
from tests.support.clocks import ManualClock
from tests.support.ordering import OFFER, PLATFORM, seeded_database


def test_the_writer_is_not_waited_for_when_nothing_is_over(tmp_path: Path) -> None:
    """While another transaction holds it, a run comes to its end all the same."""
    let_go = threading.Event()

    async def run() -> None:
        clock = ManualClock()
        async with seeded_database(tmp_path, clock) as database, asyncio.TaskGroup() as tasks:
            tasks.create_task(database.write(lambda _: let_go.wait(20)))
            try:
                async with asyncio.timeout(10):
                    await end_what_is_over(database, clock)
            finally:
                let_go.set()

    asyncio.run(run())


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_machines_of_an_ended_grant_are_destroyed_in_portions(tmp_path: Path, end: str) -> None:
    """At their time and not before, the earliest first, at most so many in a transaction; then the writer has peace."""
    count = BATCH + 3

    def prepare(tx: Any, now_s: float) -> None:
        grant = rows.by_id(tx, Grant, "grant_M")
        ends = {"on_end": "keep", "wind_down_s": 600.0, "expires_at_s": now_s if end == "expired" else None}
        rows.update(tx, grant, ends, now_s)
        for number in range(count):
            machine = Machine(
                id=MachineId(f"machine_{number:03}"), platform_id=PLATFORM, offer_id=OFFER, state=MachineState.IDLE,
                name=str(number), size="s1", image="i1",
            )  # fmt: skip
            rows.insert(tx, machine, now_s)
        if end == "revoked":
            consent.revoke(tx, "grant_M", now_s)

    async def run() -> None:
        clock = ManualClock()
        async with seeded_database(tmp_path, clock) as database:

            async def left() -> int:
                await end_what_is_over(database, clock)
                return len(await database.read(lambda tx: rows.where(tx, Machine, state=MachineState.IDLE)))

            await database.write(lambda tx: prepare(tx, clock.now_s()))
            assert await left() == count
            state = (await database.read(lambda tx: rows.by_id(tx, Grant, "grant_M"))).state
            assert state is (GrantState.REVOKED if end == "revoked" else GrantState.EXPIRED)
            clock.advance(599)
            assert await left() == count
            clock.advance(1)
            assert [await left() for _ in range(3)] == [3, 0, 0]

    asyncio.run(run())
