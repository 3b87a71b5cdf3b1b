"""Webhooks as the catalog decides about them: what is told, when it is tried again, when it is given up."""

import json

import pytest
from sqlmodel import select

from catalog import deliveries, events, webhooks
from catalog.access import Principal
from catalog.deliveries import Attempt, Outcome
from catalog.errors import NotFound, QuotaExceeded, WrongState
from catalog.model.access import Role
from catalog.model.event import Event
from catalog.model.ids import ProjectId, TokenId
from catalog.model.webhook import DeliveryState, Webhook, WebhookDelivery, WebhookState
from catalog.secrets import Secret
from catalog.store import events as log
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.telling import Telling
from catalog.webhooks import WebhookPolicy
from tests.support.receivers import Sent, is_genuine
from tests.support.stores import Store

POLICY = WebhookPolicy()
ADMIN = Principal(role=Role.ADMIN, subject_id="", token_id=TokenId("token_1"), name="root")
PROJECT = Principal(role=Role.MEMBER, subject_id="project_a", token_id=TokenId("token_2"), name="acme")
GOOD = Outcome(status=204, took_ms=3.0)
AWAY = Outcome(status=None, took_ms=3.0, reason="it cannot be connected")


def created(store: Store, who: Principal = ADMIN, kind: str = "") -> tuple[Webhook, Secret]:
    """Make a webhook."""
    return store.write(
        lambda tx: webhooks.create(
            tx,
            principal=who,
            url="https://hooks.example.net/x",
            kind=kind,
            sealer=store.sealer,
            policy=POLICY,
            now_s=store.now_s,
        )
    )


def happen(store: Store, kind: str = "order.placed", project: str | None = "project_a") -> int:
    """Append an event and return its number."""
    about = Telling(
        noun="x", standing="y", subject_id="order_1", project_id=None if project is None else ProjectId(project)
    )
    return store.write(lambda tx: log.append(tx, about, kind, {"a": 1}, store.now_s))


def attempt(store: Store, webhook: Webhook) -> Attempt | None:
    """Plan, and return what is due."""
    store.write(lambda tx: deliveries.plan(tx, webhook.id, store.now_s))
    return store.read(lambda tx: deliveries.next_attempt(tx, webhook.id, store.sealer, store.now_s))


def settle(store: Store, made: Attempt | None, outcome: Outcome) -> None:
    """Settle the attempt, with no jitter."""
    assert made is not None
    delivery = made.delivery_id
    store.write(lambda tx: deliveries.settle(tx, delivery, outcome, POLICY, store.now_s, jitter=lambda: 0.0))


def logged(store: Store) -> list[WebhookDelivery]:
    """Return the delivery log, oldest event first."""
    ordered = select(WebhookDelivery).order_by(WebhookDelivery.seq)  # type: ignore[arg-type]
    return list(store.read(lambda tx: tx.exec(ordered).all()))


def state(store: Store, webhook: Webhook) -> Webhook:
    """Return the webhook as it is now."""
    return store.read(lambda tx: rows.by_id(tx, Webhook, webhook.id))


def test_what_concerns_its_owner_is_told_in_order_and_signed(store: Store) -> None:
    """A project's webhook gets its own events of its kind from now on, in order, each once, and they verify."""
    happen(store)
    webhook, secret = created(store, PROJECT, "order")
    wanted = happen(store)
    happen(store, "machine.in-use")
    happen(store, project="project_b")
    also = happen(store, "order.fulfilled")
    told = []
    while (made := attempt(store, webhook)) is not None:
        assert made.body is not None
        assert is_genuine(Sent(url=made.url, headers=made.headers, body=made.body), secret.reveal())
        document = json.loads(made.body)
        assert (document["type"], made.headers["webhook-id"]) == (
            {wanted: "order.placed", also: "order.fulfilled"}[document["data"]["seq"]],
            f"event_{document['data']['seq']}",
        )
        told.append(document["data"]["seq"])
        settle(store, made, GOOD)
    assert told == [wanted, also]
    assert [row.state for row in logged(store)] == [DeliveryState.DELIVERED] * 2
    assert not store.read(lambda tx: deliveries.is_behind(tx, webhook.id))


def test_failures_are_tried_again_with_growing_pauses_up_to_a_limit(store: Store) -> None:
    """5 s, 20 s, 80 s, … 6 h: not a moment before; after ten attempts it is FAILED; a later event is not kept back."""
    webhook, _ = created(store, kind="order")
    happen(store)
    pauses = []
    for tries in range(1, POLICY.attempts_limit + 1):
        settle(store, attempt(store, webhook), AWAY)
        [row] = logged(store)
        assert (row.attempts, row.status, row.reason) == (tries, None, "it cannot be connected")
        if row.due_at_s is not None:
            pauses.append(row.due_at_s - store.now_s)
            assert attempt(store, webhook) is None
            store.clock.advance(pauses[-1])
    assert pauses[:4] == [5.0, 20.0, 80.0, 320.0]
    assert pauses[-1] == 21_600.0
    assert [row.state for row in logged(store)] == [DeliveryState.FAILED]
    happen(store)
    settle(store, attempt(store, webhook), GOOD)
    assert [row.state for row in logged(store)] == [DeliveryState.FAILED, DeliveryState.DELIVERED]
    assert POLICY.pause_s(1, 0.999) < 6.0


