"""An owner's answer in a browser: a link that is made by the owner alone, looked at freely, and used once."""

import asyncio
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from catalog import consent
from gateway.pages.render import page
from tests.support.api_world import ApiWorld, Reply, api_world

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": ""}
NOBODY = "nobody"  # no token at all


class Page(HTMLParser):
    """What of a page matters here: its form's fields, its words, and what would run or be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fields: list[tuple[str, str]] = []
        self.names: set[str] = set()
        self.active: list[str] = []
        self.words = ""
        self.select = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note fields, and whatever is not plain text."""
        told = dict(attrs)
        if tag in {"script", "iframe", "object", "link", "img"} or any(name.startswith("on") for name in told):
            self.active.append(tag)
        if tag in {"input", "select", "button"} and (name := told.get("name")):
            self.names.add(name)
            if tag == "input" and (told.get("type") != "checkbox" or "checked" in told):
                self.fields.append((name, told.get("value") or ""))

        if tag == "select":
            self.select = told.get("name") or ""
        if tag == "option" and "selected" in told:
            self.fields.append((self.select, told.get("value") or ""))

    def handle_data(self, data: str) -> None:
        """Gather the words."""
        self.words += f"{data} "


async def made(world: ApiWorld, role: str = "platform", **body: Any) -> Reply:
    """Make a link for the grant of machines."""
    return await world.call(role, "POST", f"/v1/grants/{world.ids['grant-machine']}/links", body)


async def opened(world: ApiWorld, path: str) -> Page:
    """Return the page, as somebody without any token sees it."""
    reply = await world.call(NOBODY, "GET", path)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    return Page(reply.text)


async def sent(world: ApiWorld, path: str, fields: list[tuple[str, str]]) -> Reply:
    """Send the form as a browser does: every field, the empty ones too."""
    return await world.call(NOBODY, "POST", path, raw=urlencode(fields).encode(), headers=FORM)


async def grant(world: ApiWorld) -> dict[str, Any]:
    """Return the grant as it is now."""
    return dict((await world.call("platform", "GET", f"/v1/grants/{world.ids['grant-machine']}")).body)


def test_to_adopt_machines_has_to_be_ticked(tmp_path: Path) -> None:
    """Of what is asked for anew, that alone is not ticked already: the page sent as it stands does not grant it."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/grants/{world.ids['grant-machine']}"
            assert (await world.call("platform", "POST", f"{path}/answer", {"decision": "deny"})).status == 200
            assert (await world.call("admin", "POST", f"{path}/ask")).status == 202
            link = (await made(world)).body["path"]
            shown = await opened(world, link)
            assert "adopt" in shown.words
            assert (await sent(world, link, [*shown.fields, ("decision", "grant")])).status == 200
            verbs = (await grant(world))["verbs"]
            assert "stop" in verbs
            assert "adopt" not in verbs

    asyncio.run(story())


def test_the_owner_narrows_a_grant_on_a_page(tmp_path: Path) -> None:
    """Opened twice without effect, then sent as it stands with some limits: those are the terms, told in the audit."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path, before = (await made(world)).body["path"], await grant(world)
            shown = await opened(world, path)
            assert (await opened(world, path)).fields == shown.fields
            assert await grant(world) == before
            assert {"machine", "accepted"} <= set(shown.words.split())
            limits = {"quota": "7", "expires_after_days": "2", "regions": "eu-*, us-east-1", "on_end": "drain"}
            fields = [(name, limits.get(name, value)) for name, value in shown.fields]
            woken = len(world.woken)
            reply = await sent(world, path, [*fields, ("decision", "grant")])
            assert (reply.status, "Granted: machine" in reply.text) == (200, True)
            now = await grant(world)
            assert (now["verbs"], now["quota"], now["on_end"]) == (before["verbs"], 7, "drain")
            assert now["scope"] == {"regions": ["eu-*", "us-east-1"]}
            assert now["expires_at"] == "2027-01-17T08:00:00Z"
            assert {"enforcement", "passages", "dispatch"} <= set(world.woken[woken:])
            records = (await world.call("admin", "GET", "/v1/audit?limit=200")).body["items"]
            (deed,) = [each for each in records if each["action"] == "take_answer"]
            assert (deed["subject"], deed["data"]["decision"]) == (world.ids["grant-machine"], "grant")
            assert path.rsplit("/", 1)[1] not in str(records)

    asyncio.run(story())


def test_the_page_sent_as_it_stands_changes_no_term(tmp_path: Path) -> None:
    """It comes filled in with what holds, whom it is for included; what it has no field for stays as well."""
    terms = {
        "quota": 5,
        "cores": 16,
        "calls_per_minute": 60,
        "scope": {"projects": ["bakery/*"], "sizes": ["small", "t3.*"], "networks": ["lan-1"]},
        "on_end": "drain",
        "wind_down_s": 3600.0,
        "expires_after_s": 86_400.0 * 30 + 17,
        "destinations": [],
    }

    async def story() -> None:
        async with api_world(tmp_path) as world:
            answer = f"/v1/grants/{world.ids['grant-machine']}/answer"
            told = await world.call("platform", "POST", answer, {"decision": "grant", "verbs": ["list"], **terms})
            assert told.status == 200, told.text
            before, path = await grant(world), (await made(world)).body["path"]
            shown = await opened(world, path)
            world.clock.advance(3600.0)
            assert (await sent(world, path, [*shown.fields, ("decision", "grant")])).status == 200
            after = await grant(world)
            apart = {"version", "updated_at"}
            assert {k: v for k, v in after.items() if k not in apart} == {
                k: v for k, v in before.items() if k not in apart
            }

    asyncio.run(story())


