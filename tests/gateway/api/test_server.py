"""The API as a whole: every endpoint as every role, over a real server and database."""

import asyncio
import hashlib
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from catalog.access import PERMISSIONS
from gateway.api.endpoints import Door, Endpoint, Routes
from gateway.api.problems import Problem
from gateway.api.server import build_app, declared, listening_socket, serve_app
from gateway.errors import InvalidSettings
from tests.support.api_world import CANARY, PASSWORD, ROLES, STRANGER, ApiWorld, Reply, api_world, host_key
from tests.support.waiting import until

ROLE_OF = {"tenant": "member", "rival": "member", "user": "member", "neighbour": "owner", "other": "platform"}
# What an owner may do somewhere, and not to what is tried here: found projects without an organisation, have another's
# tokens.
NOT_HERE = {
    ("change_password", "owner"),
    ("create_project", "owner"),
    ("create_token", "owner"),
    ("create_project", "neighbour"),
    # He owns a project and no organisation.
    ("change_budget", "owner"),
    ("remove_budget", "owner"),
    ("change_quota", "owner"),
    ("change_lease_rule", "owner"),
    ("add_approval_rule", "owner"),
    ("remove_approval_rule", "owner"),
    ("create_token", "neighbour"),
}

# One good body for every endpoint that takes one; an endpoint without an entry here fails the tests.
BODIES: dict[str, dict[str, Any]] = {
    "create_organisation": {"name": "third"},
    "create_project": {"organisation": "bakery", "name": "third"},
    "create_token": {"name": "ci", "account": "mara@bakery.example"},
    "create_account": {"kind": "service", "name": "builder", "project": "bakery/tenant"},
    "change_account": {"enabled": True},
    "log_in": {"name": "mara@bakery.example", "password": PASSWORD},
    "change_password": {"password": "a new one for mara"},
    "create_membership": {"account": "newcomer", "role": "viewer", "project": "bakery/tenant"},
    "create_enrolment": {
        "platform_name": "new",
        "endpoints": [{"purpose": "api", "url": "https://new.example.org", "dial": "10.9.9.9:443"}],
    },
    "enrol_platform": {
        "name": "new",
        "provider": "simulated",
        "site": "fra",
        "account": "someone",
        "secret": CANARY,
        "api": {"url": "https://new.example.org"},
    },
    "replace_secret": {"secret": CANARY + "-2"},
    "approve_endpoint": {"dial": "10.1.2.4:443"},
    "create_site": {"name": "iad", "latitude": 39, "longitude": -77.5},
    "change_site": {"region": "eu"},
    "create_relay": {"name": "sin-1", "site": "sin", "host": "10.0.0.2", "user": "relay", "host_key": host_key()},
    "change_relay": {"enabled": False},
    "create_link": {"source": "fra", "target": "iad"},
    "replace_weights": {"delay": 1, "loss": 2, "jitter": 3, "hops": 4, "price": 5, "risk": 6},
    "replace_platform_weights": {"delay": 1, "risk": 6},
    "ask_what_if": {"weights": {"loss": 2}},
    "request_connection": {"target": "other"},
    "consent_to_connection": {"decision": "allow"},
    "approve_exit": {"platform": "other", "relay": "fra-1"},
    "announce_exit": {"relay": "fra-1", "ports": {"api": 40001}},
    "create_grant_rule": {"platform": "*", "capability": "machine"},
    "place_order": {"offer": "platform", "size": "small", "image": "debian-12"},
    "approve": {"comment": "yes"},
    "deny": {"comment": "no"},
    "add_approval_rule": {
        "name": "dear",
        "holder": "bakery/tenant",
        "platforms": ["other"],
        "approvers": ["role:owner"],
    },
    "set_machine_schedule": {"windows": [{"days": ["mon"], "start": "08:00", "stop": "18:00"}]},
    "set_project_schedule": {
        "zone": "Europe/Berlin",
        "windows": [{"days": ["sun"], "start": "22:00", "stop": "06:00"}],
    },
    "import_prices": {"format": "csv", "text": "provider,item,unit,amount,currency,source\nec2,t3.nano,hour,1,USD,us"},
    "save_search": {"name": "cheap", "query": {"sort": "price"}},
    "label_offer": {"labels": {"tier": "gold"}},
    "extend_lease": {"lease_s": 3600, "may_give_end": True},
    "change_lease_rule": {"default_s": 3600},
    "change_budget": {"amount": "500", "currency": "EUR"},
    "change_quota": {"machines": 500, "cores": None},
    "seed_prices": {"provider": "simulated"},
    "create_pool": {"name": "second", "offer": "platform", "size": "small", "image": "debian-12"},
    "change_pool": {"idle_target": 2},
    "act_on_machine": {"action": "reboot"},
    "rebuild_machine": {"image": "debian-12"},
    "resize_machine": {"size": "small"},
    "rename_machine": {"name": "web"},
    "import_machine": {"platform": "platform", "machine": "found-1", "project": "bakery/tenant"},
    "change_custody": {"custody": "managed"},
    "place_asset": {"kind": "volume", "offer": "platform", "size_gib": 8},
    "act_on_asset": {"action": "destroy"},
    "create_webhook": {"url": "https://hooks.example.net/crossway"},
    "replay_webhook": {"since": 0},
    "answer_grant": {"decision": "grant"},
    "make_answer_link": {},
    "take_answer": {"decision": "deny"},
    "open_passage": {"platform": "platform", "purpose": "aws", "gateway_url": "http://127.0.0.1:8780"},
}


