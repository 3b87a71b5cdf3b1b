"""The resources' own rules, each over HTTP: who may do what to which, and what comes of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from catalog import connections, publish
from catalog.clouds import CloudItem
from catalog.costs.tally import Month
from catalog.model.budget import Budget
from catalog.model.connection import Connection, ConnectionEvent
from catalog.model.ids import ConnectionId, PlatformId
from catalog.model.machine import MACHINE_TRANSITIONS, Machine, MachineEvent
from catalog.model.platform import SealedCredential
from catalog.platforms import cloud_account
from catalog.store import rows
from catalog.store.database import Tx
from gateway.api.endpoints import Filter
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
                role = {"place_order": "tenant", "place_asset": "tenant", "consent_to_connection": "platform"}.get(
                    endpoint.name, "admin"
                )
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


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        pytest.param({"require": [""]}, "policy.require[0]", id="an empty word"),
        pytest.param({"avoid": ["eu"], "require": ["eu"]}, "policy.require", id="avoided and required"),
        pytest.param({"profile": "fast"}, "policy.profile", id="no such profile"),
        pytest.param({"price_limit_usd_per_gb": 0.1}, "policy.price_limit_usd_per_gb", id="limit without bulk"),
        pytest.param(
            {"profile": "bulk", "price_limit_usd_per_gb": -1}, "policy.price_limit_usd_per_gb", id="less than nothing"
        ),
        pytest.param({"weights": {"risk": -1}}, "policy.weights.risk", id="negative weight"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(tmp_path: Path, policy: dict[str, Any], field: str) -> None:
    """The answer is a 422 that names the field and what would be right; nothing is asked for."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            refused = await ask(world, "other", policy=policy)
            assert (refused.status, refused.body["field"]) == (422, field)
            assert refused.body["fix"]
            assert (await world.call("other", "GET", "/v1/connections")).body["items"] == []

    asyncio.run(story())


def test_what_a_connection_wishes_for_is_kept_as_it_was_named(tmp_path: Path) -> None:
    """Words of sites, regions and groups, profile and limit stand in the policy; what was left out does not."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            group, region = {"risk_groups": ["Building 7"]}, {"region": "eu-central"}
            for path, change in (("/v1/relays/fra-1", group), ("/v1/sites/fra", region)):
                assert (await world.call("admin", "PATCH", path, change)).status == 200
            policy = {"avoid": ["Building 7"], "require": ["eu-central"], "weights": {"risk": 2.0}}
            policy |= {"profile": "bulk", "price_limit_usd_per_gb": 0.05}
            asked = await ask(world, "other", policy=policy)
            assert (asked.status, asked.body["policy"]) == (202, policy)

    asyncio.run(story())


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


def test_the_requester_moves_a_connection_and_either_side_closes_it(tmp_path: Path) -> None:
    """The target may look and close, not move; an admin may all; a platform cannot ask in another's name."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            asked = await ask(world, "admin", requester="other", target="platform")
            path = f"/v1/connections/{asked.body['id']}"
            assert (await world.call("platform", "GET", path)).status == 200
            assert (await world.call("platform", "POST", f"{path}/reroute")).status == 403
            for role in ("platform", "other"):
                closed = await world.call(role, "DELETE", path)
                assert (closed.status, closed.body["state"]) == (202, "closed")
                assert (await world.call("admin", "DELETE", path)).code == "wrong-state"
                path = f"/v1/connections/{(await ask(world, 'other', target='platform')).body['id']}"
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


ON_THE_WAY = (
    ((), "requested"),
    ((ConnectionEvent.BEGIN,), "routing"),
    ((ConnectionEvent.ROUTED,), "tunnelling"),
    ((ConnectionEvent.TUNNELLED,), "handshaking"),
    ((ConnectionEvent.ESTABLISH,), "established"),
)


