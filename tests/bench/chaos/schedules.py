"""Short stories in which exactly the wrong thing happens at exactly the wrong moment, with nothing that mends later.

Every one leaves one machine per order if the product keeps its promise, and is told apart from luck by the mutants:
each of them loses or doubles an order in one of these.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.messages.contracts import TO_PROVISIONER, Message
from catalog.messages.queue import Handler
from catalog.model.order import OrderState
from tests.bench.chaos.judged import Judged, judged
from tests.bench.chaos.parts import Applications, Gate, Parts, living
from tests.support.clocks import ManualClock
from tests.support.clouds import RunningCloud
from tests.support.doubles import Crash
from tests.support.waiting import until


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a story is played."""

    folder: Path
    clock: ManualClock
    cloud: RunningCloud
    parts: Parts

    async def dies(self, step: str, act: Callable[[Applications], Awaitable[object]]) -> None:
        """Live until ``act`` reaches ``step``, and die there."""
        died = False
        try:
            async with living(self.folder, self.clock, self.cloud, self.parts, dies_at=step) as alive:
                await act(alive)
        except* Crash:
            died = True
        assert died, f"the story never reaches {step}"

    async def lives(self, act: Callable[[Applications], Awaitable[object]] | None = None) -> Judged:
        """Live, do ``act``, see every order to its end, and return what the cloud's ledger says of that."""
        async with living(self.folder, self.clock, self.cloud, self.parts) as alive:
            if act is not None:
                await act(alive)
            # An order that never ends is lost, and the ledger says so.
            with contextlib.suppress(TimeoutError):
                await alive.settled()
            orders = await alive.orders()
        fulfilled = [order for order, state in orders.items() if state is OrderState.FULFILLED]
        return judged(self.cloud.ledger(), orders, fulfilled)


async def dies_before_it_is_written(stage: Stage) -> Judged:
    """The provisioner is handed a message and dies before anything of it is on disk."""

    async def act(alive: Applications) -> None:
        await stage.parts.place(alive)
        await alive.dispatched()
        await alive.queue.deliver_one(TO_PROVISIONER, alive.provisioners[0].receive)

    await stage.dies("provision.receive.begin", act)
    return await stage.lives()


async def dies_before_it_is_published(stage: Stage) -> Judged:
    """The order is committed, and the process dies before its message has left."""

    async def act(alive: Applications) -> None:
        await stage.parts.place(alive)
        await alive.dispatched()

    await stage.dies("order.publish.begin", act)
    return await stage.lives()


async def the_cloud_lies(stage: Stage) -> Judged:
    """The cloud creates, and answers 503."""
    stage.cloud.faults({"match": "POST /v1/machines", "kind": "lost-reply", "times": 1})
    return await stage.lives(stage.parts.place)


async def comes_again_in_mid_look_up(stage: Stage) -> Judged:
    """While a worker holds what its look-up saw, the message is delivered to another, who looks as well."""
    return await stage.lives(lambda alive: _two_at_once(stage, alive, alive.looked))


async def comes_again_in_mid_create(stage: Stage) -> Judged:
    """While a worker's creation is under way, the message is delivered to another."""
    return await stage.lives(lambda alive: _two_at_once(stage, alive, alive.creating))


async def _two_at_once(stage: Stage, alive: Applications, gate: Gate) -> None:
    """Hold one worker at ``gate``, let the other do what it may, and go on with both."""
    await stage.parts.place(alive)
    await alive.dispatched()
    first, second = alive.provisioners
    await alive.queue.deliver_one(TO_PROVISIONER, _both(first.receive, second.receive))
    gate.close()
    async with asyncio.TaskGroup() as workers:
        workers.create_task(first.work_one())
        await until(lambda: gate.arrived == 1)
        other = workers.create_task(second.work_one())
        await until(lambda: other.done() or gate.arrived > 1)
        gate.open()


def _both(*handlers: Handler) -> Handler:
    async def handle(message: Message) -> None:
        for each in handlers:
            await each(message)

    return handle


SCHEDULES: Final[tuple[Callable[[Stage], Awaitable[Judged]], ...]] = (
    dies_before_it_is_written,
    dies_before_it_is_published,
    the_cloud_lies,
    comes_again_in_mid_look_up,
    comes_again_in_mid_create,
)


def played(folder: Path, cloud: RunningCloud, parts: Parts, schedule: Callable[[Stage], Awaitable[Judged]]) -> Judged:
    """Play ``schedule`` with applications of ``parts``, on files and at a cloud that nobody used before."""
    stage = Stage(folder=folder, clock=ManualClock(), cloud=cloud, parts=parts)
    return asyncio.run(schedule(stage))
