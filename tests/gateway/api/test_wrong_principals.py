"""Every declared endpoint, with the ids of a project's things, as everybody who has no business there.

Generated from the declarations: an endpoint that is added tomorrow is tried without a line here.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog import access, accounts, webhooks
from catalog.model.access import Account, Role, Token
from catalog.model.ids import TokenId
from catalog.store import rows
from catalog.store.database import Tx
from catalog.token_text import digest
from catalog.tokens import issue_account_token, issue_token, revoke_token
from catalog.webhooks import WebhookPolicy
from gateway.api.endpoints import Door, Endpoint
from tests.gateway.api.test_server import BODIES, gentlest_first, path_of
from tests.support.api_world import ApiWorld, Reply, api_world

OUTSIDERS = ("rival", "rival-owner", "neighbour", "other")
IMPOSTORS = ("revoked", "expired", "disabled", "nobody", "garbled")
MINE = (
    "tenant",
    "bakery",
    "order",
    "machine",
    "asset",
    "approval",
    "approval-rule",
    "account",
    "mara",
    "membership",
    "session",
    "user-token",
    "tenant-webhook",
)
EVERYBODYS = {"self:read", "self:write"}
OWN = EVERYBODYS | {"search:write"}  # saved searches are their saver's


def calls() -> Iterator[Endpoint]:
    """Yield every endpoint that somebody must prove who he is for; a feed is told in a story of its own."""
    for endpoint in gentlest_first():
        if endpoint.door is Door.TOKEN:
            yield endpoint


async def ask(world: ApiWorld, endpoint: Endpoint, role: str, ids: dict[str, str]) -> Reply:
    """Call ``endpoint`` as ``role`` about the tenant's things."""
    body = BODIES[endpoint.name] if endpoint.body.model_fields else None
    return await world.call(role, endpoint.method, path_of(endpoint, ids), body)


async def prepare(world: ApiWorld) -> dict[str, str]:
    """Add the impostors and what the tenant has beside its machines; return the tenant's things by kind."""
    ids = dict(world.ids)
    now_s = world.clock.now_s()

    def work(tx: Tx) -> None:
        for name, ttl_s in (("revoked", None), ("expired", 0.001)):
            token, world.tokens[name] = issue_token(
                tx, role=Role.OWNER, name=name, subject_id=ids["tenant"], ttl_s=ttl_s, now_s=now_s - 1
            )
            if name == "revoked":
                revoke_token(tx, token.id, now_s)
        gone = accounts.create_user(tx, name="gone", gateway_role="admin", now_s=now_s)
        _, world.tokens["disabled"] = issue_account_token(tx, gone, name="gone", ttl_s=None, scopes=None, now_s=now_s)
        accounts.change(tx, gone, {"enabled": False}, now_s)
        _, world.tokens["limited"] = issue_token(
            tx, role=Role.OWNER, name="limited", subject_id=ids["tenant"], scopes=["catalog:read"], now_s=now_s
        )
        who = access.Principal(role=Role.OWNER, subject_id=ids["tenant"], token_id=TokenId(""), name="o")
        ids["tenant-webhook"] = webhooks.create(
            tx, principal=who, url="https://mine.example.net", kind="", sealer=world.services.sealer,
            policy=WebhookPolicy(), now_s=now_s,
        )[0].id  # fmt: skip
        ids["webhook"], ids["rival-token"] = ids["tenant-webhook"], ids["user-token"]

    await world.write(work)
    world.tokens["garbled"] = world.tokens["admin"][:-1] + ("A" if world.tokens["admin"][-1] != "A" else "B")
    return ids


def mentioning(tx: Any, words: list[str]) -> list[str]:
    """Return every line of the database that mentions one of ``words``.

    Left out are the audit log, which notes what was refused, and what a viewer keeps under a name of its own.
    """
    raw = tx.connection().connection.driver_connection
    return [
        line
        for line in raw.iterdump()
        if not any(each in line for each in ('"audit_record"', "viewer:"))
        and '"log_head"' not in line
        and any(word in line for word in words)
    ]


