"""The provisioner: receive messages into the journal, work the journal off, publish results (S4).

A message is acknowledged as soon as the journal holds it; no delivery is held while a machine boots. After a
restart the journal alone says what is left to do.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

from catalog.clouds import Clouds
from catalog.messages.bell import Bell
from catalog.messages.contracts import (
    TAG_ASSET,
    TAG_MACHINE,
    TO_ORDERS,
    TO_PROVISIONER,
    CreateAsset,
    CreateMachine,
    DestroyAsset,
    DestroyMachine,
    EndEpoch,
    Message,
)
from catalog.messages.publishing import BATCH, publish_batch
from catalog.model.ids import MessageId, PlatformId
from catalog.ports import Checkpoint, Clock, MessageQueue
from drivers.provisioner.journal import TAG_OWNER, ProvisionPolicy, Records
from drivers.provisioner.work import Work

log = logging.getLogger(__name__)


class Provisioner:
    """Makes machines and assets as messages ask, and ends them. ``run`` does it all; the rest are its parts."""

    def __init__(
        self,
        *,
        queue: MessageQueue,
        clouds: Clouds,
        records: Records,
        clock: Clock,
        checkpoint: Checkpoint,
        owner: str,
        policy: ProvisionPolicy | None = None,
    ) -> None:
        """``owner`` names this gateway in the tags of its machines; it must never change or be shared."""
        self._queue = queue
        self._clouds = clouds
        self._records = records
        self._clock = clock
        self._checkpoint = checkpoint
        self._owner = owner
        self._policy = policy or ProvisionPolicy()
        self._at_work: Counter[PlatformId] = Counter()
        self._taking = asyncio.Lock()
        self._work_bell = Bell()
        self._result_bell = Bell()

    async def run(self) -> None:
        """Receive, work and publish until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queue.consume(TO_PROVISIONER, self.receive))
            tasks.create_task(self._publish_for_ever())
            for _ in range(self._policy.workers):
                tasks.create_task(self._work_for_ever())

    async def receive(self, message: Message) -> None:
        """Note in the journal what ``message`` asks; on return it is durable. May come any number of times."""
        self._checkpoint.reached("provision.receive.begin")
        now_s = self._clock.now_s()
        match message:
            case CreateMachine() | CreateAsset():
                await self._records.receive_create(message, self._tags(message), now_s)
            case DestroyMachine() | DestroyAsset():
                await self._records.receive_destroy(message, self._tags(message), now_s)
            case EndEpoch():
                await self._records.receive_end(message, now_s)
            case _:
                log.error("message not for the provisioner", extra={"type": message.type})
        self._checkpoint.reached("provision.receive.end")
        self._work_bell.ring()

    async def work_one(self) -> bool:
        """Carry the most overdue job one step further; False when none is due."""
        # One at a time, or all workers would take a job of the same platform before any of them is counted.
        async with self._taking:
            busy = [platform for platform, count in self._at_work.items() if count >= self._policy.workers_per_platform]
            job = await self._records.take(self._clock.now_s(), self._policy.lease_s, busy)
            if job is None:
                return False
            self._at_work[job.platform] += 1
        try:
            self._checkpoint.reached("provision.taken")
            work = Work(
                job,
                records=self._records,
                clouds=self._clouds,
                clock=self._clock,
                checkpoint=self._checkpoint,
                policy=self._policy,
            )
            await work.advance()
        finally:
            self._at_work[job.platform] -= 1
        self._result_bell.ring()
        return True

    async def publish_results(self) -> int:
        """Publish every result that the queue has not confirmed, and return how many. May be interrupted anywhere."""

        async def mark(confirmed: Sequence[MessageId]) -> None:
            await self._records.mark_sent(confirmed, self._clock.now_s())

        published = 0
        while batch := await self._records.unsent(BATCH):
            outgoing = [(message_id, TO_ORDERS, body) for message_id, body in batch]
            await publish_batch(self._queue, outgoing, mark, checkpoint=self._checkpoint, application="provision")
            published += len(batch)
        return published

    async def _work_for_ever(self) -> None:
        while True:
            ticket = self._work_bell.ticket()
            if not await self.work_one():
                await self._work_bell.wait(ticket, self._policy.idle_poll_s)

    async def _publish_for_ever(self) -> None:
        while True:
            ticket = self._result_bell.ticket()
            if not await self.publish_results():
                await self._result_bell.wait(ticket, self._policy.idle_poll_s)

    def _tags(self, message: CreateMachine | DestroyMachine | CreateAsset | DestroyAsset) -> dict[str, str]:
        if isinstance(message, CreateAsset | DestroyAsset):
            return {**message.tags, TAG_OWNER: self._owner, TAG_ASSET: message.asset}
        return {**message.tags, TAG_OWNER: self._owner, TAG_MACHINE: message.machine}
