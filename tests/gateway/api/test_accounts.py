"""Accounts, memberships and tokens over the API: what each role gives, and that it is asked anew at each use."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable
from pathlib import Path

import pytest

from catalog import access
from catalog.tokens import revoke_token
from gateway.api.openapi import document
from gateway.api.server import declared
from tests.support.api_world import ApiWorld, Reply, api_world
from tests.support.waiting import until

ORDER = {"offer": "platform", "size": "small", "image": "debian-12"}


async def made(world: ApiWorld, role: str, path: str, body: dict[str, object], name: str = "") -> dict[str, object]:
    """Make something as ``role``; a token's text is kept under ``name``."""
    reply = await world.call(role, "POST", path, body)
    assert reply.status == 201, reply.text
    if name:
        world.tokens[name] = reply.body["token"]
    return dict(reply.body)


def test_a_token_never_has_more_than_its_holder_has_now(tmp_path: Path) -> None:
    """What a membership gives ends with it, at once and for every token; its scopes are what the holder had then."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            user = await made(world, "admin", "/v1/accounts", {"kind": "user", "name": "lee"})
            token = {"name": "laptop", "account": "lee"}
            await made(world, "admin", "/v1/tokens", token, "lee")
            assert (await world.call("lee", "POST", "/v1/orders", ORDER)).status == 403
            too_early = await world.call("admin", "POST", "/v1/tokens", {**token, "scopes": ["order:read"]})
            assert (too_early.status, too_early.body["field"]) == (422, "scopes")

            membership = await made(
                world, "owner", "/v1/memberships", {"account": "lee", "role": "member", "project": "bakery/tenant"}
            )
            placed = await world.call("lee", "POST", "/v1/orders", ORDER)
            assert (placed.status, placed.body["project"]) == (202, world.ids["tenant"])
            await made(world, "lee", "/v1/tokens", {"name": "ci", "scopes": ["order:read"]}, "ci")
            assert (await world.call("ci", "GET", f"/v1/orders/{placed.body['id']}")).status == 200
            assert (await world.call("ci", "POST", "/v1/orders", ORDER)).status == 403
            who = (await world.call("ci", "GET", "/v1/whoami")).body
            assert (who["account"], who["scopes"]) == (user["id"], ["order:read"])
            assert who["projects"] == {world.ids["tenant"]: "member"}

            gone = await world.call("owner", "DELETE", f"/v1/memberships/{membership['id']}")
            assert gone.status == 204
            assert (await world.call("ci", "GET", f"/v1/orders/{placed.body['id']}")).status == 403
            assert (await world.call("lee", "GET", "/v1/orders")).status == 403
            assert (await world.call("lee", "GET", "/v1/whoami")).body["role"] == "guest"
            off = await world.call("admin", "PATCH", f"/v1/accounts/{user['id']}", {"enabled": False})
            assert off.body["enabled"] is False
            assert (await world.call("lee", "GET", "/v1/whoami")).status == 401

    asyncio.run(story())


def test_a_limited_token_makes_none_that_may_do_more(tmp_path: Path) -> None:
    """A token with some scopes issues tokens with those or fewer; one without the right issues none."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            limits = ["self:write", "order:read"]
            await made(world, "user", "/v1/tokens", {"name": "a", "scopes": limits}, "a")
            inherited = await made(world, "a", "/v1/tokens", {"name": "b"}, "b")
            assert inherited["scopes"] == sorted(limits)
            more = await world.call("a", "POST", "/v1/tokens", {"name": "c", "scopes": ["order:write"]})
            assert (more.status, more.code) == (403, "denied")
            await made(world, "a", "/v1/tokens", {"name": "d", "scopes": ["order:read"]}, "d")
            assert (await world.call("d", "POST", "/v1/tokens", {"name": "e"})).status == 403

            # Nor for somebody else: an admin's limited token makes no whole admin, and nobody's whole token.
            limits = ["self:write", "token:write", "account:write", "order:read"]
            await made(world, "admin", "/v1/tokens", {"name": "f", "role": "admin", "scopes": limits}, "f")
            fresh = await made(world, "f", "/v1/tokens", {"name": "g", "role": "admin"}, "g")
            assert fresh["scopes"] == sorted(limits)
            hers = {"account": "mara@bakery.example"}
            assert (await world.call("f", "POST", "/v1/tokens", {"name": "g", **hers})).status == 422
            await made(world, "f", "/v1/tokens", {"name": "g", **hers, "scopes": ["order:read"]}, "g")
            for whose in ({"role": "admin"}, hers):
                more = await world.call("f", "POST", "/v1/tokens", {"name": "h", **whose, "scopes": ["order:write"]})
                assert (more.status, more.code) == (403, "denied")

    asyncio.run(story())