def path_of(endpoint: Endpoint, ids: dict[str, str]) -> str:
    """Return the endpoint's path with the seeded things in the place of its parameters."""
    kind = endpoint.path.split("/")[2] if endpoint.parameters else ""
    named = {"sites": "site", "relays": "relay", "links": "link", "grants": "grant-machine", "grant-rules": "rule"}
    named |= {
        "saved-searches": "search",
        "offers": "offer-machine",
        "tokens": "rival-token",
        "organisations": "bakery",
        "projects": "tenant",
    }
    named |= {"approval-rules": "approval-rule", "schedules": "tenant"}
    named |= {"quotas": "tenant", "lease-rules": "tenant", "budgets": "tenant", "costs": "tenant"}
    thing = {"dead-letter": "message_1", **ids}.get(named.get(kind, kind.removesuffix("s")), "")
    return (
        endpoint.path.replace("{id}", thing)
        .replace("{ref}", thing)
        .replace("{purpose}", "api")
        .replace("{project}", thing)
        .replace("{holder}", thing)
        .replace("{link}", "cw_link_nobody")
    )


def gentlest_first() -> Iterator[Endpoint]:
    """Yield every endpoint: reads, then changes, then removals, so that what later ones need is still there."""
    order = {"GET": 0, "POST": 1, "PATCH": 2, "PUT": 2, "DELETE": 3}
    last = {"act_on_machine", "act_on_asset", "revoke_grant", "cancel_order", "revoke_token", "remove_membership"}
    yield from sorted(declared(), key=lambda each: (order[each.method], each.name in last))


async def call(world: ApiWorld, endpoint: Endpoint, role: str) -> Reply:
    """Call ``endpoint`` as ``role`` with its good body."""
    body = BODIES[endpoint.name] if endpoint.body.model_fields else None
    return await world.call(role, endpoint.method, path_of(endpoint, world.ids), body)


def may(endpoint: Endpoint, role: str) -> bool:
    """Return what the table of permissions says of ``role`` here."""
    if endpoint.door in (Door.ANYONE, Door.LOCAL):
        return True
    if endpoint.door is Door.ENROLMENT or role == STRANGER:
        return False
    if (endpoint.name, role) in NOT_HERE:
        return False
    return ROLE_OF.get(role, role) in {known.value for known in PERMISSIONS[endpoint.permission or ""]}


def test_every_endpoint_lets_in_exactly_the_roles_of_its_permission(tmp_path: Path) -> None:
    """For all endpoints and roles: 401 without a token, 403 for the wrong role, neither for the right one.

    No answer to a good request is a 5xx, every refusal is a problem with the request's id, and nobody ever sees a
    platform's secret; a tenant sees no platform's address or account.
    """
    wrong = []

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for endpoint in gentlest_first():
                for role in reversed(ROLES):
                    reply = await call(world, endpoint, role)
                    wrong.extend(faults_of(endpoint, role, reply))

    asyncio.run(story())
    assert wrong == []


def faults_of(endpoint: Endpoint, role: str, reply: Reply) -> Iterator[str]:
    """Yield in words what is wrong with ``reply``."""
    where = f"{role} {endpoint.method} {endpoint.path}: {reply.status} {reply.text[:200]}"
    refused = {401} if role == STRANGER else {401, 403}
    if may(endpoint, role) == (reply.status in refused):
        yield where
    if reply.status >= 500 or CANARY in reply.text:
        yield where
    if reply.status == 401 and "Bearer" not in reply.headers.get("WWW-Authenticate", ""):
        yield f"no challenge: {where}"
    if reply.headers.get("Content-Type", "").startswith("text/html"):
        if (reply.status, endpoint.media_type) != (404, reply.headers["Content-Type"]):
            yield f"not the page of a link that nobody made: {where}"
    elif reply.status >= 400:
        problem = Problem.model_validate(reply.body)
        if (problem.status, problem.request_id) != (reply.status, reply.headers["X-Request-Id"]):
            yield f"not the right problem: {where}"
    if role in {"tenant", "rival"} and any(word in reply.text for word in ("example.org", "10.1.2.", "account-of-")):
        yield f"shows a platform's inside: {where}"