def test_reroute_leaves_a_saga_under_way_alone_and_moves_what_is_lost(tmp_path: Path) -> None:
    """From REQUESTED to ESTABLISHED the answer is 202, the keeper is woken and the row stays; LOST is tried again."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            connection = ConnectionId(world.ids["connection"])
            path = f"/v1/connections/{connection}"

            async def go(event: ConnectionEvent) -> None:
                await world.write(lambda tx: connections.move(tx, connection, event, 1.0))

            for events, state in ON_THE_WAY:
                for event in events:
                    await go(event)
                before = (await world.call("platform", "GET", path)).body
                asked = await world.call("platform", "POST", f"{path}/reroute")
                assert (asked.status, asked.body, before["state"]) == (202, before, state)
            assert world.woken == ["connections"] * len(ON_THE_WAY)
            await go(ConnectionEvent.LOSE)
            assert (await world.call("platform", "POST", f"{path}/reroute")).body["state"] == "routing"
            await go(ConnectionEvent.CLOSE)
            assert (await world.call("platform", "POST", f"{path}/reroute")).code == "wrong-state"

    asyncio.run(story())


def test_an_admin_replaces_a_platform_s_lost_token(tmp_path: Path) -> None:
    """The new token speaks for the platform and the lost one can be revoked; who is named must fit the role."""

    async def story() -> None:
        async with api_world(tmp_path) as world:

            async def issue(**body: Any) -> Any:
                return await world.call("admin", "POST", "/v1/tokens", {"name": "again", **body})

            issued = await issue(role="platform", platform="platform")
            assert (issued.status, issued.body["subject"]) == (201, world.ids["platform"])
            world.tokens["again"] = issued.body["token"]
            [seen] = (await world.call("again", "GET", "/v1/platforms")).body["items"]
            assert seen["name"] == "platform"
            tokens = (await world.call("admin", "GET", "/v1/tokens")).body["items"]
            [lost] = [each["id"] for each in tokens if each["name"] == "platform platform"]
            assert (await world.call("admin", "DELETE", f"/v1/tokens/{lost}")).status == 204
            assert (await world.call("platform", "GET", "/v1/whoami")).status == 401
            assert (await world.call("again", "GET", "/v1/whoami")).status == 200
            for wrong, field in (
                ({"role": "platform"}, "platform"),
                ({"role": "platform", "platform": "nobody"}, "platform"),
                ({"role": "platform", "platform": "platform", "project": "bakery/tenant"}, "project"),
                ({"role": "member", "project": "bakery/tenant", "platform": "platform"}, "platform"),
                ({"role": "admin", "platform": "platform"}, "platform"),
            ):
                refused = await issue(**wrong)
                assert (refused.status, refused.body["field"]) == (422, field), wrong

    asyncio.run(story())


def test_a_retired_platform_offers_nothing_and_gets_nothing_more(tmp_path: Path) -> None:
    """After a DELETE with the ETag that was read: no grant stands, and no token, secret or approval is added."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = "/v1/platforms/other"
            read = (await world.call("admin", "GET", path)).headers["ETag"]
            approval = {"dial": "10.1.2.4:443"}
            assert (await world.call("admin", "PUT", f"{path}/secret", {"secret": "fresh"})).status == 200
            stale = await world.call("other", "DELETE", path, headers={"If-Match": read})
            assert (stale.status, stale.code) == (412, "stale")
            read = (await world.call("other", "GET", path)).headers["ETag"]
            assert (await world.call("other", "DELETE", path, headers={"If-Match": read})).status == 204
            token = {"role": "platform", "name": "again", "platform": "other"}
            assert (await world.call("admin", "POST", "/v1/tokens", token)).code == "wrong-state"
            assert (await world.call("admin", "PUT", f"{path}/secret", {"secret": "x"})).code == "wrong-state"
            refused = await world.call("admin", "POST", f"{path}/endpoints/api/approve", approval)
            assert refused.code == "wrong-state"

    asyncio.run(story())


def test_retiring_a_platform_withdraws_its_offers(tmp_path: Path) -> None:
    """Once its connection is closed and its machine gone it may go, and its offer can be ordered no more."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = "/v1/platforms/platform"
            assert (await world.call("platform", "DELETE", path)).code == "wrong-state"
            await world.call("platform", "DELETE", f"/v1/connections/{world.ids['connection']}")
            await world.write(bury_machines)
            assert (await world.call("platform", "DELETE", path)).status == 204
            grants = (await world.call("admin", "GET", "/v1/grants")).body["items"]
            assert {each["state"] for each in grants} == {"revoked"}
            assert (await world.call("tenant", "GET", "/v1/offers")).body["items"] == []

    asyncio.run(story())


def bury_machines(tx: Any) -> None:
    """End every machine, as its cloud would."""
    for machine in rows.where(tx, Machine):
        rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.RETIRE, 1.0)
        rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.DESTROYED, 1.0)


@pytest.mark.parametrize(
    ("change", "field", "fix"),
    [
        ({"provider": "ec2", "region": "us-esat-2"}, "region", "us-east-2"),
        ({"provider": "ec2", "region": ""}, "region", "eu-central-1"),
        ({"provider": "simulated", "options": {"project": "x"}}, "options.project", "none"),
        (
            {"public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA60ECorLz5mfbWpJTuCFo6zbDPO+5ss"},
            "public_key",
            "base64",
        ),
        ({"public_key": "AAAA"}, "public_key", "32-byte"),
    ],
)
def test_what_the_provider_cannot_be_told_is_refused_before_the_token_is_used_up(
    tmp_path: Path, change: dict[str, Any], field: str, fix: str
) -> None:
    """A bad region, option or key is a 422 that names it and what is right; the same token then enrols the platform."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            permit = await world.call("admin", "POST", "/v1/enrolments", BODIES["create_enrolment"])
            world.tokens["new"] = permit.body["token"]
            refused = await world.call("new", "POST", "/v1/platforms", {**BODIES["enrol_platform"], **change})
            assert (refused.status, refused.code, refused.body["field"]) == (422, "invalid-value", field)
            assert fix in refused.body["fix"]
            assert (await world.call("new", "POST", "/v1/platforms", BODIES["enrol_platform"])).status == 201

    asyncio.run(story())


