"""Webhooks: who has them, which events they get, when an attempt is repeated, and when one is given up.

Each event that concerns a webhook becomes one delivery, in order; a delivery that fails is tried again with growing
pauses and keeps no later one back. A webhook that fails for very long is disabled, and that is an event in itself.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from catalog import addresses, events, tenancy
from catalog.access import Principal, scope
from catalog.errors import Denied, InvalidValue, NotFound, QuotaExceeded
from catalog.events import Batch, Reader
from catalog.messages import webhook as message
from catalog.model.event import Audience, Event
from catalog.model.ids import WebhookId, new_id
from catalog.model.webhook import (
    WEBHOOK_TRANSITIONS,
    DeliveryState,
    Webhook,
    WebhookDelivery,
    WebhookEvent,
    WebhookState,
)
from catalog.secrets import SealedValue, Sealer, Secret
from catalog.store import events as event_store
from catalog.store import rows
from catalog.store import webhooks as store
from catalog.store.database import Tx

_GATEWAY = ""  # whose webhooks those of all admins are
_SECRET, _OLD_SECRET = "secret", "old secret"  # what they are sealed as
_GONE = 410
_KIND_LENGTH = 64
_REASON_LENGTH = 200
_BATCH = 200
_LAG = 1000  # so many events of others before it is written down that a webhook has passed them


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookPolicy:
    """How deliveries are tried: about a day with these numbers, and five days until a webhook is given up."""

    webhooks_limit: int = 20  # of one owner
    attempts_limit: int = 10
    first_pause_s: float = 5.0
    longest_pause_s: float = 21_600.0
    give_up_s: float = 5 * 86_400.0
    overlap_s: float = 86_400.0  # how long the old secret signs too

    def pause_s(self, attempts: int, jitter: float) -> float:
        """Return the pause after ``attempts`` (from 1) failures: times four each time, and up to a fifth more.

        ``jitter`` in [0, 1): receivers that came back together are not asked together.
        """
        pause_s = min(self.longest_pause_s, self.first_pause_s * 4.0 ** min(attempts - 1, 30))
        return pause_s * (1 + jitter / 5)


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


def create(
    tx: Tx,
    *,
    principal: Principal,
    url: str,
    kind: str,
    sealer: Sealer,
    policy: WebhookPolicy,
    now_s: float,
    project: str | None = None,
) -> tuple[Webhook, Secret]:
    """Return a new webhook of the principal's, told of what happens from now on, and its secret, shown only now.

    Who works in several projects names one. Raises InvalidValue for a URL or kind that cannot be or when no project is
    named, NotFound for somebody else's project, Denied, QuotaExceeded.
    """
    audience, subject_id = _owner(tx, principal, project)
    if store.count_of(tx, audience, subject_id) >= policy.webhooks_limit:
        raise QuotaExceeded(f"one owner has at most {policy.webhooks_limit} webhooks", fix="delete one first")
    if len(kind) > _KIND_LENGTH:
        raise InvalidValue("this is no kind of event", field="kind", fix="such as order, or order.fulfilled")
    webhook_id = WebhookId(new_id("webhook", now_s))
    secret = message.new_secret()
    sealed = sealer.seal(secret, owner=webhook_id, name=_SECRET)
    webhook = Webhook(
        id=webhook_id,
        audience=audience,
        subject_id=subject_id,
        url=addresses.url(url),
        kind=kind,
        read_upto=events.newest(tx),
        key_id=sealed.key_id,
        sealed=sealed.sealed,
    )
    return rows.insert(tx, webhook, now_s), secret


def owned(tx: Tx, principal: Principal, webhook_id: str, permission: str) -> Webhook:
    """Return the principal's webhook; an admin's are those of all admins, a project's those of its members.

    Raises NotFound, and Denied for a member who may not do this there.
    """
    webhook = rows.find(tx, Webhook, webhook_id)
    if webhook is None or webhook.subject_id not in _subjects(principal, "webhook:read"):
        raise NotFound(f"there is no webhook '{webhook_id}'")
    if webhook.subject_id not in _subjects(principal, permission):
        raise Denied("your role in its project does not include this", fix="ask an owner of the project")
    return webhook


def where(principal: Principal) -> Mapping[str, object]:
    """Return which webhooks the principal may see, as column values."""
    return {"subject_id": _subjects(principal, "webhook:read")}


def _owner(tx: Tx, principal: Principal, project: str | None) -> tuple[Audience, str]:
    audience, subject_ids = events.view_of(principal, "webhook:write")
    if audience is Audience.PROJECT or (project is not None and scope(principal, "webhook:write").projects):
        return Audience.PROJECT, tenancy.working_project(tx, principal, "webhook:write", project)
    if project is not None:
        raise InvalidValue("only a project's members have webhooks of projects", field="project", fix="leave it out")
    return audience, next(iter(subject_ids), _GATEWAY)


def _subjects(principal: Principal, permission: str) -> frozenset[str]:
    """Return whose webhooks the principal may do this to: those of projects, of a platform, of the gateway's admins."""
    audience, subject_ids = events.view_of(principal, permission)
    mine = frozenset(scope(principal, permission).projects) | subject_ids
    return mine | {_GATEWAY} if audience is Audience.GATEWAY else mine