def test_a_webhook_that_fails_for_days_is_disabled_and_that_is_told(store: Store) -> None:
    """Not after four days, after five; a success in between begins the count anew; 410 ends it at once."""
    webhook, _ = created(store, kind="order")
    for day, outcome in enumerate((AWAY, GOOD, AWAY, AWAY, AWAY, AWAY, AWAY)):
        happen(store)
        made = attempt(store, webhook)
        while made is not None:
            settle(store, made, outcome)
            made = attempt(store, webhook)
        assert state(store, webhook).state is WebhookState.ACTIVE, day
        store.clock.advance(86_400.0)
    happen(store)
    settle(store, attempt(store, webhook), AWAY)
    assert (state(store, webhook).state, state(store, webhook).reason) == (
        WebhookState.DISABLED,
        "nothing could be delivered for 5 days",
    )
    assert attempt(store, webhook) is None
    newest = store.read(lambda tx: tx.exec(select(Event).where(Event.kind == "webhook.disabled")).one())
    assert "hooks.example.net" not in str(newest.data)
    store.write(lambda tx: webhooks.enable(tx, rows.by_id(tx, Webhook, webhook.id), store.now_s))
    with pytest.raises(WrongState):
        store.write(lambda tx: webhooks.enable(tx, rows.by_id(tx, Webhook, webhook.id), store.now_s))
    settle(store, attempt(store, webhook), Outcome(status=410, took_ms=1.0))
    assert state(store, webhook).state is WebhookState.DISABLED


def test_while_the_secret_is_changed_both_sign_and_then_only_the_new_one(store: Store) -> None:
    """For a day receivers with either secret verify; both are sealed at rest."""
    webhook, old = created(store, kind="order")
    new = store.write(
        lambda tx: webhooks.rotate(tx, rows.by_id(tx, Webhook, webhook.id), store.sealer, POLICY, store.now_s)
    )
    happen(store)

    def verifies(secret: Secret) -> bool:
        made = attempt(store, webhook)
        assert made is not None
        return is_genuine(Sent(url="", headers=made.headers, body=made.body or b""), secret.reveal())

    assert (verifies(old), verifies(new)) == (True, True)
    store.clock.advance(POLICY.overlap_s)
    assert (verifies(old), verifies(new)) == (False, True)
    raw = store.at_rest()
    assert all(secret.reveal().encode() not in raw for secret in (old, new))


def test_one_delivery_or_all_since_an_event_are_told_once_more(store: Store) -> None:
    """Also what has no delivery yet, because it happened before the webhook; nobody else's delivery is found."""
    early = happen(store)
    webhook, _ = created(store, kind="order")
    other, _ = created(store, PROJECT, kind="order")
    late = happen(store)
    settle(store, attempt(store, webhook), GOOD)
    [first] = [row for row in logged(store) if row.webhook_id == webhook.id]
    store.write(lambda tx: deliveries.replay_one(tx, rows.by_id(tx, Webhook, webhook.id), first.id or 0, store.now_s))
    settle(store, attempt(store, webhook), GOOD)
    with pytest.raises(NotFound):
        store.write(lambda tx: deliveries.replay_one(tx, rows.by_id(tx, Webhook, other.id), first.id or 0, store.now_s))
    renewed = store.write(
        lambda tx: deliveries.replay(tx, rows.by_id(tx, Webhook, webhook.id), since=early - 1, now_s=store.now_s)
    )
    assert renewed == 1
    told = set()
    while (made := attempt(store, webhook)) is not None:
        told.add(made.headers["webhook-id"])
        settle(store, made, GOOD)
    assert told == {f"event_{early}", f"event_{late}"}


def test_what_was_forgotten_is_not_waited_for(store: Store) -> None:
    """A webhook that lags behind what is kept goes on from there; a delivery without its event ends."""
    webhook, _ = created(store, kind="order")
    happen(store)
    attempt(store, webhook)
    happen(store)
    store.clock.advance(100.0)
    store.write(lambda tx: events.forget(tx, store.now_s, kept_s=50.0))
    kept = happen(store)
    made = attempt(store, webhook)
    assert made is not None
    assert made.body is None
    store.write(lambda tx: deliveries.lose(tx, made.delivery_id, store.now_s))
    following = attempt(store, webhook)
    assert following is not None
    assert following.headers["webhook-id"] == f"event_{kept}"
    assert store.write(deliveries.forget) == 1


def test_owners_see_their_own_and_have_so_many(store: Store) -> None:
    """Another's webhook does not exist; the limit counts one owner's."""
    mine, _ = created(store, PROJECT)
    with pytest.raises(NotFound):
        store.read(lambda tx: webhooks.owned(tx, ADMIN, mine.id, "webhook:read"))
    assert store.read(lambda tx: webhooks.owned(tx, PROJECT, mine.id, "webhook:write")).id == mine.id
    for _ in range(POLICY.webhooks_limit - 1):
        created(store, PROJECT)
    with pytest.raises(QuotaExceeded):
        created(store, PROJECT)
    created(store, ADMIN)

    def remove(tx: Tx) -> None:
        webhooks.remove(tx, webhooks.owned(tx, PROJECT, mine.id, "webhook:write"))

    store.write(remove)
    created(store, PROJECT)