def test_a_state_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """Every list's state filter takes the states there are; another is a 400 that lists them."""
    filtered = [endpoint for endpoint in declared() if endpoint.many and "state" in endpoint.filters]
    assert len(filtered) >= 4

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for endpoint in filtered:
                wanted, path = endpoint.filters["state"], path_of(endpoint, world.ids)
                assert isinstance(wanted, Filter)
                for state in wanted.choices:
                    assert (await world.call("admin", "GET", f"{path}?state={state}")).status == 200
                refused = await world.call("admin", "GET", f"{path}?state=bogus")
                assert (refused.status, refused.body["field"]) == (400, "state")
                assert all(state in refused.body["fix"] for state in wanted.choices)

    asyncio.run(story())


def test_the_gateway_s_own_site_stays(tmp_path: Path) -> None:
    """The site of the gateway is not removed although nothing refers to it; another unused one is."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for name in (world.services.gateway_site, "spare"):
                assert (await world.call("admin", "POST", "/v1/sites", {"name": name})).status == 201
            refused = await world.call("admin", "DELETE", f"/v1/sites/{world.services.gateway_site}")
            assert (refused.status, refused.code) == (409, "wrong-state")
            assert (await world.call("admin", "DELETE", "/v1/sites/spare")).status == 204

    asyncio.run(story())


def test_steps_and_sessions_come_in_pages(tmp_path: Path) -> None:
    """Seven steps and two openings' six sessions, read three at a time, come once each and in order."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            connection = world.ids["connection"]

            def fill(tx: Any) -> None:
                for number in range(7):
                    connections.record_step(tx, connection, f"step-{number}", "done", 1.0)
                accounts = {"gateway_account": "g", "transport_account": "t", "target_account": "a"}
                row = rows.by_id(tx, Connection, connection)
                for now_s in (1.0, 2.0):
                    connections.open_sessions(tx, row, **accounts, now_s=now_s)

            await world.write(fill)

            async def read(what: str) -> list[Any]:
                items, token = [], ""
                while token is not None:
                    page = await world.call("admin", "GET", f"/v1/connections/{connection}/{what}?limit=3{token}")
                    assert len(page.body["items"]) <= 3
                    items += page.body["items"]
                    following = page.body["next_page_token"]
                    token = None if following is None else f"&page_token={following}"
                return items

            assert [each["step"] for each in await read("steps")] == [f"step-{number}" for number in range(7)]
            sessions = await read("sessions")
            assert [each["leg"] for each in sessions] == ["gateway", "transport", "target"] * 2
            assert [each["ended_at"] is None for each in sessions] == [False] * 3 + [True] * 3

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
            normalised = {"os_family": "debian", "os_version": "12"}
            assert offer["images"] == [{"id": "i1", "name": "debian-12", "facts": {}, "normalised": normalised}]

    asyncio.run(story())


