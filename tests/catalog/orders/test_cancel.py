"""An order is cancelled at any step: it stays cancelled, nothing is left of it, and what it took up is free again."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.errors import WrongState
from catalog.messages.contracts import TO_ORDERS, TO_PROVISIONER, MachineCreated, Message
from catalog.messages.dispatch import dispatch_outbox
from catalog.model.ids import MachineId, MessageId, OrderId, new_id
from catalog.model.machine import Machine, MachineState
from catalog.model.order import Order, OrderState
from catalog.orders.retry import cancel, retry_due
from catalog.orders.settle import settle
from catalog.store import rows
from tests.support.clocks import ManualClock
from tests.support.doubles import Lie, MemoryCloud
from tests.support.ordering import JUMP_S, PLATFORM, RETRY, Life, life, order, seed, seeded_database
from tests.support.stores import Store

MOST_STEPS = 60
ENDED = {OrderState.FULFILLED, OrderState.FAILED, OrderState.CANCELLED}
AT_ONCE = 20


class OneByOne:
    """Both applications, one piece of work after the other; every report is delivered three times."""

    def __init__(self, running: Life) -> None:
        self.running = running
        self.reports: list[Message] = []

    async def step(self) -> None:
        """Do one piece of work; where none is due let the clock jump."""
        running = self.running
        now_s = running.clock.now_s()
        done = (
            await dispatch_outbox(running.database, running.queue, running.clock, running.checkpoint)
            or await running.queue.deliver_one(TO_PROVISIONER, running.provisioner.receive)
            or await running.provisioner.work_one()
            or await running.provisioner.publish_results()
            or await running.queue.deliver_one(TO_ORDERS, self._thrice)
            or await running.database.write(lambda tx: retry_due(tx, now_s, RETRY))
        )
        if not done:
            running.clock.advance(JUMP_S)

    async def again(self) -> None:
        """Report once more all that was reported, as a provisioner does that was asked again."""
        for number, message in enumerate(self.reports):
            await self.running.settler.receive(replace(message, id=MessageId(f"message_again{number}")))

    async def _thrice(self, message: Message) -> None:
        self.reports.append(message)
        for _ in range(3):
            await self.running.settler.receive(message)


@pytest.mark.parametrize(
    "lie", [Lie.NONE, Lie.CREATED_BUT_503, Lie.TIMED_OUT_CREATED_LATER, Lie.UNAVAILABLE, Lie.ERROR_MACHINE]
)
def test_cancelled_after_any_step_it_stays_so_and_leaves_nothing(lie: Lie, tmp_path: Path) -> None:
    """After each piece of work there is, from the order to its machine: CANCELLED, the cloud empty, the quota free.

    Reports come three times each, and once more when all is over. The grant admits one machine: the next order gets it.
    """
    fresh = tmp_path / "fresh"
    fresh.mkdir()

    async def cancelled_after(count: int) -> bool:
        clock = ManualClock()
        cloud = MemoryCloud(clock)
        cloud.lies.append(lie)
        folder = shutil.copytree(fresh, tmp_path / str(count))
        async with life(folder, clock, cloud, quota=1) as running:
            placed, work = await running.place(), OneByOne(running)
            for _ in range(count):
                await work.step()
            if (await running.orders())[placed.name].state in ENDED:
                return False
            await running.database.write(lambda tx: cancel(tx, OrderId(placed.id), clock.now_s()))
            for _ in range(2):
                await running.settled()
                assert (await running.orders())[placed.name].state is OrderState.CANCELLED
                assert {each.state for each in await running.machines()} == {MachineState.GONE}
                assert cloud.present == ()
                await work.again()
            await running.settled()
            following = await running.place("next")
            await running.settled()
            assert (await running.orders())[following.name].state is OrderState.FULFILLED
            assert len(cloud.present) == 1
        return True

    async def story() -> None:
        async with seeded_database(fresh, ManualClock(), quota=1):
            pass  # made once, and copied: migrating each time takes longer than the rest
        for count in range(MOST_STEPS):
            if not await cancelled_after(count):
                assert count > 5
                return
        raise AssertionError("the order never ended by itself")

    asyncio.run(story())


def test_of_a_cancellation_and_a_machine_that_comes_at_once_one_wins(store: Store) -> None:
    """Whoever is first: FULFILLED and the cancellation is refused, or CANCELLED and the machine is destroyed."""
    store.write(seed)
    placed = [store.write(lambda tx: order(tx, None, store.now_s)) for _ in range(AT_ONCE)]

    def report(held: Order) -> MachineCreated:
        return MachineCreated(
            id=MessageId(new_id("message", store.now_s)),
            created_at_s=store.now_s,
            machine=MachineId(str(held.machine_id)),
            platform=PLATFORM,
            attempt=1,
            cloud_id=f"vm-{held.id}",
        )

    refused: set[str] = set()

    async def cancelling(held: Order) -> None:
        try:
            await store.database.write(lambda tx: cancel(tx, OrderId(held.id), store.now_s))
        except WrongState:
            refused.add(held.id)

    async def reporting(held: Order) -> None:
        message = report(held)
        for _ in range(2):
            await store.database.write(lambda tx: settle(tx, message, store.now_s, RETRY))

    async def race() -> None:
        async with asyncio.TaskGroup() as group:
            for number, held in enumerate(placed):
                deeds = [cancelling(held), reporting(held)]
                for deed in deeds if number % 2 else reversed(deeds):
                    group.create_task(deed)

    store.run(race())
    assert 0 < len(refused) < AT_ONCE
    for held in placed:
        now = store.read(lambda tx, held=held: rows.by_id(tx, Order, held.id))  # type: ignore[misc]
        machine = store.read(lambda tx, held=held: rows.by_id(tx, Machine, str(held.machine_id)))  # type: ignore[misc]
        served = (OrderState.FULFILLED, MachineState.IN_USE)
        ended = (OrderState.CANCELLED, MachineState.DESTROYING)
        assert (now.state, machine.state) == (served if held.id in refused else ended)
