"""Log-in by password and sessions over the API: who is let in, for how long, and how it ends."""

import asyncio
from pathlib import Path

from catalog.model.access import Login
from catalog.store import rows
from catalog.token_text import digest
from gateway.api.cookies import NAME
from gateway.background.uses import use_work
from tests.support.api_world import PASSWORD, ApiWorld, Reply, api_world

MARA = "mara@bakery.example"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
BODY = {"name": MARA, "password": PASSWORD}


async def log_in(world: ApiWorld, name: str = "session", **fields: object) -> Reply:
    """Log in as mara, and keep the session's text under ``name``."""
    reply = await world.call("nobody", "POST", "/v1/sessions", {**BODY, **fields})
    if reply.status == 201 and reply.body["token"]:
        world.tokens[name] = reply.body["token"]
    return reply


def test_whoever_logs_in_is_who_the_account_is(tmp_path: Path) -> None:
    """The session's text is a bearer token of the account, kept as its digest alone; the audit log has the log-in."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            reply = await log_in(world)
            assert (reply.status, reply.body["account"]) == (201, world.ids["mara"])
            who = (await world.call("session", "GET", "/v1/whoami")).body
            assert (who["account"], who["projects"][world.ids["tenant"]]) == (world.ids["mara"], "member")
            login = await world.services.database.read(lambda tx: rows.by_id(tx, Login, reply.body["id"]))
            assert login.digest == digest(world.tokens["session"])
            kept = (tmp_path / "api.db").read_bytes() + (tmp_path / "api.db-wal").read_bytes()
            assert world.tokens["session"].encode() not in kept
            assert PASSWORD.encode() not in kept
            [record] = (await world.call("admin", "GET", "/v1/audit?action=log_in")).body["items"]
            assert (record["actor"], record["result"]) == (f"account:{world.ids['mara']}", "done")

    asyncio.run(story())


def test_nothing_tells_who_exists(tmp_path: Path) -> None:
    """A wrong password, an unknown user, one without a password and a disabled one get the same answer."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await log_in(world)
            answers = [
                await world.call("nobody", "POST", "/v1/sessions", body)
                for body in ({**BODY, "password": "wrong"}, {**BODY, "name": "nobody"}, {**BODY, "name": "guest"})
            ]
            await world.call("admin", "PATCH", f"/v1/accounts/{world.ids['mara']}", {"enabled": False})
            answers.append(await world.call("nobody", "POST", "/v1/sessions", BODY))
            seen = {(each.status, each.body["code"], each.body["detail"], each.body.get("fix")) for each in answers}
            assert len(seen) == 1
            assert answers[0].status == 401
            # Each did the same work, a durable record included; the name that nobody has, or may use, is not kept.
            failed = [
                each
                for each in (await world.call("admin", "GET", "/v1/audit?action=log_in")).body["items"]
                if each["result"] == "refused"
            ]
            assert len(failed) == len(answers)
            assert sum(each["actor"] == "nobody" and each["actor_name"] == "" for each in failed) == 2

    asyncio.run(story())


def test_guessing_is_slowed_down_and_nobody_is_locked_out(tmp_path: Path) -> None:
    """After ten wrong tries the right one is refused too, with the time to wait; after it, she is let in."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for _ in range(10):
                assert (await world.call("x", "POST", "/v1/sessions", {**BODY, "password": "no"})).status == 401
            refused = await world.call("x", "POST", "/v1/sessions", BODY)
            assert (refused.status, refused.code) == (429, "too-many-logins")
            assert 1 <= int(refused.headers["Retry-After"]) <= 30
            world.clock.advance(31)
            assert (await world.call("x", "POST", "/v1/sessions", BODY)).status == 201

    asyncio.run(story())


def test_a_session_ends_alone_left_alone_or_at_its_end(tmp_path: Path) -> None:
    """Used again and again it lasts a week and no longer; left alone for half a day it is over."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await log_in(world, "busy")
            await log_in(world, "left")
            for _ in range(13):
                world.clock.advance(11 * 3600)
                assert (await world.call("busy", "GET", "/v1/whoami")).status == 200
                await use_work(world.services.database, world.services.last_used).run_once()  # a minute later
            assert (await world.call("left", "GET", "/v1/whoami")).status == 401
            for _ in range(3):
                world.clock.advance(9 * 3600)
                last = await world.call("busy", "GET", "/v1/whoami")
            assert last.status == 401

    asyncio.run(story())