def test_a_projects_account_stays_where_its_owner_has_its_tokens(tmp_path: Path) -> None:
    """Whoever owns a project has its service accounts' tokens: not even an admin lets those in anywhere else."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            robot = world.ids["account"]
            promoted = await world.call("admin", "PATCH", f"/v1/accounts/{robot}", {"gateway_role": "auditor"})
            assert (promoted.status, promoted.body["field"]) == (422, "gateway_role")
            abroad = {"account": robot, "role": "viewer", "project": "foundry/rival"}
            refused = await world.call("admin", "POST", "/v1/memberships", abroad)
            assert (refused.status, refused.body["field"]) == (422, "account")
            await made(world, "admin", "/v1/memberships", {**abroad, "project": "bakery/next"})

    asyncio.run(story())


def test_everybody_has_the_own_tokens_and_nobody_a_persons(tmp_path: Path) -> None:
    """A user lists and revokes the own; an owner has those of service accounts, an admin all; used-at is told."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            mine = (await world.call("user", "GET", "/v1/tokens")).body["items"]
            assert [each["id"] for each in mine] == [world.ids["user-token"]]
            assert mine[0]["used_at"] is not None
            robot = world.ids["account"]
            token = await made(world, "owner", "/v1/tokens", {"name": "ci", "account": robot}, "robot")
            assert (await world.call("robot", "GET", "/v1/whoami")).body["role"] == "guest"
            listed = (await world.call("owner", "GET", f"/v1/accounts/{robot}/tokens")).body["items"]
            assert [each["id"] for each in listed] == [token["id"]]
            persons = await world.call("owner", "GET", f"/v1/accounts/{world.ids['mara']}/tokens")
            assert persons.status == 403
            assert (await world.call("user", "DELETE", f"/v1/tokens/{token['id']}")).status == 404
            assert (await world.call("owner", "DELETE", f"/v1/tokens/{token['id']}")).status == 204
            assert (await world.call("robot", "GET", "/v1/whoami")).status == 401
            assert (await world.call("user", "DELETE", f"/v1/tokens/{mine[0]['id']}")).status == 204
            assert (await world.call("user", "GET", "/v1/whoami")).status == 401

    asyncio.run(story())


def test_noting_who_called_makes_no_read_wait_or_fail(tmp_path: Path) -> None:
    """While another program keeps everybody from writing, reads are answered, and the use is told all the same."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            other = sqlite3.connect(tmp_path / "api.db")
            other.execute("BEGIN IMMEDIATE")
            assert (await world.call("user", "GET", "/v1/whoami")).status == 200
            [mine] = (await world.call("user", "GET", "/v1/tokens")).body["items"]
            assert mine["used_at"] is not None
            other.rollback()
            other.close()

    asyncio.run(story())


def test_an_organisations_owner_is_owner_of_each_of_its_projects(tmp_path: Path) -> None:
    """Those that there are and those that come; it makes them, and none elsewhere."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await made(
                world, "admin", "/v1/memberships", {"account": "guest", "role": "owner", "organisation": "bakery"}
            )
            project = await made(world, "guest", "/v1/projects", {"organisation": "bakery", "name": "third"})
            seen = (await world.call("guest", "GET", "/v1/projects")).body["items"]
            assert {each["reference"] for each in seen} == {"bakery/tenant", "bakery/next", "bakery/third"}
            body = {"account": "mara@bakery.example", "role": "viewer", "project": project["id"]}
            await made(world, "guest", "/v1/memberships", body)
            elsewhere = await world.call("guest", "POST", "/v1/projects", {"organisation": "foundry", "name": "x"})
            assert (elsewhere.status, elsewhere.code) == (404, "not-found")
            assert [each["name"] for each in (await world.call("guest", "GET", "/v1/organisations")).body["items"]] == [
                "bakery"
            ]

    asyncio.run(story())


