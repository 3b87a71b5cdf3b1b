"""The order application's background work (S2, S4): dispatch the outbox, settle results, retry, fill pools.

Each wakes the next: whatever settles, retries or fills may have put messages into the outbox.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from catalog.assets import retry as assets
from catalog.costs import budgets
from catalog.leases.ending import end_due
from catalog.messages.dispatch import dispatch_outbox
from catalog.orders import approving
from catalog.orders.policy import RetryPolicy
from catalog.orders.retry import retry_due
from catalog.orders.settle import Settler
from catalog.pool.apply import apply_all
from catalog.ports import Checkpoint, Clock, MessageQueue
from catalog.store import approvals
from catalog.store.database import Database, Tx
from gateway.background.runner import BackgroundTask, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPolicy:
    """How it is done. So many failed creations in a row stop a pool; a lease's end is told of so long before it."""

    retry: RetryPolicy
    pool_failure_limit: int
    pools_period_s: float
    lease_reminders_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderWork:
    """What order work needs."""

    database: Database
    queue: MessageQueue
    clock: Clock
    checkpoint: Checkpoint
    policy: OrderPolicy

    def tasks(self) -> list[BackgroundTask | Service]:
        """Return ``dispatch``, ``pools``, ``retry``, ``leases``, ``budgets``, ``approvals``, ``settle``.

        They wake each other.
        """
        dispatch = BackgroundTask(name="dispatch", run_once=self._dispatch, period_s=1.0, timeout_s=60.0)

        def then_dispatch(work: Callable[[Tx], int]) -> Callable[[], Awaitable[None]]:
            async def run() -> None:
                if await self.database.write(work):
                    dispatch.wake()

            return run

        async def approve() -> None:
            if await self.database.read(self._is_approval_due):
                await then_dispatch(self._settle_waiting)()

        pools = BackgroundTask(
            name="pools", run_once=then_dispatch(self._fill), period_s=self.policy.pools_period_s, timeout_s=30.0
        )

        def settled() -> None:
            dispatch.wake()
            pools.wake()

        settler = Settler(self.database, self.clock, self.policy.retry, self.checkpoint, settled=settled)
        return [
            Service(name="settle", run=lambda: settler.run(self.queue)),
            dispatch,
            pools,
            BackgroundTask(name="retry", run_once=then_dispatch(self._retry), period_s=1.0, timeout_s=30.0),
            BackgroundTask(name="approvals", run_once=approve, period_s=5.0, timeout_s=30.0),
            BackgroundTask(name="budgets", run_once=self._alert, period_s=60.0, timeout_s=60.0),
            BackgroundTask(name="leases", run_once=then_dispatch(self._end_leases), period_s=5.0, timeout_s=30.0),
        ]

    async def _dispatch(self) -> None:
        await dispatch_outbox(self.database, self.queue, self.clock, self.checkpoint)

    def _retry(self, tx: Tx) -> int:
        now_s = self.clock.now_s()
        orders = retry_due(tx, now_s, self.policy.retry, checkpoint=self.checkpoint)
        return orders + assets.retry_due(tx, now_s, self.policy.retry)

    def _end_leases(self, tx: Tx) -> int:
        return end_due(tx, self.clock.now_s(), self.policy.lease_reminders_s)

    def _is_approval_due(self, tx: Tx) -> bool:
        now_s = self.clock.now_s()
        return approvals.is_any_due(tx, now_s, now_s - approving.JUDGED_AGAIN_S)

    def _settle_waiting(self, tx: Tx) -> int:
        return approving.settle_waiting(tx, self.clock.now_s(), self.policy.retry)

    async def _alert(self) -> None:
        now_s = self.clock.now_s()
        if await self.database.read(lambda tx: budgets.is_alert_due(tx, now_s)):
            await self.database.write(lambda tx: budgets.alert(tx, now_s))

    def _fill(self, tx: Tx) -> int:
        return apply_all(tx, self.clock.now_s(), self.policy.retry, failure_limit=self.policy.pool_failure_limit)