def test_sessions_are_listed_and_ended_at_once(tmp_path: Path) -> None:
    """Mine to me, all to an admin; ending one ends it now, and nobody ends a stranger's."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            first = (await log_in(world, "first")).body
            second = (await log_in(world, "second")).body
            mine = (await world.call("first", "GET", "/v1/sessions")).body["items"]
            seeded = world.ids["session"]
            current = {each["id"]: each["is_current"] for each in mine}
            assert current == {first["id"]: True, second["id"]: False, seeded: False}
            assert {each["id"] for each in (await world.call("admin", "GET", "/v1/sessions")).body["items"]} == {
                first["id"],
                second["id"],
                seeded,
            }
            for stranger in ("rival-owner", "owner", "guest"):
                assert (await world.call(stranger, "GET", "/v1/sessions")).body["items"] == []
                other = await world.call(stranger, "GET", f"/v1/sessions?account={world.ids['mara']}")
                assert other.body["items"] == []
                assert (await world.call(stranger, "DELETE", f"/v1/sessions/{first['id']}")).status == 404
            assert (await world.call("first", "DELETE", f"/v1/sessions/{second['id']}")).status == 204
            assert (await world.call("second", "GET", "/v1/whoami")).status == 401
            assert (await world.call("first", "DELETE", "/v1/sessions/current")).status == 204
            assert (await world.call("first", "GET", "/v1/whoami")).status == 401

    asyncio.run(story())


def test_a_new_password_ends_the_other_sessions(tmp_path: Path) -> None:
    """One proves the own password by the present one; then the session goes on in which that was done, no other."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await log_in(world, "here")
            await log_in(world, "there")
            fresh = {"password": "another password of hers"}
            path = "/v1/accounts/me/password"
            for wrong in (fresh, {**fresh, "present": "wrong"}):
                assert (await world.call("here", "PUT", path, wrong)).status == 403
            weak = {"password": "short", "present": PASSWORD}
            assert (await world.call("here", "PUT", path, weak)).status == 422
            assert (await world.call("here", "PUT", path, {**fresh, "present": PASSWORD})).status == 204
            assert (await world.call("here", "GET", "/v1/whoami")).status == 200
            assert (await world.call("there", "GET", "/v1/whoami")).status == 401
            assert (await world.call("x", "POST", "/v1/sessions", BODY)).status == 401
            assert (await world.call("x", "POST", "/v1/sessions", {**BODY, **fresh})).status == 201
            for role in ("owner", "operator", "rival"):
                refused = await world.call(role, "PUT", f"/v1/accounts/{world.ids['mara']}/password", fresh)
                assert refused.status in {403, 404}

    asyncio.run(story())


def test_a_browsers_cookie_changes_nothing_for_other_sites(tmp_path: Path) -> None:
    """It is for this host, TLS, and no script; it reads, and changes only from our own pages, whatever is forged."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            reply = await log_in(world, cookie=True)
            assert reply.body["token"] is None
            kept = reply.headers["Set-Cookie"]
            text = kept.split(";")[0].removeprefix(f"{NAME}=")
            assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= {part.strip() for part in kept.split(";")}
            assert "Domain" not in kept
            cookie = {"Cookie": f"{NAME}={text}"}
            assert (await world.call("x", "GET", "/v1/whoami", headers=cookie)).body["account"] == world.ids["mara"]
            host = world.url.removeprefix("http://")
            order = {"offer": "platform", "size": "small", "image": "debian-12"}
            for forged in (
                {},
                {"Sec-Fetch-Site": "cross-site"},
                {"Sec-Fetch-Site": "same-site"},
                {"Sec-Fetch-Site": "none"},
                {"Origin": "https://evil.example"},
                {"Origin": "null"},
                {"Origin": "https://evil.example", **OWN_PAGE},
            ):
                refused = await world.call("x", "POST", "/v1/orders", order, headers={**cookie, **forged})
                assert (refused.status, refused.code) == (403, "forbidden"), forged
            for own in (OWN_PAGE, {"Origin": f"http://{host}"}):
                placed = await world.call("x", "POST", "/v1/orders", order, headers={**cookie, **own})
                assert placed.status == 202, placed.text
            for other in (world.tokens["admin"], "cw_login_" + "x" * 43, "", "rubbish"):
                stolen = await world.call("x", "GET", "/v1/whoami", headers={"Cookie": f"{NAME}={other}"})
                assert stolen.status == 401

    asyncio.run(story())


def test_no_limited_token_makes_a_first_password(tmp_path: Path) -> None:
    """An account without a password gets one from an admin, or by its own unlimited proof, and by no less."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            chief = {"kind": "user", "name": "chief", "gateway_role": "admin"}
            account = (await world.call("admin", "POST", "/v1/accounts", chief)).body["id"]
            for name, scopes in (
                ("limited", ["self:write", "self:read", "account:write", "token:write"]),
                ("whole", None),
            ):
                body = {"name": name, "account": "chief"} | ({"scopes": scopes} if scopes else {})
                world.tokens[name] = (await world.call("admin", "POST", "/v1/tokens", body)).body["token"]
            path, body = f"/v1/accounts/{account}/password", {"password": "a password of the chief's"}
            assert (await world.call("limited", "PUT", path, body)).status == 403
            assert (await world.call("whole", "PUT", path, body)).status == 204

    asyncio.run(story())