def test_who_works_in_several_projects_names_one(tmp_path: Path) -> None:
    """An order without a project is refused with the choice; a viewer's is refused; lists hold both's things."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            body = {"account": "mara@bakery.example", "role": "member", "project": "foundry/rival"}
            await made(world, "admin", "/v1/memberships", body)
            unclear = await world.call("user", "POST", "/v1/orders", ORDER)
            assert (unclear.status, unclear.body["field"]) == (422, "project")
            assert "bakery/tenant, foundry/rival" in unclear.body["fix"]
            chosen = await world.call("user", "POST", "/v1/orders", {**ORDER, "project": "foundry/rival"})
            assert (chosen.status, chosen.body["project"]) == (202, world.ids["rival"])
            viewed = await world.call("user", "POST", "/v1/orders", {**ORDER, "project": "bakery/next"})
            assert (viewed.status, viewed.code) == (403, "denied")
            listed = (await world.call("user", "GET", "/v1/orders")).body["items"]
            assert {each["project"] for each in listed} == {world.ids["tenant"], world.ids["rival"]}
            only = (await world.call("user", "GET", "/v1/orders?project=foundry%2Frival")).body["items"]
            assert [each["id"] for each in only] == [chosen.body["id"]]
            events = (await world.call("user", "GET", "/v1/events?kind=order")).body["items"]
            assert {each["project"] for each in events} == {world.ids["tenant"], world.ids["rival"]}

    asyncio.run(story())


def test_nobody_is_called_me(tmp_path: Path) -> None:
    """``me`` is whoever asks, and ``account_…`` an id: neither is a user's name."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for name in ("me", "account_01abc"):
                refused = await world.call("admin", "POST", "/v1/accounts", {"kind": "user", "name": name})
                assert (refused.status, refused.body["field"]) == (422, "name")

    asyncio.run(story())


def test_an_owner_takes_in_nobody_who_runs_the_gateway(tmp_path: Path) -> None:
    """To an owner such an account does not exist, be it a person's or a program's, free or not; an admin places both.

    An operator who owns a project is an owner there, and no more.
    """

    async def story() -> None:
        async with api_world(tmp_path) as world:
            chief = {"kind": "user", "name": "chief", "gateway_role": "operator"}
            ids = [str((await made(world, "admin", "/v1/accounts", chief))["id"])]
            for role in ("admin", ""):
                robot = {"kind": "service", "name": f"robot{role}", "gateway_role": role}
                ids.append(str((await made(world, "admin", "/v1/accounts", robot))["id"]))
            await made(
                world, "admin", "/v1/memberships", {"account": "chief", "role": "owner", "project": "bakery/next"}
            )
            await made(world, "admin", "/v1/tokens", {"name": "x", "account": "chief"}, "chief")
            body = {"role": "viewer", "project": "bakery/tenant"}
            unknown = await world.call("owner", "POST", "/v1/memberships", {**body, "account": "x"})
            for account in ("chief", "both", *ids):
                refused = await world.call("owner", "POST", "/v1/memberships", {**body, "account": account})
                assert (refused.status, refused.body["field"]) == (422, "account")
                assert refused.body["detail"].replace(account, "x") == unknown.body["detail"]
            rivals = {"account": "guest", "role": "owner", "project": "foundry/rival"}
            await made(world, "admin", "/v1/memberships", rivals)
            for account in ("both", "guest"):
                abroad = {"account": account, "role": "viewer", "project": "bakery/next"}
                assert (await world.call("chief", "POST", "/v1/memberships", abroad)).status == 422
            for account in ids:
                await made(world, "admin", "/v1/memberships", {**body, "account": account})

    asyncio.run(story())