def test_a_link_has_no_more_than_its_maker_has_now(tmp_path: Path) -> None:
    """Once the token that made it is revoked, the link is as one that was never made."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path, before = (await made(world)).body["path"], await grant(world)
            tokens = (await world.call("admin", "GET", "/v1/tokens?limit=200")).body["items"]
            for each in tokens:
                if each["role"] == "platform":
                    await world.call("admin", "DELETE", f"/v1/tokens/{each['id']}")
            assert (await world.call(NOBODY, "GET", path)).status == 404
            assert (await sent(world, path, [("decision", "deny")])).status == 404
            after = await world.call("admin", "GET", f"/v1/grants/{world.ids['grant-machine']}")
            assert after.body == before

    asyncio.run(story())


def test_only_some_verbs_and_no(tmp_path: Path) -> None:
    """What is not ticked is not granted; deny ends what stands."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = (await made(world)).body["path"]
            await sent(world, path, [("verbs", "list"), ("verbs", "create"), ("decision", "grant")])
            assert (await grant(world))["verbs"] == ["create", "list"]
            path = (await made(world)).body["path"]
            await sent(world, path, [("verbs", "list"), ("decision", "grant")])
            assert (await grant(world))["verbs"] == ["list"]
            path = (await made(world)).body["path"]
            assert "Denied: machine" in (await sent(world, path, [("decision", "deny")])).text
            assert (await grant(world))["state"] == "revoked"
            assert (await made(world)).status == 409

    asyncio.run(story())


async def use(world: ApiWorld, path: str) -> None:
    """Grant by the link what stands already, so that nothing but the link's use is new."""
    shown = await opened(world, path)
    assert (await sent(world, path, [*shown.fields, ("decision", "grant")])).status == 200


async def replace(world: ApiWorld, _path: str) -> None:
    """Make another one."""
    assert (await made(world)).status == 201


async def outlast(world: ApiWorld, _path: str) -> None:
    """Let its time be over."""
    world.clock.advance(3 * 86_400.0)


async def overtake(world: ApiWorld, _path: str) -> None:
    """Let the grant be held back."""
    await world.write(lambda tx: consent.suspend(tx, world.ids["grant-machine"], consent.Side.GATEWAY, 1.0))


@pytest.mark.parametrize("end", [use, replace, outlast, overtake])
def test_a_link_holds_once_and_while_the_grant_is_as_it_was(tmp_path: Path, end: Any) -> None:
    """After it: the very 404 of a link that was never made, for looking and for answering, and no effect."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = (await made(world)).body["path"]
            await opened(world, path)
            await end(world, path)
            before, seen = await grant(world), set()
            for each in (path, "/v1/answers/cw_link_nobody"):
                looked = await world.call(NOBODY, "GET", each)
                reply = await sent(world, each, [("decision", "deny")])
                assert (looked.status, reply.status) == (404, 404)
                seen |= {looked.text, reply.text}
            assert len(seen) == 1
            assert await grant(world) == before

    asyncio.run(story())


@pytest.mark.parametrize(("role", "status"), [("admin", 403), ("tenant", 403), ("other", 404), (NOBODY, 401)])
def test_nobody_else_makes_a_link(tmp_path: Path, role: str, status: int) -> None:
    """Not the gateway's admin, who would answer in the owner's name."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            assert (await made(world, role)).status == status

    asyncio.run(story())


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([("decision", "grant"), ("quota", "many")], id="no number"),
        pytest.param([("decision", "grant"), ("quota", "0")], id="too small"),
        pytest.param([("decision", "perhaps")], id="no decision"),
        pytest.param([("decision", "grant"), ("quota", "3")], id="nothing ticked"),
        pytest.param([("decision", "grant"), ("decision", "deny")], id="both"),
        pytest.param([("decision", "grant"), ("more", "1")], id="unknown field"),
        pytest.param([("decision", "grant"), ("verbs", "fly")], id="a verb that nobody asked for"),
        pytest.param([("verbs", "list")], id="none"),
    ],
)
def test_what_cannot_be_said_changes_nothing(tmp_path: Path, fields: list[tuple[str, str]]) -> None:
    """422, and the link is as good as before."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path, before = (await made(world)).body["path"], await grant(world)
            reply = await sent(world, path, fields)
            assert (reply.status, reply.headers["Content-Type"]) == (422, "text/html; charset=utf-8"), reply.text
            assert await grant(world) == before
            assert (await sent(world, path, [("decision", "deny")])).status == 200

    asyncio.run(story())


def test_the_page_runs_nothing_and_is_framed_by_nobody(tmp_path: Path) -> None:
    """No script and nothing from elsewhere, said by the page and by its headers; what is shown is escaped."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = (await made(world)).body["path"]
            reply = await world.call(NOBODY, "GET", path)
            assert Page(reply.text).active == []
            policy = reply.headers["Content-Security-Policy"]
            assert {"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"} <= set(policy.split("; "))
            assert "script-src" not in policy
            assert (reply.headers["Referrer-Policy"], reply.headers["Cache-Control"]) == ("no-referrer", "no-store")
            evil = "<script>x</script>"
            assert Page(page("message", title=evil, text=evil, fix=evil).decode()).active == []

    asyncio.run(story())


def test_a_form_is_read_as_a_form_and_as_nothing_else(tmp_path: Path) -> None:
    """JSON is refused by name, and so is what no form can be."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = (await made(world)).body["path"]
            reply = await world.call(NOBODY, "POST", path, {"decision": "deny"})
            assert (reply.status, reply.body["fix"]) == (415, f"Content-Type: {FORM['Content-Type']}")
            for raw in (b"decision", b"decision=%ff", b"\xff=1", b"&".join([b"verbs=list"] * 300)):
                assert (await world.call(NOBODY, "POST", path, raw=raw, headers=FORM)).status == 400

    asyncio.run(story())
