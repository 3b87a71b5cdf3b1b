"""What looks after the event log and the audit log: forgetting, signing, and telling webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from catalog import audit, deliveries, events
from catalog.ports import Clock, WebhookSender
from catalog.secrets import Sealer
from catalog.store.database import Database
from catalog.webhooks import WebhookPolicy
from gateway.background.runner import BackgroundTask, Service
from gateway.background.webhooks import Couriers


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPolicy:
    """How long events are kept, how often the audit log's end is signed, and how webhooks are tried."""

    events_kept_s: float = 30 * 86_400.0
    checkpoint_period_s: float = 60.0
    webhooks: WebhookPolicy = field(default_factory=WebhookPolicy)


def log_work(
    database: Database, clock: Clock, *, sealer: Sealer, sign: audit.Sign, sender: WebhookSender, policy: LogPolicy
) -> Sequence[BackgroundTask | Service]:
    """Return the work that looks after both logs."""
    couriers = Couriers(database=database, clock=clock, sealer=sealer, sender=sender, policy=policy.webhooks)

    async def forget() -> None:
        await database.write(lambda tx: events.forget(tx, clock.now_s(), kept_s=policy.events_kept_s))
        await database.write(deliveries.forget)

    async def checkpoint() -> None:
        await database.write(lambda tx: audit.checkpoint(tx, sign, clock.now_s()))

    return (
        Service(name="webhooks", run=couriers.run, wake=database.told.ring),
        BackgroundTask(name="forget-events", run_once=forget, period_s=3600.0, timeout_s=60.0),
        BackgroundTask(name="sign-audit", run_once=checkpoint, period_s=policy.checkpoint_period_s, timeout_s=30.0),
    )
