"""Queries on webhooks and their deliveries that the general ones cannot say."""

from collections.abc import Sequence

from sqlalchemy import func
from sqlmodel import col, delete, select, update

from catalog.model.event import Event
from catalog.model.ids import WebhookId
from catalog.model.webhook import DeliveryState, Webhook, WebhookDelivery, WebhookState
from catalog.store.database import Tx


def active(tx: Tx) -> Sequence[WebhookId]:
    """Return the webhooks that are told something, oldest first."""
    found = tx.exec(select(Webhook.id).where(Webhook.state == WebhookState.ACTIVE).order_by(col(Webhook.id))).all()
    return [WebhookId(each) for each in found]


def count_of(tx: Tx, audience: str, subject_id: str) -> int:
    """Return how many webhooks an owner has."""
    counted = select(func.count()).where(col(Webhook.audience) == audience, col(Webhook.subject_id) == subject_id)
    return int(tx.exec(counted).one())


def due(tx: Tx, webhook_id: WebhookId, now_s: float) -> tuple[WebhookDelivery, Event | None] | None:
    """Return the delivery that has been due for longest, with its event (None when that is forgotten)."""
    waiting = select(WebhookDelivery).where(
        col(WebhookDelivery.webhook_id) == webhook_id,
        col(WebhookDelivery.state) == DeliveryState.PENDING,
        col(WebhookDelivery.due_at_s) <= now_s,
    )
    found = tx.exec(waiting.order_by(col(WebhookDelivery.due_at_s), col(WebhookDelivery.seq)).limit(1)).first()
    return None if found is None else (found, tx.get(Event, found.seq))


def next_due_s(tx: Tx, webhook_id: WebhookId) -> float | None:
    """Return when the next attempt is due, None when nothing waits."""
    waiting = select(func.min(WebhookDelivery.due_at_s)).where(
        col(WebhookDelivery.webhook_id) == webhook_id, col(WebhookDelivery.state) == DeliveryState.PENDING
    )
    return tx.exec(waiting).one()


def known(tx: Tx, webhook_id: WebhookId, seqs: Sequence[int]) -> set[int]:
    """Return those of the events that the webhook has deliveries of."""
    found = select(WebhookDelivery.seq).where(
        col(WebhookDelivery.webhook_id) == webhook_id, col(WebhookDelivery.seq).in_(seqs)
    )
    return set(tx.exec(found).all())


def again(tx: Tx, webhook_id: WebhookId, since: int, now_s: float) -> int:
    """Make every delivery of events above ``since`` due once more, and return how many these are."""
    renewed = (
        update(WebhookDelivery)
        .where(col(WebhookDelivery.webhook_id) == webhook_id, col(WebhookDelivery.seq) > since)
        .values(state=DeliveryState.PENDING, attempts=0, due_at_s=now_s, updated_at_s=now_s)
    )
    return tx.exec(renewed.execution_options(synchronize_session=False)).rowcount


def remove_deliveries(tx: Tx, webhook_id: WebhookId) -> None:
    """Delete the webhook's delivery log."""
    gone = delete(WebhookDelivery).where(col(WebhookDelivery.webhook_id) == webhook_id)
    tx.exec(gone.execution_options(synchronize_session=False))


def forget(tx: Tx, oldest: int) -> int:
    """Delete the deliveries of events below ``oldest``, and return how many."""
    gone = delete(WebhookDelivery).where(col(WebhookDelivery.seq) < oldest)
    return tx.exec(gone.execution_options(synchronize_session=False)).rowcount