def test_an_order_names_a_network_that_its_offer_shows(tmp_path: Path) -> None:
    """The offer shows those of the grant's scope alone; another is refused by name, the only one taken unsaid."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            lans = [CloudItem(cloud_id="n1", name="lan-a"), CloudItem(cloud_id="n2", name="lan-b")]
            platform, now_s = PlatformId(world.ids["platform"]), world.clock.now_s()
            await world.write(lambda tx: publish.store_inventory(tx, platform, "network", lans, now_s))

            async def shown() -> list[str]:
                offer = (await world.call("tenant", "GET", f"/v1/offers/{world.ids['offer-machine']}")).body
                return [each["name"] for each in offer["networks"]]

            async def ordered(**network: str) -> Any:
                body = {"offer": "platform", "size": "small", "image": "debian-12", **network}
                return await world.call("tenant", "POST", "/v1/orders", body)

            assert await shown() == ["lan-a", "lan-b"]
            first = await ordered(network="lan-a")
            assert (first.status, first.body["network"]) == (202, "n1")
            machine = await world.call("tenant", "GET", f"/v1/machines/{first.body['machine']}")
            assert machine.body["network"] == "n1"
            path = f"/v1/grants/{world.ids['grant-machine']}/answer"
            narrowed = {"decision": "grant", "scope": {"networks": ["lan-b"]}}
            assert (await world.call("platform", "POST", path, narrowed)).body["scope"] == {"networks": ["lan-b"]}
            assert await shown() == ["lan-b"]
            refused = await ordered(network="lan-a")
            assert (refused.status, refused.body["field"]) == (403, "network")
            assert (await ordered()).body["network"] == "n2"

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


def test_a_spent_budget_refuses_a_reboot_as_it_refuses_a_start(tmp_path: Path) -> None:
    """At some clouds a reboot starts what is stopped: a member does neither, but stops; an admin may."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/machines/{world.ids['machine']}/actions"

            def spend(tx: Tx) -> None:
                budget = Budget(
                    id=world.ids["tenant"], amount="0", currency="EUR", stops_machines=True,
                    stop_month=Month.at(world.clock.now_s()).name, stop_at_s=1.0,
                )  # fmt: skip
                rows.insert(tx, budget, world.clock.now_s())

            await world.services.database.write(spend)

            async def answered(role: str, action: str) -> int:
                return (await world.call(role, "POST", path, {"action": action})).status

            refused = (await world.call("tenant", "POST", path, {"action": "reboot"})).body["code"]
            assert refused == "budget-exceeded"
            assert await answered("tenant", "start") != 202
            assert [await answered("tenant", "stop"), await answered("admin", "reboot")] == [202, 202]

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


def test_a_pools_terms_are_kept_as_they_were_said(tmp_path: Path) -> None:
    """Limits, age, hours and projects come back; a change keeps the rest, and null takes a limit off."""
    hours = [{"days": ["mon"], "start": "08:00", "stop": "18:00", "idle_target": 2}]

    async def story() -> None:
        async with api_world(tmp_path) as world:
            project = (await world.call("admin", "GET", "/v1/projects")).body["items"][0]["id"]
            terms = {"machine_limit": 4, "idle_age_limit_s": 3600.0, "zone": "Europe/Berlin", "hours": hours}
            wanted = {"name": "office", "offer": world.ids["offer-machine"], "size": "small", "image": "debian-12"}
            made = await world.call("admin", "POST", "/v1/pools", {**wanted, **terms, "projects": [project]})
            assert made.status == 201
            assert {name: made.body[name] for name in terms} == terms
            assert made.body["projects"] == [project]
            changed = await world.call("admin", "PATCH", "/v1/pools/office", {"machine_limit": None, "projects": []})
            assert {name: changed.body[name] for name in terms} == {**terms, "machine_limit": None}
            assert changed.body["projects"] == []
            refused = await world.call("admin", "PATCH", "/v1/pools/office", {"projects": ["nobody/here"]})
            assert refused.status == 404

    asyncio.run(story())


def test_what_is_in_use_is_not_removed(tmp_path: Path) -> None:
    """A site with relays stays, with a 409 that says what to do."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            refused = await world.call("admin", "DELETE", "/v1/sites/fra")
            assert (refused.status, refused.code) == (409, "wrong-state")
            assert refused.body["fix"]

    asyncio.run(story())


def test_a_grant_is_suspended_and_resumed_by_the_side_that_did_it_and_its_terms_are_listed(tmp_path: Path) -> None:
    """The platform holds its grant back, the admin cannot lift that, the platform can; each acts for its own side."""

    async def play() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/grants/{world.ids['grant-machine']}"
            held = await world.call("platform", "POST", f"{path}/suspend")
            assert (held.body["state"], held.body["suspended_by"]) == ("suspended", ["platform"])
            assert (await world.call("admin", "POST", f"{path}/resume")).status == 409
            resumed = await world.call("platform", "POST", f"{path}/resume")
            assert (resumed.body["state"], resumed.body["suspended_by"]) == ("accepted", [])
            assert (await world.call("platform", "GET", f"{path}/history")).status == 200

    asyncio.run(play())