def test_whoever_was_taken_in_sees_it_and_may_leave(tmp_path: Path) -> None:
    """A member lists the own memberships and nobody else's, ends them, and has nothing there any more."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            taken = {"account": "guest", "role": "viewer", "project": "bakery/tenant"}
            other = await made(world, "owner", "/v1/memberships", taken)
            listed = (await world.call("guest", "GET", "/v1/memberships")).body["items"]
            assert [each["id"] for each in listed] == [other["id"]]
            path = f"/v1/memberships/{other['id']}"
            for role, status in (("user", 404), ("tenant", 404), ("auditor", 403), ("both", 403), ("rival-owner", 404)):
                assert (await world.call(role, "DELETE", path)).status == status, role

            mine = (await world.call("user", "GET", "/v1/memberships")).body["items"]
            assert {each["account"] for each in mine} == {world.ids["mara"]}
            assert {each["project"] for each in mine} == {world.ids["tenant"], world.ids["neighbour"]}
            there = (await world.call("user", "GET", "/v1/memberships?project=bakery%2Ftenant")).body["items"]
            assert [each["id"] for each in there] == [world.ids["membership"]]
            assert (await world.call("user", "GET", "/v1/memberships?project=foundry%2Frival")).status == 404
            for each in mine:
                assert (await world.call("user", "DELETE", f"/v1/memberships/{each['id']}")).status == 204
            who = (await world.call("user", "GET", "/v1/whoami")).body
            assert (who["role"], who["projects"]) == ("guest", {})
            assert (await world.call("user", "GET", "/v1/orders")).status == 403
            kept = (await world.call("owner", "GET", "/v1/memberships")).body["items"]
            assert [each["id"] for each in kept] == [other["id"]]

    asyncio.run(story())


def test_a_limited_token_ends_the_memberships_that_it_is_for(tmp_path: Path) -> None:
    """An owner's token without membership:write leaves others' alone, those of the own organisation too."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            owner = {"account": "guest", "role": "owner", "organisation": "bakery"}
            own = await made(world, "admin", "/v1/memberships", owner)
            hers = await made(world, "admin", "/v1/memberships", {**owner, "account": "newcomer"})
            await made(world, "guest", "/v1/tokens", {"name": "l", "scopes": ["self:write"]}, "limited")
            seen = ["self:write", "membership:read"]
            await made(world, "guest", "/v1/tokens", {"name": "s", "scopes": seen}, "seeing")
            for role, listed, status in (("limited", {own["id"]}, 404), ("seeing", {own["id"], hers["id"]}, 403)):
                found = (await world.call(role, "GET", "/v1/memberships")).body["items"]
                assert {each["id"] for each in found} >= listed
                assert (hers["id"] in {each["id"] for each in found}) == (hers["id"] in listed)
                for id_ in (hers["id"], world.ids["membership"]):
                    assert (await world.call(role, "DELETE", f"/v1/memberships/{id_}")).status == status
            assert (await world.call("limited", "DELETE", f"/v1/memberships/{own['id']}")).status == 204

    asyncio.run(story())


def test_only_an_admin_decides_about_people_and_about_the_gateway(tmp_path: Path) -> None:
    """An owner makes service accounts of the own project and neither users nor admins; an operator lets nobody in."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for role, body in (
                ("owner", {"kind": "user", "name": "eve"}),
                ("owner", {"kind": "service", "name": "eve", "gateway_role": "admin"}),
                ("operator", {"kind": "user", "name": "eve"}),
                ("auditor", {"kind": "user", "name": "eve"}),
            ):
                assert (await world.call(role, "POST", "/v1/accounts", body)).status == 403
            grown = {"kind": "service", "name": "eve", "project": "bakery/tenant", "gateway_role": "admin"}
            assert (await world.call("owner", "POST", "/v1/accounts", grown)).status == 422
            path = f"/v1/accounts/{world.ids['account']}"
            assert (await world.call("owner", "PATCH", path, {"gateway_role": "admin"})).status == 403
            assert (await world.call("owner", "PATCH", path, {"enabled": False})).status == 200
            for role in ("operator", "auditor", "owner", "user"):
                refused = await world.call(role, "POST", "/v1/tokens", {"name": "x", "role": "admin"})
                assert (refused.status, refused.code) == (403, "denied")

    asyncio.run(story())


def test_two_roles_do_not_widen_each_other(tmp_path: Path) -> None:
    """An auditor who owns a project sees the gateway and changes the project: not the gateway, and no other project."""
    hook = {"url": "https://both.example.net", "kind": "order"}

    async def story() -> None:
        async with api_world(tmp_path) as world:
            admins = await made(world, "admin", "/v1/webhooks", hook)
            mine = await made(world, "both", "/v1/webhooks", hook)
            listed = {each["id"] for each in (await world.call("both", "GET", "/v1/webhooks")).body["items"]}
            assert {admins["id"], mine["id"]} <= listed
            assert {each["id"] for each in (await world.call("neighbour", "GET", "/v1/webhooks")).body["items"]} == {
                mine["id"]
            }, "it is the project's"
            assert (await world.call("both", "DELETE", f"/v1/webhooks/{admins['id']}")).status == 403
            assert (await world.call("both", "DELETE", f"/v1/webhooks/{mine['id']}")).status == 204
            for organisation in ("foundry", "bakery"):
                refused = await world.call(
                    "both", "POST", "/v1/projects", {"organisation": organisation, "name": "another"}
                )
                assert (refused.status, refused.code) == (403, "denied"), organisation
            assert (await world.call("both", "GET", f"/v1/machines/{world.ids['machine']}")).status == 200
            act = f"/v1/machines/{world.ids['machine']}/actions"
            assert (await world.call("both", "POST", act, {"action": "destroy"})).status in {403, 404}
            assert (await world.call("tenant", "GET", f"/v1/machines/{world.ids['machine']}")).body["state"] == "in-use"

    asyncio.run(story())


def test_a_change_is_judged_by_what_its_caller_may_do_when_it_is_made(tmp_path: Path) -> None:
    """A write that waits while its token is revoked does nothing: being let in at the door was not enough."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            database, release = world.services.database, threading.Event()
            token = (await made(world, "admin", "/v1/tokens", {"name": "x", "role": "admin"}, "x"))["id"]

            async def call() -> Reply:
                return await world.call("x", "POST", "/v1/sites", {"name": "late"})

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(database.write(lambda _tx: release.wait(30)))
                tasks.create_task(database.write(lambda tx: revoke_token(tx, str(token), world.clock.now_s())))
                late = tasks.create_task(call())
                while database._writer._work_queue.qsize() < 2:
                    await world.call("nobody", "GET", "/healthz")  # until both stand behind the first
                release.set()
            assert (late.result().status, late.result().code) == (401, "unauthenticated")
            assert (await world.call("admin", "GET", "/v1/sites/late")).status == 404

    asyncio.run(story())


