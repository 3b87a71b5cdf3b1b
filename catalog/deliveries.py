"""What webhooks are told: which events, when an attempt is repeated, and when a webhook is given up.

Each event that concerns a webhook becomes one delivery, in order; a delivery that fails is tried again with growing
pauses and keeps no later one back. A webhook that fails for very long is disabled, and that is an event in itself.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from catalog import events, webhooks
from catalog.errors import NotFound
from catalog.events import Batch
from catalog.messages import webhook as message
from catalog.model.event import Event
from catalog.model.ids import WebhookId
from catalog.model.webhook import (
    WEBHOOK_TRANSITIONS,
    DeliveryState,
    Webhook,
    WebhookDelivery,
    WebhookEvent,
    WebhookState,
)
from catalog.secrets import Sealer
from catalog.store import events as event_store
from catalog.store import rows
from catalog.store import webhooks as store
from catalog.store.database import Tx
from catalog.webhooks import WebhookPolicy

_GONE = 410
_REASON_LENGTH = 200
_BATCH = 200
_LAG = 1000  # so many events of others before it is written down that a webhook has passed them


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What is to be sent now, or why it cannot be: ``body`` None when its event is forgotten."""

    delivery_id: int
    url: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt went: the status of the answer, None when there was none and ``reason`` says why."""

    status: int | None
    took_ms: float
    reason: str = ""

    @property
    def is_good(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  HTTP's class of successes


def replay(tx: Tx, webhook: Webhook, *, since: int, now_s: float) -> int:
    """Tell everything above ``since`` once more, and return how many deliveries were known of it already.

    Raises EventsForgotten or InvalidValue as ``events.read`` does.
    """
    events.read(tx, webhooks.reader(webhook), since=since, limit=1)
    renewed = store.again(tx, webhook.id, since, now_s)
    rows.update(tx, webhook, {"read_upto": min(since, webhook.read_upto)}, now_s)
    event_store.wake(tx)
    return renewed


def replay_one(tx: Tx, webhook: Webhook, delivery_id: int, now_s: float) -> WebhookDelivery:
    """Make one delivery due once more, and return it. Raises NotFound."""
    delivery = rows.find(tx, WebhookDelivery, delivery_id)
    if delivery is None or delivery.webhook_id != webhook.id:
        raise NotFound(f"there is no delivery {delivery_id} of this webhook")
    event_store.wake(tx)
    return rows.update(tx, delivery, {"state": DeliveryState.PENDING, "attempts": 0, "due_at_s": now_s}, now_s)


def is_behind(tx: Tx, webhook_id: WebhookId) -> bool:
    """Return whether ``plan`` has something to do: an event that concerns the webhook, or very many that do not."""
    webhook = webhooks.active(tx, webhook_id)
    if webhook is None:
        return False
    batch = _unread(tx, webhook, limit=1)
    return bool(batch.events) or batch.upto - webhook.read_upto > _LAG


def plan(tx: Tx, webhook_id: WebhookId, now_s: float) -> None:
    """Give the next events that concern the webhook their deliveries; harmless for one that is gone."""
    webhook = webhooks.active(tx, webhook_id)
    if webhook is None:
        return
    batch = _unread(tx, webhook, limit=_BATCH)
    known = store.known(tx, webhook.id, [event.seq for event in batch.events])
    for event in batch.events:
        if event.seq not in known:
            fresh = WebhookDelivery(webhook_id=webhook.id, seq=event.seq, kind=event.kind, due_at_s=now_s)
            rows.insert(tx, fresh, now_s)
    if batch.upto != webhook.read_upto:
        rows.update(tx, webhook, {"read_upto": batch.upto}, now_s)


def next_attempt(tx: Tx, webhook_id: WebhookId, sealer: Sealer, now_s: float) -> Attempt | None:
    """Return what is due for the webhook, None when nothing is."""
    webhook = webhooks.active(tx, webhook_id)
    if webhook is None:
        return None
    found = store.due(tx, webhook_id, now_s)
    if found is None:
        return None
    delivery, event = found
    body = None if event is None else _body(event)
    signed = message.headers(
        webhooks.secrets(webhook, sealer, now_s), message_id=f"event_{delivery.seq}", at_s=int(now_s), body=body or b""
    )
    assert delivery.id is not None
    return Attempt(delivery_id=delivery.id, url=webhook.url, headers=signed, body=body)


def next_due_s(tx: Tx, webhook_id: WebhookId) -> float | None:
    """Return when something is due for the webhook, None when nothing waits."""
    return store.next_due_s(tx, webhook_id)


def settle(
    tx: Tx, delivery_id: int, outcome: Outcome, policy: WebhookPolicy, now_s: float, *, jitter: Callable[[], float]
) -> None:
    """Note how an attempt went, and what follows: another one later, the end of trying, the end of the webhook."""
    delivery = rows.find(tx, WebhookDelivery, delivery_id)
    if delivery is None:
        return
    attempts = delivery.attempts + 1
    told: dict[str, object] = {
        "attempts": attempts,
        "status": outcome.status,
        "took_ms": outcome.took_ms,
        "reason": outcome.reason[:_REASON_LENGTH],
        "tried_at_s": now_s,
    }
    if outcome.is_good:
        told |= {"state": DeliveryState.DELIVERED, "due_at_s": None}
    elif attempts >= policy.attempts_limit:
        told |= {"state": DeliveryState.FAILED, "due_at_s": None}
    else:
        told |= {"due_at_s": now_s + policy.pause_s(attempts, jitter())}
    rows.update(tx, delivery, told, now_s)
    _judge(tx, rows.by_id(tx, Webhook, delivery.webhook_id), outcome, policy, now_s)


def lose(tx: Tx, delivery_id: int, now_s: float) -> None:
    """Note that the event of a delivery is not kept any more."""
    delivery = rows.find(tx, WebhookDelivery, delivery_id)
    if delivery is not None:
        told = {"state": DeliveryState.FAILED, "due_at_s": None, "reason": "the event is not kept any more"}
        rows.update(tx, delivery, told, now_s)


def forget(tx: Tx) -> int:
    """Forget the deliveries of events that are forgotten, and return how many. May be repeated."""
    return store.forget(tx, event_store.oldest(tx))


def _judge(tx: Tx, webhook: Webhook, outcome: Outcome, policy: WebhookPolicy, now_s: float) -> None:
    """Remember since when the webhook fails, and give it up when that is too long or its receiver says so."""
    if outcome.is_good:
        if webhook.failing_since_s is not None:
            rows.update(tx, webhook, {"failing_since_s": None}, now_s)
        return
    since_s = now_s if webhook.failing_since_s is None else webhook.failing_since_s
    reason = ""
    if outcome.status == _GONE:
        reason = "its receiver answered 410 Gone"
    elif now_s - since_s >= policy.give_up_s:
        reason = f"nothing could be delivered for {policy.give_up_s / 86_400:g} days"
    if reason and webhook.state is WebhookState.ACTIVE:
        changes = {"reason": reason, "failing_since_s": since_s}
        rows.move(tx, webhook, WEBHOOK_TRANSITIONS, WebhookEvent.GIVE_UP, now_s, changes)
    elif webhook.failing_since_s is None:
        rows.update(tx, webhook, {"failing_since_s": since_s}, now_s)


def _unread(tx: Tx, webhook: Webhook, *, limit: int) -> Batch:
    # What was forgotten while it was disabled cannot be told any more.
    since = max(webhook.read_upto, events.before_oldest(tx))
    return events.read(tx, webhooks.reader(webhook), since=since, limit=limit)


def _body(event: Event) -> bytes:
    at = datetime.fromtimestamp(event.at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    about = {"seq": event.seq, "subject": event.subject_id, "platform": event.platform_id, "project": event.project_id}
    document = {"type": event.kind, "timestamp": at, "data": {**about, "facts": event.data}}
    return json.dumps(document, allow_nan=False).encode()
