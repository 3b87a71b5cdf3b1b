"""The resources' own rules, each over HTTP: who may do what to which, and what comes of it."""

import asyncio
from pathlib import Path
from typing import Any

from catalog import connections
from catalog.model.connection import Connection, ConnectionEvent
from catalog.model.ids import ConnectionId
from catalog.model.platform import SealedCredential
from catalog.platforms import cloud_account
from catalog.store import rows
from gateway.api.server import declared
from tests.gateway.api.test_server import BODIES, path_of
from tests.support.api_world import CANARY, ApiWorld, api_world

ODD = (None, "", " ", "x" * 300, "'; --", 0, -1, 2**70, 1.5, True, [], [None], {}, {"a": {}}, "\u0000", "\U0001f600")


def test_no_odd_value_in_any_field_of_any_body_is_a_mistake_of_ours(tmp_path: Path) -> None:
    """Every field of every good body, replaced by each of sixteen odd values, is answered below 500."""
    wrong = []

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for endpoint in declared():
                role = {"place_order": "tenant", "consent_to_connection": "platform"}.get(endpoint.name, "admin")
                for field in endpoint.body.model_fields:
                    for odd in ODD:
                        body = {**BODIES[endpoint.name], field: odd}
                        reply = await world.call(role, endpoint.method, path_of(endpoint, world.ids), body)
                        if reply.status >= 500:
                            wrong.append(f"{endpoint.name} {field}={odd!r}: {reply.text}")

    asyncio.run(story())
    assert wrong == []


async def ask(world: ApiWorld, role: str, **body: Any) -> Any:
    """Request a connection as ``role``."""
    return await world.call(role, "POST", "/v1/connections", body)


def test_the_target_s_owner_consents_and_nobody_else(tmp_path: Path) -> None:
    """A connection to another platform waits for its owner; neither requester nor admin can consent in its place."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            asked = await ask(world, "other", target="platform")
            assert (asked.status, asked.body["state"], asked.body["consented"]) == (202, "awaiting-consent", False)
            assert asked.headers["Location"] == f"/v1/connections/{asked.body['id']}"
            path = f"/v1/connections/{asked.body['id']}/consent"
            for role in ("other", "admin"):
                assert (await world.call(role, "POST", path, {"decision": "allow"})).status == 403
            given = await world.call("platform", "POST", path, {"decision": "allow"})
            assert (given.status, given.body["state"], given.body["consented"]) == (202, "routing", True)
            assert world.woken.count("connections") == 2  # asked, consented; the refused ones woke nobody

    asyncio.run(story())


def test_only_the_requester_moves_or_closes_a_connection(tmp_path: Path) -> None:
    """The target may look, not act; an admin may; a platform cannot ask in another's name."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            asked = await ask(world, "admin", requester="other", target="platform")
            path = f"/v1/connections/{asked.body['id']}"
            assert (await world.call("platform", "GET", path)).status == 200
            assert (await world.call("platform", "DELETE", path)).status == 403
            assert (await world.call("platform", "POST", f"{path}/reroute")).status == 403
            closed = await world.call("other", "DELETE", path)
            assert (closed.status, closed.body["state"]) == (202, "closed")
            assert (await world.call("admin", "DELETE", path)).code == "wrong-state"
            named = await ask(world, "other", requester="platform")
            assert (named.status, named.body["field"]) == (422, "requester")
            again = await ask(world, "platform")
            assert (again.status, again.code) == (409, "already-exists")

    asyncio.run(story())


def test_reroute_tries_a_failed_connection_again(tmp_path: Path) -> None:
    """FAILED goes back to ROUTING and the keeper is woken; CLOSED does not."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            connection = ConnectionId(world.ids["connection"])

            def fail(tx: Any) -> Connection:
                return connections.move(tx, connection, ConnectionEvent.FAIL, 1.0, code="no-route", reason="cut")

            await world.write(fail)
            path = f"/v1/connections/{connection}"
            assert (await world.call("platform", "GET", path)).body["code"] == "no-route"
            retried = await world.call("platform", "POST", f"{path}/reroute")
            assert (retried.status, retried.body["state"], retried.body["code"]) == (202, "routing", "")
            assert world.woken == ["connections"]

    asyncio.run(story())


def test_a_requester_does_not_see_the_target_s_account(tmp_path: Path) -> None:
    """Of the three sessions the target's account is shown to its owner and admins; the why to all."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            asked = (await ask(world, "other", target="platform")).body["id"]

            def open_sessions(tx: Any) -> None:
                row = rows.by_id(tx, Connection, asked)
                accounts = {"gateway_account": "other", "transport_account": "relay", "target_account": "root-of-it"}
                connections.open_sessions(tx, row, **accounts, now_s=1.0)
                connections.record_decision(tx, ConnectionId(asked), {"winner": "fra-1", "margin_ms": 2.0}, 1.0)

            await world.write(open_sessions)
            for role, account in (("other", ""), ("platform", "root-of-it"), ("admin", "root-of-it")):
                found = (await world.call(role, "GET", f"/v1/connections/{asked}/sessions")).body["items"]
                assert [each["leg"] for each in found] == ["gateway", "transport", "target"]
                assert found[2]["account"] == account
                assert found[2]["parent_id"] == found[1]["id"]
                why = (await world.call(role, "GET", f"/v1/connections/{asked}/routes")).body
                assert (why["winner"], why["margin_ms"]) == ("fra-1", 2.0)

    asyncio.run(story())


