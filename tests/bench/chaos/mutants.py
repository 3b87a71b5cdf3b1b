"""What the applications would be without one of the things that keep them to exactly one machine per order.

Each replaces one part through its public face; nothing in the product knows of it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from catalog.messages.contracts import Message, from_json
from catalog.messages.in_database import InDatabaseQueue
from catalog.messages.queue import Handler
from catalog.model.ids import PlatformId
from catalog.model.order import Order
from catalog.store import outbox
from catalog.store.database import Tx
from drivers.provisioner.journal import Job, Records
from tests.bench.chaos.parts import Applications, Parts


class EarlyAck(InDatabaseQueue):
    """Forgets a message when it hands it out, not when it is handled."""

    async def deliver_one(self, topic: str, handle: Handler) -> bool:
        """Take it, forget it, then have it handled."""
        taken: list[Message] = []

        async def take(message: Message) -> None:
            taken.append(message)

        delivered = await super().deliver_one(topic, take)
        for message in taken:
            await handle(message)
        return delivered


class NoAdopt:
    """A driver that never finds what was made before."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        """Everything but looking."""
        return getattr(self._driver, name)

    async def find_machines(self, tags: Mapping[str, str]) -> Sequence[Any]:
        """Return nothing."""
        del tags
        return ()


class NoLease:
    """Records that let anybody work on anything, and take whatever anybody writes."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def __getattr__(self, name: str) -> Any:
        """Everything but leases."""
        return getattr(self._records, name)

    async def take(self, now_s: float, lease_s: float, busy: Collection[PlatformId]) -> Job | None:
        """Take it under a lease that is over at once."""
        del lease_s
        return await self._records.take(now_s, 0.0, busy)

    async def write(self, job: Job, results: Sequence[Message], now_s: float, *, release: bool) -> Job:
        """Write it, whoever has taken it since."""
        held = await self._records.job(job.subject)
        assert held is not None
        unheld = replace(job, fence=held.fence, lease_until_s=0.0)
        return await self._records.write(unheld, results, now_s, release=release)


async def without_outbox(applications: Applications) -> Order:
    """Commit the order, then publish: what dies between leaves an order of which nobody is told."""

    def work(tx: Tx) -> tuple[Order, list[tuple[str, Message]]]:
        order = applications.put_order(tx)
        tx.flush()
        told = outbox.unsent(tx, 100)
        messages = [(each.topic, from_json(each.body)) for each in told]
        outbox.mark_sent(tx, [each.id for each in told], applications.clock.now_s())
        return order, messages

    order, messages = await applications.database.write(work)
    for topic, message in messages:
        applications.checkpoint.reached("order.publish.begin")
        await applications.queue.publish(topic, message)
    return order


MUTANTS: Final[Mapping[str, Parts]] = {
    "early-ack": Parts(queue=EarlyAck),
    "no-adopt": Parts(driver=NoAdopt),
    "no-lease": Parts(records=NoLease),  # type: ignore[arg-type]  # the rest of the protocol is passed on
    "no-outbox": Parts(place=without_outbox),
}