def test_what_belongs_to_another_does_not_exist(tmp_path: Path) -> None:
    """For every endpoint that takes an id, another tenant or platform gets 404, and nothing is changed by it."""
    wrong = []
    owned = {
        "orders",
        "machines",
        "assets",
        "platforms",
        "connections",
        "grants",
        "passages",
        "webhooks",
        "saved-searches",
        "approvals",
    }

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await world.call("rival", "GET", "/v1/whoami")  # once a minute it is written down who called
            before = await world.services.database.read(fingerprint)
            for endpoint in gentlest_first():
                mine = endpoint.parameters and endpoint.path.split("/")[2] in owned
                for role in ("rival", "other"):
                    if mine and may(endpoint, role) and endpoint.permission != "grant:write":
                        reply = await call(world, endpoint, role)
                        if (reply.status, reply.code) != (404, "not-found"):
                            wrong.append(f"{role} {endpoint.name}: {reply.status} {reply.text}")
            assert await world.services.database.read(fingerprint) == before

    asyncio.run(story())
    assert wrong == []


def fingerprint(tx: Any) -> str:
    """Return a digest of everything in the database but the audit log, where what was refused is noted."""
    raw = tx.connection().connection.driver_connection
    facts = [line for line in raw.iterdump() if '"audit_record"' not in line and '"log_head"' not in line]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def test_lists_hold_only_what_the_caller_may_see(tmp_path: Path) -> None:
    """A rival tenant's and another platform's lists are empty where the seeded tenant's and platform's are not."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for path, owner, rival in (
                ("/v1/orders", "tenant", "rival"),
                ("/v1/machines", "tenant", "rival"),
                ("/v1/connections", "platform", "other"),
                ("/v1/grants", "platform", "other"),
            ):
                assert (await world.call(owner, "GET", path)).body["items"]
                assert (await world.call(rival, "GET", path)).body["items"] == []
            [seen] = (await world.call("other", "GET", "/v1/platforms")).body["items"]
            assert seen["name"] == "other"

    asyncio.run(story())


async def backdoor(_request: web.Request) -> web.Response:
    """Answer anybody."""
    return web.Response()


def test_a_route_past_the_declarations_stops_the_start(tmp_path: Path) -> None:
    """A handler that was added to the application directly, so that nobody checks who calls it, is refused."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            app = build_app(world.services)
            app.router.add_get("/v1/backdoor", backdoor)
            with pytest.raises(RuntimeError, match="/v1/backdoor is not declared"):
                async with serve_app(app, "127.0.0.1:0"):
                    pass

    asyncio.run(story())


def moon(permission: str | None) -> list[Endpoint]:
    """Declare one endpoint with ``permission``."""
    routes = Routes("moon")
    routes.plain("GET", "/v1/moon", permission=permission, summary="The moon")(lambda _tx, _call: None)
    return list(routes)


@pytest.mark.parametrize(
    ("permission", "words"),
    [pytest.param(None, "no permission", id="none"), pytest.param("moon:read", "does not know", id="unknown")],
)
def test_a_declaration_without_a_known_permission_stops_the_start(
    tmp_path: Path, permission: str | None, words: str
) -> None:
    """An endpoint behind a token names a permission of the table, or the application is not even built."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            with pytest.raises(ValueError, match=words):
                build_app(world.services, moon(permission))

    asyncio.run(story())


def test_unknown_paths_and_methods_are_problems_too(tmp_path: Path) -> None:
    """404 for a path nobody declared or that cannot hold an id; 405 with Allow for a method it does not have."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            assert (await world.call("admin", "GET", "/v1/moon")).code == "no-such-path"
            assert (await world.call("admin", "GET", "/v1/sites/%0d%0aset-cookie")).code == "no-such-path"
            refused = await world.call("admin", "PUT", "/v1/orders")
            assert (refused.status, refused.headers["Allow"]) == (405, "GET, POST")
            assert "aiohttp" not in refused.headers["Server"]

    asyncio.run(story())


