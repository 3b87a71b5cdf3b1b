"""Webhooks: whom the event log is told to, and how each telling went."""

from enum import StrEnum

from sqlalchemy import String, UniqueConstraint
from sqlmodel import Field

from catalog.model.event import Audience
from catalog.model.ids import WebhookId
from catalog.model.lifecycle import Transitions
from catalog.model.rows import BIG, Row, enum_column


class WebhookState(StrEnum):
    """Whether a webhook is told anything."""

    ACTIVE = "active"
    DISABLED = "disabled"


class WebhookEvent(StrEnum):
    """What can happen to a webhook."""

    GIVE_UP = "give-up"  # it failed for too long, or its receiver says that it is gone
    ENABLE = "enable"


WEBHOOK_TRANSITIONS: Transitions[WebhookState, WebhookEvent] = {
    WebhookState.ACTIVE: {WebhookEvent.GIVE_UP: WebhookState.DISABLED},
    WebhookState.DISABLED: {WebhookEvent.ENABLE: WebhookState.ACTIVE},
}


class Webhook(Row, table=True):
    """A receiver of its owner's events; ``audience`` and ``subject_id`` say whose events they are."""

    id: WebhookId = Field(primary_key=True, sa_type=String)
    audience: Audience = enum_column(Audience)
    subject_id: str = Field(default="", index=True)
    url: str
    kind: str = ""  # a noun or one kind of event; empty: all
    state: WebhookState = enum_column(WebhookState, WebhookState.ACTIVE, index=True)
    reason: str = ""
    read_upto: int = Field(sa_type=BIG)  # events up to this number have their deliveries
    failing_since_s: float | None = None
    key_id: str
    sealed: str  # the secret, see catalog.secrets
    old_key_id: str = ""  # the secret before, while both sign
    old_sealed: str = ""
    old_until_s: float | None = None


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookDelivery(Row, table=True):
    """One event told to one webhook: the newest attempt, and how many there were. The words are the event's own."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (UniqueConstraint("webhook_id", "seq"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=BIG)
    webhook_id: WebhookId = Field(foreign_key="webhook.id", sa_type=String, index=True)
    seq: int = Field(index=True, sa_type=BIG)  # the event's
    kind: str
    state: DeliveryState = enum_column(DeliveryState, DeliveryState.PENDING, index=True)
    attempts: int = 0
    due_at_s: float | None = Field(default=None, index=True)  # of the next attempt; None: there is none
    status: int | None = None  # of the newest answer; None: there was none
    took_ms: float | None = None
    reason: str = ""
    tried_at_s: float | None = None
