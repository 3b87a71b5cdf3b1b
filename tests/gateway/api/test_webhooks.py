"""Webhooks over HTTP: secrets shown once, owners kept apart, deliveries listed and replayed."""

import asyncio
from pathlib import Path

from catalog import deliveries
from catalog.deliveries import Outcome
from catalog.model.access import Role
from catalog.store.database import Tx
from catalog.tokens import issue_token
from catalog.webhooks import WebhookPolicy
from tests.support.api_world import ApiWorld, api_world

IN = {"url": "https://hooks.example.net/x", "kind": "token"}


async def deliver(world: ApiWorld, webhook: str, outcome: Outcome) -> None:
    """Have something told, and settle it, as a courier would."""

    def work(tx: Tx) -> None:
        now_s = world.clock.now_s()
        issue_token(tx, role=Role.ADMIN, name="x", now_s=now_s)
        deliveries.plan(tx, webhook, now_s)  # type: ignore[arg-type]
        made = deliveries.next_attempt(tx, webhook, world.services.sealer, now_s)  # type: ignore[arg-type]
        assert made is not None
        deliveries.settle(tx, made.delivery_id, outcome, WebhookPolicy(), now_s, jitter=lambda: 0.0)

    await world.write(work)


def test_a_secret_is_shown_once(tmp_path: Path) -> None:
    """Creating and rotating show one; a repeat of the request, the list and the webhook itself do not."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            made = await world.call("tenant", "POST", "/v1/webhooks", IN, headers={"Idempotency-Key": "k"})
            assert made.status == 201
            assert made.body["signing_secret"].startswith("whsec_")
            again = await world.call("tenant", "POST", "/v1/webhooks", IN, headers={"Idempotency-Key": "k"})
            assert (again.body["id"], again.body["signing_secret"]) == (made.body["id"], None)
            path = f"/v1/webhooks/{made.body['id']}"
            rotated = await world.call("tenant", "POST", f"{path}/secret")
            assert rotated.body["signing_secret"] not in {None, made.body["signing_secret"]}
            shown = (await world.call("tenant", "GET", path)).text + (
                await world.call("tenant", "GET", "/v1/webhooks")
            ).text
            assert "whsec_" not in shown

    asyncio.run(story())


def test_another_s_webhook_does_not_exist(tmp_path: Path) -> None:
    """Neither another tenant nor an admin finds it, under any of its paths; lists hold one's own."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            made = (await world.call("tenant", "POST", "/v1/webhooks", IN)).body
            path = f"/v1/webhooks/{made['id']}"
            for role in ("rival", "platform", "admin"):
                assert made["id"] not in (await world.call(role, "GET", "/v1/webhooks")).text
                for method, where, body in (
                    ("GET", path, None),
                    ("DELETE", path, None),
                    ("GET", f"{path}/deliveries", None),
                    ("POST", f"{path}/secret", None),
                    ("POST", f"{path}/enable", None),
                    ("POST", f"{path}/replay", {"since": 0}),
                ):
                    assert (await world.call(role, method, where, body)).status == 404
            assert (await world.call("tenant", "DELETE", path)).status == 204
            assert (await world.call("tenant", "GET", path)).status == 404

    asyncio.run(story())


def test_deliveries_are_listed_and_replayed(tmp_path: Path) -> None:
    """The log shows status, time and reason; one delivery, or all since an event, is made due once more."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            made = (await world.call("admin", "POST", "/v1/webhooks", IN)).body
            path = f"/v1/webhooks/{made['id']}"
            await deliver(world, made["id"], Outcome(status=204, took_ms=12.5))
            await deliver(world, made["id"], Outcome(status=None, took_ms=7.0, reason="it cannot be connected"))
            newest, oldest = (await world.call("admin", "GET", f"{path}/deliveries")).body["items"]
            assert (oldest["state"], oldest["status"], oldest["took_ms"]) == ("delivered", 204, 12.5)
            assert (newest["state"], newest["reason"]) == ("pending", "it cannot be connected")
            assert newest["due_at"] is not None
            pending = (await world.call("admin", "GET", f"{path}/deliveries?state=pending")).body["items"]
            assert pending == [newest]
            renewed = await world.call("admin", "POST", f"{path}/replay", {"delivery": oldest["id"]})
            assert renewed.body == {"renewed": 1}
            assert (await world.call("admin", "POST", f"{path}/replay", {"since": 0})).body == {"renewed": 2}
            assert (await world.call("admin", "POST", f"{path}/replay", {})).status == 422
            assert (await world.call("admin", "POST", f"{path}/replay", {"since": 0, "delivery": 1})).status == 422
            assert (await world.call("admin", "POST", f"{path}/replay", {"since": 10**9})).status == 422
            assert (await world.call("admin", "POST", f"{path}/enable")).code == "wrong-state"
            for url in ("https://u:p@example.net", "ftp://example.net", "https://example.net/?q", "https://0x7f.1/"):
                assert (await world.call("admin", "POST", "/v1/webhooks", {"url": url})).status == 422

    asyncio.run(story())
