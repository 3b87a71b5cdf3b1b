"""Webhooks: a receiver of the caller's own events, told of each, signed after the Standard Webhooks specification."""

from typing import Annotated

from pydantic import Field

from catalog import deliveries, webhooks
from catalog.errors import EventsForgotten, InvalidValue, NotFound, QuotaExceeded, WrongState
from catalog.model.webhook import DeliveryState, Webhook, WebhookDelivery
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import REFERENCE, Body, Nothing, Out, ProjectReference, Resource, Time, Url, absent, stamp
from gateway.api.dispatch import SHOWN_ONCE
from gateway.api.endpoints import Call, Listing, Routes, one_of
from gateway.errors import InvalidRequest

routes = Routes("webhooks")

Number = Annotated[int, Field(ge=0, le=10**18)]


class WebhookIn(Body):
    """A webhook to make."""

    url: Url = Field(description="Of the receiver: https, at a public address, without a query.")
    kind: Annotated[str, Field(pattern=REFERENCE, max_length=64)] | None = Field(
        default=None, description="Only these events: a noun such as `order`, or one kind; absent: all."
    )
    project: ProjectReference | None = Field(default=None, description="Whose events; needed by who works in several.")


class WebhookOut(Resource):
    """A webhook."""

    url: str
    kind: str | None
    state: str
    reason: str = Field(description="Why it is disabled.")
    read_upto: int = Field(description="Events up to this number have their deliveries.")
    failing_since: Time | None


class NewWebhookOut(WebhookOut):
    """A webhook with its secret."""

    signing_secret: str | None = Field(
        description="`whsec_…`, by which receivers verify signatures. Shown once.", json_schema_extra=SHOWN_ONCE
    )


class DeliveryOut(Out):
    """One event told to the webhook: the newest attempt, and how many there were."""

    id: int
    seq: int = Field(description="The event's number; the header `webhook-id` is `event_` and this.")
    kind: str
    state: str
    attempts: int
    status: int | None = Field(description="Of the newest answer; null where there was none, see `reason`.")
    took_ms: float | None
    reason: str
    tried_at: Time | None
    due_at: Time | None = Field(description="When the next attempt is made.")


class ReplayIn(Body):
    """What is to be told once more: one delivery, or everything since an event. Give one of them."""

    delivery: Number | None = absent()
    since: Number | None = absent()


class ReplayOut(Out):
    """How many deliveries are made once more; events without one get theirs beside these."""

    renewed: int


@routes.endpoint(
    "POST",
    "/v1/webhooks",
    permission="webhook:write",
    body=WebhookIn,
    answer=NewWebhookOut,
    status=201,
    location="/v1/webhooks/{id}",
    errors=(InvalidValue, QuotaExceeded),
    summary="Have what happens told to a receiver, from now on",
)
def create_webhook(tx: Tx, call: Call[WebhookIn]) -> NewWebhookOut:
    """Return the webhook with its secret."""
    row, secret = webhooks.create(
        tx,
        principal=call.principal,
        url=call.body.url,
        kind=call.body.kind or "",
        sealer=call.services.sealer,
        policy=call.services.webhooks,
        now_s=call.now_s,
        project=call.body.project,
    )
    return NewWebhookOut(**dict(_out(row)), signing_secret=secret.reveal())


