"""The order application's tasks over a real database."""

import asyncio
from pathlib import Path

from catalog.leases.rules import extend
from catalog.messages.in_database import InDatabaseQueue
from catalog.model.ids import MachineId
from catalog.model.machine import Machine, MachineState
from catalog.orders.steps import UNWATCHED
from catalog.store import outbox, rows
from catalog.store.database import Tx
from gateway.background.order_work import OrderPolicy, OrderWork
from gateway.background.runner import BackgroundTask
from tests.support.clocks import ManualClock
from tests.support.ordering import OFFER, PLATFORM, PROJECT, RETRY, seeded_database


def test_the_task_of_leases_gives_back_what_is_over(tmp_path: Path) -> None:
    """Before its end a machine stays; at its end it is on its way out, and what the cloud is asked waits to be sent."""

    def lent(tx: Tx) -> Machine:
        machine = Machine(
            id=MachineId("m1"),
            platform_id=PLATFORM,
            offer_id=OFFER,
            project_id=PROJECT,
            name="m1",
            size="s1",
            image="i1",
            state=MachineState.IN_USE,
        )
        rows.insert(tx, machine, 1.0)
        return extend(tx, machine, 60.0, clock.now_s(), by_admin=True, may_give_end=True)

    clock = ManualClock()

    async def story() -> None:
        async with seeded_database(tmp_path, clock) as database:
            policy = OrderPolicy(retry=RETRY, pool_failure_limit=5, pools_period_s=5.0, lease_reminders_s=())
            work = OrderWork(
                database=database,
                queue=InDatabaseQueue(database, clock),
                clock=clock,
                checkpoint=UNWATCHED,
                policy=policy,
            )
            (leases,) = (each for each in work.tasks() if each.name == "leases")
            assert isinstance(leases, BackgroundTask)
            await database.write(lent)
            for seconds, state, messages in ((59.0, MachineState.IN_USE, 0), (1.0, MachineState.DESTROYING, 1)):
                clock.advance(seconds)
                for _ in range(2):
                    await leases.run_once()
                found = await database.read(lambda tx: rows.by_id(tx, Machine, "m1"))
                assert found.state is state
                assert len(await database.read(lambda tx: outbox.unsent(tx, 10))) == messages

    asyncio.run(story())