def test_a_passage_ends_with_the_right_to_open_it(tmp_path: Path) -> None:
    """What an admin opened goes on only while its token may open passages, not merely while it is valid."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            chief = await made(
                world, "admin", "/v1/accounts", {"kind": "user", "name": "chief", "gateway_role": "admin"}
            )
            token = await made(world, "admin", "/v1/tokens", {"name": "x", "account": "chief"}, "x")
            now_s = world.clock.now_s()

            def may() -> "Awaitable[bool]":
                return world.services.database.read(
                    lambda tx: access.still_may(tx, str(token["id"]), "passage:open", now_s)
                )

            assert await may()
            changed = await world.call("admin", "PATCH", f"/v1/accounts/{chief['id']}", {"gateway_role": ""})
            assert changed.status == 200
            assert (await world.call("x", "GET", "/v1/whoami")).status == 200
            assert not await may()

    asyncio.run(story())


def test_the_description_tells_which_roles_each_operation_takes() -> None:
    """Every operation behind a permission names it and the roles that have it."""
    described = document(declared())["paths"]
    operation = described["/v1/orders"]["post"]
    assert (operation["x-permission"], operation["x-roles"]) == ("order:write", ["member", "owner"])
    for endpoint in declared():
        operation = described[endpoint.path][endpoint.method.lower()]
        assert operation.get("x-permission") == endpoint.permission
        assert bool(operation.get("x-roles")) == (endpoint.permission is not None)


@pytest.mark.parametrize(("undone", "status"), [("token", 401), ("membership", 404)])
def test_a_watch_ends_with_the_right_to_it(tmp_path: Path, undone: str, status: int) -> None:
    """Who waits for an order to change and loses token or role meanwhile is told so, and not what became of it."""

    async def story() -> None:
        async with api_world(tmp_path) as world, asyncio.TaskGroup() as tasks:
            path = f"/v1/orders/{world.ids['order']}"
            seen = (await world.call("user", "GET", path)).headers["ETag"]
            headers = {"Prefer": "wait=50", "If-None-Match": seen}
            watching = tasks.create_task(world.call("user", "GET", path, headers=headers))
            await until(lambda: world.services.changes.waiting)
            if undone == "token":
                gone = await world.call("admin", "DELETE", f"/v1/tokens/{world.ids['user-token']}")
            else:
                gone = await world.call("owner", "DELETE", f"/v1/memberships/{world.ids['membership']}")
            assert gone.status == 204
            # As a viewer of the neighbouring project she may read orders somewhere: this one does not exist for her.
            told = await watching
            assert told.status == status

    asyncio.run(story())
