"""Webhooks: who has them, which events they ask for, and the secrets that sign what they are told."""

from collections.abc import Mapping
from dataclasses import dataclass

from catalog import addresses, events, tenancy
from catalog.access import Principal, scope
from catalog.errors import Denied, InvalidValue, NotFound, QuotaExceeded
from catalog.events import Reader
from catalog.messages import webhook as message
from catalog.model.event import Audience
from catalog.model.ids import WebhookId, new_id
from catalog.model.webhook import (
    WEBHOOK_TRANSITIONS,
    Webhook,
    WebhookEvent,
    WebhookState,
)
from catalog.secrets import SealedValue, Sealer, Secret
from catalog.store import rows
from catalog.store import webhooks as store
from catalog.store.database import Tx

_GATEWAY = ""  # whose webhooks those of all admins are
_SECRET, _OLD_SECRET = "secret", "old secret"  # what they are sealed as
_KIND_LENGTH = 64


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


def active(tx: Tx, webhook_id: WebhookId) -> Webhook | None:
    """Return the webhook if it is to be told of anything."""
    webhook = rows.find(tx, Webhook, webhook_id)
    return webhook if webhook is not None and webhook.state is WebhookState.ACTIVE else None


def reader(webhook: Webhook) -> Reader:
    """Return what the webhook is told of, as a reader of events."""
    return Reader(audience=webhook.audience, subject_ids=frozenset({webhook.subject_id}), kind=webhook.kind or None)


def secrets(webhook: Webhook, sealer: Sealer, now_s: float) -> list[Secret]:
    """Return what signs what it is told: the present secret, and for a while the one before."""
    known = [sealer.open(_sealed(webhook.key_id, webhook.sealed), owner=webhook.id, name=_SECRET)]
    if webhook.old_until_s is not None and now_s < webhook.old_until_s:
        old = _sealed(webhook.old_key_id, webhook.old_sealed)
        known.append(sealer.open(old, owner=webhook.id, name=_OLD_SECRET))
    return known


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


def _sealed(key_id: str, sealed: str) -> SealedValue:
    return SealedValue(key_id=key_id, sealed=sealed)