def test_whoever_proves_nothing_gets_nothing(tmp_path: Path) -> None:
    """Without a token, with a revoked, expired, altered or a disabled admin's one: 401 everywhere, nothing changes."""
    wrong = []

    async def story() -> None:
        async with api_world(tmp_path) as world:
            ids = await prepare(world)
            before = await world.services.database.read(lambda tx: mentioning(tx, [""]))
            for endpoint in calls():
                for role in IMPOSTORS:
                    reply = await ask(world, endpoint, role, ids)
                    if reply.status != 401 or reply.code != "unauthenticated":
                        wrong.append(f"{role} {endpoint.name}: {reply.status} {reply.text[:200]}")
            assert await world.services.database.read(lambda tx: mentioning(tx, [""])) == before

    asyncio.run(story())
    assert wrong == []


@pytest.mark.parametrize(("role", "left"), [("limited", {"catalog:read", "self:read"}), ("guest", EVERYBODYS)])
def test_what_was_not_given_is_denied(tmp_path: Path, role: str, left: set[str]) -> None:
    """An owner's token limited to reading the catalog, and an account without any role: 403 for everything else."""
    wrong = []

    async def story() -> None:
        async with api_world(tmp_path) as world:
            ids = await prepare(world)
            before = await world.services.database.read(lambda tx: mentioning(tx, [ids[each] for each in MINE]))
            for endpoint in calls():
                reply = await ask(world, endpoint, role, ids)
                if endpoint.permission not in left and (reply.status, reply.code) != (403, "denied"):
                    wrong.append(f"{role} {endpoint.name}: {reply.status} {reply.text[:200]}")
            after = await world.services.database.read(lambda tx: mentioning(tx, [ids[each] for each in MINE]))
            assert after == before

    asyncio.run(story())
    assert wrong == []


def test_a_viewer_changes_nothing(tmp_path: Path) -> None:
    """Whatever a viewer tries that changes something is refused; of orders and machines it sees what a member does.

    But for a machine's console, on which it may have written secrets while it started.
    """
    wrong = []

    async def story() -> None:
        async with api_world(tmp_path) as world:
            ids = await prepare(world)
            before = await world.services.database.read(lambda tx: mentioning(tx, [ids[each] for each in MINE]))
            for endpoint in calls():
                reply = await ask(world, endpoint, "viewer", ids)
                if endpoint.writes and reply.status not in {403, 404} and endpoint.permission not in OWN:
                    wrong.append(f"{endpoint.name}: {reply.status} {reply.text[:200]}")
                if endpoint.name == "read_console":
                    assert reply.status == 403
                elif endpoint.path.startswith(("/v1/orders", "/v1/machines", "/v1/assets")) and not endpoint.writes:
                    member = await ask(world, endpoint, "tenant", ids)
                    assert (reply.status, reply.text[:20]) == (member.status, member.text[:20])
            after = await world.services.database.read(lambda tx: mentioning(tx, [ids[each] for each in MINE]))
            assert after == before

    asyncio.run(story())
    assert wrong == []


@pytest.mark.parametrize("role", OUTSIDERS)
def test_another_projects_things_do_not_exist(tmp_path: Path, role: str) -> None:
    """To a rival's member and owner, an owner of a neighbour in the same organisation and a platform: 404 or 403.

    Nothing of the tenant's is in any answer to any call, lists and errors included, but an id that they sent
    themselves; and no line of the database that has to do with the tenant is another one afterwards.
    """
    wrong = []

    async def story() -> None:
        async with api_world(tmp_path) as world:
            ids = await prepare(world)
            # A neighbour knows the organisation, and mara, who is a viewer there too: nothing else.
            shared = {"bakery", "mara"} if role == "neighbour" else set()
            secret = {ids[each] for each in MINE if each not in shared}
            before = await world.services.database.read(lambda tx: mentioning(tx, sorted(secret)))
            for endpoint in calls():
                reply = await ask(world, endpoint, role, ids)
                path = path_of(endpoint, ids)
                shown = {each for each in secret if each in reply.text and each not in path}
                about = {each for each in secret if each in path}
                if shown or (about and reply.status not in {403, 404}):
                    wrong.append(f"{role} {endpoint.method} {path}: {reply.status} {reply.text[:300]}")
                if about and reply.status == 403 and endpoint.permission not in denied_to(role):
                    wrong.append(f"exists for {role}: {endpoint.method} {path}: {reply.text[:300]}")
            assert await world.services.database.read(lambda tx: mentioning(tx, sorted(secret))) == before

    asyncio.run(story())
    assert wrong == []