@routes.plain(
    "GET", "/v1/webhooks", permission="webhook:read", answer=WebhookOut, many=True, summary="List the caller's webhooks"
)
def list_webhooks(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page."""
    found = page(tx, Webhook, limit=call.limit, token=call.page_token, where=webhooks.where(call.principal))
    return Listing(items=[_out(row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/webhooks/{id}", permission="webhook:read", answer=WebhookOut, summary="Show a webhook")
def get_webhook(tx: Tx, call: Call[Nothing]) -> WebhookOut:
    """Return the webhook."""
    return _out(_mine(tx, call))


@routes.plain(
    "DELETE",
    "/v1/webhooks/{id}",
    permission="webhook:write",
    status=204,
    summary="Delete a webhook and its delivery log",
)
def delete_webhook(tx: Tx, call: Call[Nothing]) -> None:
    """Delete it."""
    row = _mine(tx, call)
    call.precondition.check(row)
    webhooks.remove(tx, row, call.precondition.expected)


@routes.plain(
    "POST",
    "/v1/webhooks/{id}/enable",
    permission="webhook:write",
    answer=WebhookOut,
    errors=(WrongState,),
    summary="Tell a disabled webhook again, from where it was left",
)
def enable_webhook(tx: Tx, call: Call[Nothing]) -> WebhookOut:
    """Return the webhook, active."""
    return _out(webhooks.enable(tx, _mine(tx, call), call.now_s))


@routes.plain(
    "POST",
    "/v1/webhooks/{id}/secret",
    permission="webhook:write",
    answer=NewWebhookOut,
    summary="Change the secret; for a day the old one signs too",
)
def rotate_webhook_secret(tx: Tx, call: Call[Nothing]) -> NewWebhookOut:
    """Return the webhook with its new secret."""
    row = _mine(tx, call)
    secret = webhooks.rotate(tx, row, call.services.sealer, call.services.webhooks, call.now_s)
    return NewWebhookOut(**dict(_out(row)), signing_secret=secret.reveal())


@routes.plain(
    "GET",
    "/v1/webhooks/{id}/deliveries",
    permission="webhook:read",
    answer=DeliveryOut,
    many=True,
    filters={"state": one_of(DeliveryState, "Only these.")},
    summary="List what was told to a webhook and how that went, the newest first",
)
def list_deliveries(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page."""
    wanted: dict[str, object] = {"webhook_id": _mine(tx, call).id}
    if state := call.filters.get("state"):
        wanted["state"] = DeliveryState(state)
    found = page(tx, WebhookDelivery, limit=call.limit, token=call.page_token, where=wanted, newest_first=True)
    return Listing(items=[_delivery(row) for row in found.items], next_token=found.next_token)


@routes.endpoint(
    "POST",
    "/v1/webhooks/{id}/replay",
    permission="webhook:write",
    body=ReplayIn,
    answer=ReplayOut,
    errors=(EventsForgotten, InvalidValue, NotFound),
    summary="Tell one delivery, or everything since an event, once more",
)
def replay_webhook(tx: Tx, call: Call[ReplayIn]) -> ReplayOut:
    """Return how many deliveries are made once more."""
    row, asked = _mine(tx, call), call.body
    if (asked.delivery is None) == (asked.since is None):
        fault = {"field": "since", "message": "one of delivery and since is required", "fix": "give one of them"}
        raise InvalidRequest("1 value of the body cannot be: since", faults=(fault,))
    if asked.since is not None:
        return ReplayOut(renewed=deliveries.replay(tx, row, since=asked.since, now_s=call.now_s))
    deliveries.replay_one(tx, row, asked.delivery or 0, call.now_s)
    return ReplayOut(renewed=1)


def _mine(tx: Tx, call: Call[Nothing] | Call[ReplayIn]) -> Webhook:
    return webhooks.owned(tx, call.principal, call.path["id"], call.permission)


def _out(row: Webhook) -> WebhookOut:
    return WebhookOut(
        **stamp(row),
        url=row.url,
        kind=row.kind or None,
        state=row.state.value,
        reason=row.reason,
        read_upto=row.read_upto,
        failing_since=row.failing_since_s,
    )


def _delivery(row: WebhookDelivery) -> DeliveryOut:
    assert row.id is not None
    return DeliveryOut(
        id=row.id,
        seq=row.seq,
        kind=row.kind,
        state=row.state.value,
        attempts=row.attempts,
        status=row.status,
        took_ms=row.took_ms,
        reason=row.reason,
        tried_at=row.tried_at_s,
        due_at=row.due_at_s,
    )