def test_a_request_id_is_taken_over_if_it_is_sane_and_made_otherwise(tmp_path: Path) -> None:
    """A caller's X-Request-Id comes back; one with other characters is replaced."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            reply = await world.call("admin", "GET", "/livez", headers={"X-Request-Id": "abc-1"})
            assert reply.headers["X-Request-Id"] == "abc-1"
            reply = await world.call("admin", "GET", "/livez", headers={"X-Request-Id": "a b"})
            assert reply.headers["X-Request-Id"].startswith("request_")

    asyncio.run(story())


def test_a_unix_socket_is_for_its_owner_only_and_gone_afterwards(tmp_path: Path) -> None:
    """The socket's mode is 0600, callers on it are local (metrics without a token), and it is removed at the end."""
    path = tmp_path / "api.sock"

    async def story() -> None:
        async with api_world(tmp_path, listen=f"unix:{path}") as world:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert (await world.call(STRANGER, "GET", "/metrics")).status == 200

    asyncio.run(story())
    assert not path.exists()


def test_an_inherited_socket_is_served(tmp_path: Path) -> None:
    """``fd:N`` serves on a listening socket that somebody else bound."""
    inherited = socket.create_server(("127.0.0.1", 0))
    port = inherited.getsockname()[1]

    async def story() -> None:
        async with api_world(tmp_path, listen=f"fd:{inherited.detach()}") as world:
            assert world.url == f"http://127.0.0.1:{port}"
            assert (await world.call(STRANGER, "GET", "/livez")).status == 200

    asyncio.run(story())


@pytest.mark.parametrize("listen", ["8780", "localhost:http", "127.0.0.1:99999", "unix:/no/such/place/s", "fd:999"])
def test_where_one_cannot_listen_is_said_with_the_setting(listen: str) -> None:
    """What cannot be listened at is refused as the setting api.listen, with the forms that it may have."""
    with pytest.raises(InvalidSettings) as caught:
        listening_socket(listen)
    assert caught.value.field == "api.listen"
    assert "unix:" in str(caught.value.fix)


def test_metrics_are_for_admins_and_this_host_itself(tmp_path: Path) -> None:
    """From loopback metrics need no token, unless the request was passed on by a proxy; labels are templates."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await world.call("admin", "GET", f"/v1/orders/{world.ids['order']}")
            text = (await world.call(STRANGER, "GET", "/metrics")).text
            assert 'route="/v1/orders/{id}"' in text
            assert world.ids["order"] not in text
            passed_on = {"X-Forwarded-For": "203.0.113.9"}
            assert (await world.call(STRANGER, "GET", "/metrics", headers=passed_on)).status == 401
            assert (await world.call("tenant", "GET", "/metrics", headers=passed_on)).status == 403
            assert (await world.call("admin", "GET", "/metrics", headers=passed_on)).status == 200

    asyncio.run(story())


def test_a_revoked_or_expired_token_is_worth_nothing(tmp_path: Path) -> None:
    """Revoked, expired, unknown and malformed tokens all get the same 401."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            issued = await world.call("admin", "POST", "/v1/tokens", {"role": "admin", "name": "short", "ttl_s": 60})
            world.tokens["short"] = issued.body["token"]
            assert (await world.call("short", "GET", "/v1/whoami")).body["name"] == "short"
            world.clock.advance(61)
            answers = [await world.call("short", "GET", "/v1/whoami")]
            path = f"/v1/tokens/{world.ids['rival-token']}"
            assert (await world.call("admin", "DELETE", path)).status == 204
            answers.append(await world.call("rival", "GET", "/v1/whoami"))
            for odd in ("Bearer cw_admin_" + "A" * 43, "Bearer x", "Basic YTpi"):
                refused = await world.call(STRANGER, "GET", "/v1/whoami", headers={"Authorization": odd})
                answers.append(refused)
            assert {(each.status, each.body["detail"]) for each in answers} == {(401, answers[0].body["detail"])}

    asyncio.run(story())


def test_a_request_under_way_ends_well_when_the_server_stops(tmp_path: Path) -> None:
    """A long poll that waits when the server stops gets its answer at once instead of being cut."""

    async def story() -> None:
        statuses: list[int] = []
        async with asyncio.TaskGroup() as tasks, api_world(tmp_path) as world:
            session = aiohttp.ClientSession()
            seen = await world.call("tenant", "GET", f"/v1/orders/{world.ids['order']}")

            async def watch() -> None:
                headers = {"Authorization": f"Bearer {world.tokens['tenant']}"}
                headers |= {"Prefer": "wait=60", "If-None-Match": seen.headers["ETag"]}
                url = f"{world.url}/v1/orders/{world.ids['order']}"
                async with session, session.get(url, headers=headers) as response:
                    statuses.append(response.status)

            tasks.create_task(watch())
            await until(lambda: world.services.changes.waiting)
        assert statuses == [304]

    asyncio.run(story())
