"""Tells the event log to webhooks: one courier for each, so that a slow receiver delays no other."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from catalog import deliveries
from catalog.deliveries import Attempt, Outcome
from catalog.errors import CatalogError, ReceiverUnreachable
from catalog.model.ids import WebhookId
from catalog.ports import Clock, WebhookSender
from catalog.secrets import Sealer
from catalog.store import webhooks as store
from catalog.store.database import Database
from catalog.webhooks import WebhookPolicy
from gateway.background.runner import contained
from gateway.errors import InternalError

log = logging.getLogger(__name__)

LOOK_S = 60.0  # the fallback where a bell should have rung, and for retries that became due
PAUSE_S = 5.0  # after a mistake of ours, or of the database


@dataclass(frozen=True, slots=True, kw_only=True)
class Couriers:
    """Keeps a courier for every active webhook; woken by every event."""

    database: Database
    clock: Clock
    sealer: Sealer
    sender: WebhookSender
    policy: WebhookPolicy
    jitter: Callable[[], float] = random.random

    async def run(self) -> None:
        """Run until cancelled."""
        running: dict[WebhookId, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                ticket = self.database.told.ticket()
                for webhook_id in await self.database.read(store.active):
                    if webhook_id not in running:
                        running[webhook_id] = tasks.create_task(self._serve(webhook_id))
                running = {key: task for key, task in running.items() if not task.done()}
                await self.database.told.wait(ticket, LOOK_S)

    async def _serve(self, webhook_id: WebhookId) -> None:
        """Tell one webhook what concerns it, until it is disabled or deleted."""
        while True:
            ticket = self.database.told.ticket()
            try:
                patience_s = await contained(lambda: self._tell_all(webhook_id), (CatalogError,))
            except (CatalogError, InternalError) as error:
                # The others' couriers go on.
                log.warning("a webhook cannot be served now", extra={"webhook": webhook_id}, exc_info=error)
                await asyncio.sleep(PAUSE_S)
                continue
            if patience_s is None:
                return
            await self.database.told.wait(ticket, patience_s)

    async def _tell_all(self, webhook_id: WebhookId) -> float | None:
        """Tell what there is to tell now; return how long to wait then, None when it is disabled or deleted."""
        if webhook_id not in await self.database.read(store.active):
            return None
        while await self._tell_next(webhook_id):
            pass
        return await self._patience_s(webhook_id)

    async def _tell_next(self, webhook_id: WebhookId) -> bool:
        """Plan what is new, send what is due first, and return whether there may be more to do at once."""
        database, now_s = self.database, self.clock.now_s()
        if await database.read(lambda tx: deliveries.is_behind(tx, webhook_id)):
            await database.write(lambda tx: deliveries.plan(tx, webhook_id, now_s))
        attempt = await database.read(lambda tx: deliveries.next_attempt(tx, webhook_id, self.sealer, now_s))
        if attempt is None:
            return await database.read(lambda tx: deliveries.is_behind(tx, webhook_id))
        await self._deliver(attempt)
        return True

    async def _deliver(self, attempt: Attempt) -> None:
        if attempt.body is None:
            await self.database.write(lambda tx: deliveries.lose(tx, attempt.delivery_id, self.clock.now_s()))
            return
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        status, reason = None, ""
        try:
            status = await self.sender.send(attempt.url, attempt.headers, attempt.body)
        except ReceiverUnreachable as error:
            reason = str(error)
        outcome = Outcome(status=status, took_ms=round((loop.time() - began_s) * 1000, 1), reason=reason)
        log.info("webhook sent", extra={"delivery": attempt.delivery_id, "status": status, "took_ms": outcome.took_ms})
        await self.database.write(
            lambda tx: deliveries.settle(
                tx, attempt.delivery_id, outcome, self.policy, self.clock.now_s(), jitter=self.jitter
            )
        )

    async def _patience_s(self, webhook_id: WebhookId) -> float:
        due_s = await self.database.read(lambda tx: deliveries.next_due_s(tx, webhook_id))
        return LOOK_S if due_s is None else min(LOOK_S, max(0.0, due_s - self.clock.now_s()))