def test_a_new_secret_is_sealed_and_used_and_never_shown(tmp_path: Path) -> None:
    """After PUT the account opens with the new secret, and no row holds it in the clear."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            done = await world.call("platform", "PUT", "/v1/platforms/platform/secret", {"secret": CANARY + "-2"})
            assert done.status == 200
            sealer, platform = world.services.sealer, world.ids["platform"]
            account = await world.services.database.read(lambda tx: cloud_account(tx, platform, sealer))
            assert account.secret.reveal() == CANARY + "-2"
            held = await world.services.database.read(lambda tx: rows.where(tx, SealedCredential))
            assert not any(CANARY in each.sealed for each in held)

    asyncio.run(story())


def test_a_standing_rule_accepts_and_a_revoked_grant_closes_the_offer(tmp_path: Path) -> None:
    """Revoking, by the owner itself, withdraws the offer in the same answer: no further order is accepted."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/grants/{world.ids['grant-machine']}"
            assert (await world.call("platform", "POST", f"{path}/accept")).status == 403
            revoked = await world.call("platform", "POST", f"{path}/revoke")
            assert (revoked.status, revoked.body["state"]) == (200, "revoked")
            offer = f"/v1/offers/{world.ids['offer-machine']}"
            assert (await world.call("tenant", "GET", offer)).status == 404
            assert (await world.call("admin", "GET", offer)).body["state"] == "withdrawn"
            order = {"offer": world.ids["offer-machine"], "size": "s1", "image": "i1"}
            refused = await world.call("tenant", "POST", "/v1/orders", order)
            assert (refused.status, refused.code) == (409, "wrong-state")

    asyncio.run(story())


def test_an_offer_tells_what_can_be_ordered(tmp_path: Path) -> None:
    """A single offer lists sizes with their facts and images, by id and name."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            offer = (await world.call("tenant", "GET", f"/v1/offers/{world.ids['offer-machine']}")).body
            assert (offer["platform"], offer["size_count"], offer["image_count"]) == ("platform", 1, 1)
            assert (offer["sizes"][0]["id"], offer["sizes"][0]["facts"]["memory_mib"]) == ("s1", 512)
            assert offer["images"] == [{"id": "i1", "name": "debian-12", "facts": {}}]

    asyncio.run(story())


def test_a_machine_is_steered_by_its_tenant(tmp_path: Path) -> None:
    """Start, stop and reboot go to the cloud; give-back is our own work, and after it nothing more is possible."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/machines/{world.ids['machine']}"
            for action in ("stop", "start", "reboot"):
                assert (await world.call("tenant", "POST", f"{path}/actions", {"action": action})).status == 202
            assert [action.value for _, _, action in world.acted] == ["stop", "start", "reboot"]
            gone = await world.call("tenant", "POST", f"{path}/actions", {"action": "give-back"})
            assert (gone.status, gone.body["state"]) == (202, "destroying")
            assert {"dispatch", "pools"} <= set(world.woken)
            refused = await world.call("tenant", "POST", f"{path}/actions", {"action": "start"})
            assert (refused.status, refused.body["field"]) == (409, "action")
            assert len(world.acted) == 3

    asyncio.run(story())


def test_a_pool_tells_its_census_and_keeps_sensible_limits(tmp_path: Path) -> None:
    """A pool below its own target is refused with the field; names and ids find it alike; removal is final."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            pool = (await world.call("admin", "GET", "/v1/pools/warm")).body
            assert pool["census"] == {"idle": 0, "building": 0, "in_use": 0}
            refused = await world.call("admin", "PATCH", f"/v1/pools/{pool['id']}", {"idle_target": 9})
            assert (refused.status, refused.body["field"]) == (422, "idle_limit")
            changed = await world.call("admin", "PATCH", "/v1/pools/warm", {"idle_target": 2})
            assert (changed.body["idle_target"], changed.headers["ETag"][:3]) == (2, '"2-')
            assert (await world.call("admin", "DELETE", "/v1/pools/warm")).status == 204
            assert (await world.call("admin", "GET", "/v1/pools/warm")).status == 404

    asyncio.run(story())


def test_what_is_in_use_is_not_removed(tmp_path: Path) -> None:
    """A site with relays stays, with a 409 that says what to do."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            refused = await world.call("admin", "DELETE", "/v1/sites/fra")
            assert (refused.status, refused.code) == (409, "wrong-state")
            assert refused.body["fix"]

    asyncio.run(story())