def denied_to(role: str) -> set[str]:
    """Return the permissions that ``role`` has nowhere, so that it is refused before anything is looked up."""
    mine = {"rival": Role.MEMBER, "rival-owner": Role.OWNER, "neighbour": Role.OWNER, "other": Role.PLATFORM}[role]
    return {permission for permission, able in access.PERMISSIONS.items() if mine not in able}


def test_a_filter_or_a_body_reaches_nothing_of_a_rival(tmp_path: Path) -> None:
    """Naming a rival's project in a filter or a body is answered as if it did not exist, by id and by reference."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for reference in (world.ids["tenant"], "bakery/tenant"):
                order = {"offer": "platform", "size": "small", "image": "debian-12", "project": reference}
                refused = await world.call("rival", "POST", "/v1/orders", order)
                nowhere = await world.call("rival", "POST", "/v1/orders", {**order, "project": "no/where"})
                assert (refused.status, refused.code) == (nowhere.status, nowhere.code) == (422, "invalid-value")
                assert re.sub(r"'.*?'", "", refused.body["detail"]) == re.sub(r"'.*?'", "", nowhere.body["detail"])
                listed = await world.call("rival", "GET", f"/v1/orders?project={reference}")
                assert (listed.status, listed.code) == (404, "not-found")
                joined = await world.call(
                    "rival-owner",
                    "POST",
                    "/v1/memberships",
                    {"account": "guest", "role": "owner", "project": reference},
                )
                assert (joined.status, joined.body["field"]) == (422, "project")
                hooked = await world.call(
                    "rival", "POST", "/v1/webhooks", {"url": "https://x.example.net", "project": reference}
                )
                assert (hooked.status, hooked.body["field"]) == (422, "project")

    asyncio.run(story())


def test_a_rivals_people_are_not_to_be_found(tmp_path: Path) -> None:
    """An owner adds whoever works nowhere else, and learns of nobody who works for a rival, not even by guessing."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            body = {"account": "mara@bakery.example", "role": "viewer", "project": "foundry/rival"}
            known = await world.call("rival-owner", "POST", "/v1/memberships", body)
            guessed = await world.call("rival-owner", "POST", "/v1/memberships", {**body, "account": "nobody"})
            assert known.status == guessed.status == 422
            assert known.body["detail"].replace("mara@bakery.example", "nobody") == guessed.body["detail"]
            free = await world.call("rival-owner", "POST", "/v1/memberships", {**body, "account": "guest"})
            assert free.status == 201
            [mine] = (await world.call("rival-owner", "GET", "/v1/accounts")).body["items"]
            assert mine["name"] == "guest"

    asyncio.run(story())


def test_rows_of_impostors_are_what_they_should_be(tmp_path: Path) -> None:
    """The impostors' rows exist: their refusals are not those of unknown tokens alone."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await prepare(world)
            digests = {name: digest(world.tokens[name]) for name in ("revoked", "expired", "disabled")}
            found = await world.services.database.read(
                lambda tx: {name: rows.first(tx, Token, digest=each) for name, each in digests.items()}
            )
            assert found["revoked"] is not None
            assert found["revoked"].revoked_at_s is not None
            assert found["expired"] is not None
            assert found["expired"].expires_at_s is not None
            assert found["disabled"] is not None
            account = found["disabled"].account_id
            gone = await world.services.database.read(lambda tx: rows.by_id(tx, Account, account))
            assert (gone.enabled, gone.gateway_role) == (False, "admin")

    asyncio.run(story())
