"""The two applications of S4 put together from parts that can be exchanged, over a real cloud process.

One ``Applications`` is one process's life: fresh objects on the files of a folder, moved by hand, with a clock that
jumps. ``Parts`` says of what it is made: the product's own, or a mutant's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.messages.contracts import TO_ORDERS, TO_PROVISIONER
from catalog.messages.dispatch import dispatch_outbox
from catalog.messages.in_database import InDatabaseQueue
from catalog.model.offering import InventoryItem
from catalog.model.order import Order, OrderState
from catalog.orders.place import place
from catalog.orders.settle import Settler
from catalog.store import outbox, rows
from catalog.store.database import Database, Tx
from drivers.provisioner.journal import ProvisionPolicy, Records
from drivers.provisioner.records import SqliteRecords
from drivers.provisioner.run import Provisioner
from tests.support.clocks import ManualClock
from tests.support.clouds import RunningCloud
from tests.support.doubles import KillingCheckpoint, MemoryClouds
from tests.support.ordering import OWNER, PLATFORM, PROJECT, RETRY, seeded_database

IMAGE = "Debian 12"
# Nothing is looked through again after its end: what slips past is to be seen, not to be mended.
NO_SWEEP = ProvisionPolicy(sweep_for_s=0.0)
_JUMP_S = 5.0
_ROUNDS = 60
_ENDED = (OrderState.FULFILLED, OrderState.FAILED, OrderState.CANCELLED)


class Gate:
    """Where calls to the cloud can be held: ``arrived`` counts those that came, which pass while it is open."""

    def __init__(self) -> None:
        self.arrived = 0
        self._open = asyncio.Event()
        self._open.set()

    def close(self) -> None:
        """Let nobody pass from now on."""
        self.arrived = 0
        self._open.clear()

    def open(self) -> None:
        """Let everybody pass."""
        self._open.set()

    async def passed(self) -> None:
        """Arrive, and return when it is open."""
        self.arrived += 1
        await self._open.wait()


class GatedDriver:
    """A cloud's driver whose answers to look-ups, and whose creations, wait at gates."""

    def __init__(self, driver: Any, looked: Gate, creating: Gate) -> None:
        self._driver, self._looked, self._creating = driver, looked, creating

    def __getattr__(self, name: str) -> Any:
        """Whatever has no gate."""
        return getattr(self._driver, name)

    async def find_machines(self, tags: Any) -> Any:
        """Look, then wait with what was seen."""
        found = await self._driver.find_machines(tags)
        await self._looked.passed()
        return found

    async def create_machine(self, spec: Any) -> Any:
        """Wait, then create."""
        await self._creating.passed()
        return await self._driver.create_machine(spec)


@dataclass(slots=True, kw_only=True)
class Applications:
    """One life of both; two provisioners, as two workers on the same records."""

    database: Database
    queue: InDatabaseQueue
    records: Records
    provisioners: tuple[Provisioner, Provisioner]
    settler: Settler
    clock: ManualClock
    checkpoint: KillingCheckpoint
    looked: Gate
    creating: Gate

    async def dispatched(self) -> int:
        """Send what waits in the outbox."""
        return await dispatch_outbox(self.database, self.queue, self.clock, self.checkpoint)

    def put_order(self, tx: Tx) -> Order:
        """Write an order, and what it sends, in the transaction."""
        return place(
            tx, project_id=PROJECT, offer="north", size="small", image=IMAGE, name=None, now_s=self.clock.now_s(),
            policy=RETRY,
        )  # fmt: skip

    async def settled(self) -> None:
        """Do all that is due, letting the clock jump, until every order has ended. Raises TimeoutError otherwise.

        Orders of which nothing is heard are not asked for again: that net would hide what fell through the others.
        """
        for _ in range(_ROUNDS):
            if await self._all_due():
                continue
            if await self.database.read(_is_at_rest):
                return
            self.clock.advance(_JUMP_S)
        raise TimeoutError(f"orders did not end within {_ROUNDS * _JUMP_S:.0f} s of the clock")

    async def orders(self) -> dict[str, OrderState]:
        """Return every order's state."""
        found = await self.database.read(lambda tx: rows.where(tx, Order))
        return {str(each.id): each.state for each in found}

    async def _all_due(self) -> int:
        done = await self.dispatched()
        first = self.provisioners[0]
        while await self.queue.deliver_one(TO_PROVISIONER, first.receive):
            done += 1
        while await first.work_one():
            done += 1
        done += await first.publish_results()
        while await self.queue.deliver_one(TO_ORDERS, self.settler.receive):
            done += 1
        return done


Place = Callable[[Applications], Awaitable[Order]]


async def with_outbox(applications: Applications) -> Order:
    """Place an order as the product does: its message is in the outbox in the same transaction."""
    return await applications.database.write(applications.put_order)


def _same(part: Any) -> Any:
    return part


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Of what the applications are made; by default of what the product is made of."""

    queue: type[InDatabaseQueue] = InDatabaseQueue
    records: Callable[[Records], Records] = _same
    driver: Callable[[Any], Any] = _same
    place: Place = with_outbox


@asynccontextmanager
async def living(
    folder: Path, clock: ManualClock, cloud: RunningCloud, parts: Parts, *, dies_at: str = ""
) -> AsyncIterator[Applications]:
    """Start both applications on the files of ``folder``; they die when they reach the step ``dies_at``."""
    checkpoint = KillingCheckpoint(dies_at)
    looked, creating = Gate(), Gate()
    driver = cloud.driver()
    try:
        async with (
            seeded_database(folder, clock) as database,
            SqliteRecords.open(folder / "provisioner.sqlite3") as kept,
        ):
            await database.write(_add_image)
            queue, records = parts.queue(database, clock), parts.records(kept)
            await queue.prepare()

            def provisioner() -> Provisioner:
                return Provisioner(
                    queue=queue,
                    clouds=MemoryClouds({PLATFORM: GatedDriver(parts.driver(driver), looked, creating)}),
                    records=records,
                    clock=clock,
                    checkpoint=checkpoint,
                    owner=OWNER,
                    policy=NO_SWEEP,
                )

            yield Applications(
                database=database,
                queue=queue,
                records=records,
                provisioners=(provisioner(), provisioner()),
                settler=Settler(database, clock, RETRY, checkpoint),
                clock=clock,
                checkpoint=checkpoint,
                looked=looked,
                creating=creating,
            )
    finally:
        await driver.close()


def _add_image(tx: Tx) -> None:
    if not rows.where(tx, InventoryItem, name=IMAGE):
        rows.insert(tx, InventoryItem(platform_id=PLATFORM, kind="image", cloud_id="img-debian-12", name=IMAGE), 1.0)


def _is_at_rest(tx: Tx) -> bool:
    return not outbox.unsent(tx, 1) and all(each.state in _ENDED for each in rows.where(tx, Order))