def rotate(tx: Tx, webhook: Webhook, sealer: Sealer, policy: WebhookPolicy, now_s: float) -> Secret:
    """Return a new secret, shown only now; the present one signs beside it for a while."""
    present = sealer.open(_sealed(webhook.key_id, webhook.sealed), owner=webhook.id, name=_SECRET)
    old = sealer.seal(present, owner=webhook.id, name=_OLD_SECRET)
    secret = message.new_secret()
    fresh = sealer.seal(secret, owner=webhook.id, name=_SECRET)
    changes = {
        "key_id": fresh.key_id,
        "sealed": fresh.sealed,
        "old_key_id": old.key_id,
        "old_sealed": old.sealed,
        "old_until_s": now_s + policy.overlap_s,
    }
    rows.update(tx, webhook, changes, now_s)
    return secret


def enable(tx: Tx, webhook: Webhook, now_s: float) -> Webhook:
    """Tell a disabled webhook again, from where it was left. Raises WrongState for one that is active."""
    cleared = {"reason": "", "failing_since_s": None}
    return rows.move(tx, webhook, WEBHOOK_TRANSITIONS, WebhookEvent.ENABLE, now_s, cleared)


def remove(tx: Tx, webhook: Webhook, expected_version: int | None = None) -> None:
    """Delete the webhook and its delivery log. Raises Stale."""
    store.remove_deliveries(tx, webhook.id)
    rows.delete(tx, webhook, expected_version)


def replay(tx: Tx, webhook: Webhook, *, since: int, now_s: float) -> int:
    """Tell everything above ``since`` once more, and return how many deliveries were known of it already.

    Raises EventsForgotten or InvalidValue as ``events.read`` does.
    """
    events.read(tx, _reader(webhook), since=since, limit=1)
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
    webhook = _active(tx, webhook_id)
    if webhook is None:
        return False
    batch = _unread(tx, webhook, limit=1)
    return bool(batch.events) or batch.upto - webhook.read_upto > _LAG


def plan(tx: Tx, webhook_id: WebhookId, now_s: float) -> None:
    """Give the next events that concern the webhook their deliveries; harmless for one that is gone."""
    webhook = _active(tx, webhook_id)
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
    webhook = _active(tx, webhook_id)
    if webhook is None:
        return None
    found = store.due(tx, webhook_id, now_s)
    if found is None:
        return None
    delivery, event = found
    body = None if event is None else _body(event)
    signed = message.headers(
        _secrets(webhook, sealer, now_s), message_id=f"event_{delivery.seq}", at_s=int(now_s), body=body or b""
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


def _active(tx: Tx, webhook_id: WebhookId) -> Webhook | None:
    webhook = rows.find(tx, Webhook, webhook_id)
    return webhook if webhook is not None and webhook.state is WebhookState.ACTIVE else None


def _unread(tx: Tx, webhook: Webhook, *, limit: int) -> Batch:
    # What was forgotten while it was disabled cannot be told any more.
    since = max(webhook.read_upto, events.before_oldest(tx))
    return events.read(tx, _reader(webhook), since=since, limit=limit)


def _reader(webhook: Webhook) -> Reader:
    return Reader(audience=webhook.audience, subject_ids=frozenset({webhook.subject_id}), kind=webhook.kind or None)


def _secrets(webhook: Webhook, sealer: Sealer, now_s: float) -> list[Secret]:
    known = [sealer.open(_sealed(webhook.key_id, webhook.sealed), owner=webhook.id, name=_SECRET)]
    if webhook.old_until_s is not None and now_s < webhook.old_until_s:
        old = _sealed(webhook.old_key_id, webhook.old_sealed)
        known.append(sealer.open(old, owner=webhook.id, name=_OLD_SECRET))
    return known


def _sealed(key_id: str, sealed: str) -> SealedValue:
    return SealedValue(key_id=key_id, sealed=sealed)


def _body(event: Event) -> bytes:
    at = datetime.fromtimestamp(event.at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    about = {"seq": event.seq, "subject": event.subject_id, "platform": event.platform_id, "project": event.project_id}
    document = {"type": event.kind, "timestamp": at, "data": {**about, "facts": event.data}}
    return json.dumps(document, allow_nan=False).encode()
