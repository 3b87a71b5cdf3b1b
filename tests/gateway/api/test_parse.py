"""What the edge refuses: each wrong request gets an answer that names the field and what would be right."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from catalog.model.tenancy import Organisation
from catalog.store import rows
from gateway.api import parse
from gateway.api.endpoints import Endpoint
from gateway.api.server import declared
from gateway.errors import MalformedRequest
from tests.support.api_world import CANARY, api_world, host_key

SITE = {"name": "iad"}
RELAY = {"name": "r", "site": "fra", "host": "10.0.0.9", "user": "relay", "host_key": host_key()}


@pytest.mark.parametrize(
    ("path", "body", "field", "fix"),
    [
        pytest.param("/v1/sites", {**SITE, "regoin": "x"}, "regoin", "did you mean region?", id="misspelt field"),
        pytest.param("/v1/sites", {}, "name", "give name", id="missing field"),
        pytest.param("/v1/sites", {**SITE, "latitude": "39"}, "latitude", "number", id="number as text"),
        pytest.param("/v1/sites", {**SITE, "latitude": 91}, "latitude", "90", id="out of range"),
        pytest.param("/v1/sites", {**SITE, "latitude": True}, "latitude", "number", id="boolean as number"),
        pytest.param("/v1/sites", {"name": 7}, "name", "string", id="text as number"),
        pytest.param("/v1/sites", {"name": "x" * 64}, "name", "63", id="too long"),
        pytest.param("/v1/sites", {"name": "a\nb"}, "name", "a text like", id="line break in a name"),
        pytest.param("/v1/sites", {**SITE, "region": "\u202egnp"}, "region", "a text like", id="direction override"),
        pytest.param("/v1/relays", {**RELAY, "port": 0}, "port", "1", id="port 0"),
        pytest.param("/v1/relays", {**RELAY, "port": 22.5}, "port", "integer", id="port with a fraction"),
        pytest.param("/v1/relays", {**RELAY, "enabled": 1}, "enabled", "boolean", id="number as boolean"),
        pytest.param("/v1/relays", {**RELAY, "host_key": "x"}, "host_key", "ssh-ed25519", id="no host key"),
        pytest.param(
            "/v1/relays", {**RELAY, "addresses_from": {"fra": "x"}}, "addresses_from.fra", "a text like", id="in a map"
        ),
        pytest.param(
            "/v1/enrolments",
            {"platform_name": "p", "endpoints": [{"purpose": "moon", "url": "https://a.b", "dial": "a.b:1"}]},
            "endpoints[0].purpose",
            "'api', 'connector', 'compute', 'image'",
            id="in a list",
        ),
        pytest.param(
            "/v1/tokens",
            {"role": "root", "name": "n"},
            "role",
            "'admin', 'operator', 'auditor', 'owner', 'member', 'viewer' or 'platform'",
            id="wrong word",
        ),
        pytest.param("/v1/tokens", {"role": "member", "name": "n"}, "project", "name or id", id="project missing"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(
    tmp_path: Path, path: str, body: dict[str, Any], field: str, fix: str
) -> None:
    """422 with the field, a fix, and nothing of what was sent; the request changes nothing."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            reply = await world.call("admin", "POST", path, body)
            assert reply.status == 422, reply.text
            assert reply.body["field"] == field
            assert fix in reply.body["fix"]

    asyncio.run(story())


def test_every_wrong_value_is_listed_at_once(tmp_path: Path) -> None:
    """Two mistakes are two entries of ``errors``, so that nobody has to try twice."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            reply = await world.call("admin", "POST", "/v1/sites", {"name": "A", "latitude": 200})
            assert reply.code == "invalid-request"
            assert [fault["field"] for fault in reply.body["errors"]] == ["name", "latitude"]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(b"{", "does not parse", id="broken"),
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"[]", "not an object", id="array"),
        pytest.param(b'{"name": "a", "latitude": NaN}', "NaN", id="NaN"),
        pytest.param(b'{"name": "a", "latitude": -Infinity}', "-Infinity", id="infinity"),
        pytest.param(b'{"name": "a", "name": "b"}', "twice", id="repeated name"),
        pytest.param(b'{"name": "\xff"}', "does not parse", id="not UTF-8"),
        pytest.param(b'{"name": "\\ud800"}', "does not parse", id="half a surrogate pair"),
        pytest.param(b'{"x":' * 40_000 + b"1" + b"}" * 40_000, "does not parse", id="nested without end"),
        pytest.param(b'{"latitude": ' + b"1" * 5_000 + b"}", "does not parse", id="number without end"),
    ],
)
def test_what_is_not_plain_json_is_refused(tmp_path: Path, raw: bytes, words: str) -> None:
    """400 for what JSON readers disagree about, and for what would only exhaust them."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            reply = await world.call("admin", "POST", "/v1/sites", raw=raw)
            assert (reply.status, reply.code, reply.body["field"]) == (400, "malformed-request", "body")
            assert words in reply.body["detail"]

    asyncio.run(story())


def test_a_number_too_large_for_a_float_is_refused(tmp_path: Path) -> None:
    """1e999 is infinity to most readers; it is refused like any number out of range."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            reply = await world.call("admin", "POST", "/v1/sites", raw=b'{"name": "a", "latitude": 1e999}')
            assert (reply.status, reply.body["field"]) == (422, "latitude")

    asyncio.run(story())


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Content-Type": "text/plain"}, id="text"),
        pytest.param({"Content-Type": "application/json; charset=latin-1"}, id="other charset"),
        pytest.param({"Content-Type": "application/x-www-form-urlencoded"}, id="form"),
        pytest.param({"Content-Encoding": "gzip"}, id="compressed"),
    ],
)
def test_only_plain_json_is_read(tmp_path: Path, headers: dict[str, str]) -> None:
    """Any other content type or encoding is refused with 415; compressed bodies are never unpacked."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            raw = json.dumps(SITE).encode()
            raw = gzip.compress(raw) if "Content-Encoding" in headers else raw
            reply = await world.call("admin", "POST", "/v1/sites", raw=raw, headers=headers)
            assert (reply.status, reply.code) == (415, "unsupported-media-type")

    asyncio.run(story())


def test_an_oversized_body_is_refused_and_nothing_is_kept_of_it(tmp_path: Path) -> None:
    """One byte over the cap is 413, whether its length is announced or not; the cap itself is read."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            limit = world.services.limits.body_bytes
            body = json.dumps({"name": "big"}).encode()
            fits = await world.call("admin", "POST", "/v1/organisations", raw=body.ljust(limit))
            assert fits.status == 201
            too_long = body.ljust(limit + 1)
            assert (await world.call("admin", "POST", "/v1/organisations", raw=too_long)).status == 413

            async def in_chunks() -> Any:
                for start in range(0, len(too_long), 65_536):
                    yield too_long[start : start + 65_536]

            headers = {"Authorization": f"Bearer {world.tokens['admin']}", "Idempotency-Key": "k"}
            headers["Content-Type"] = "application/json"
            url = f"{world.url}/v1/organisations"
            async with world.http.post(url, data=in_chunks(), headers=headers) as response:
                assert response.status == 413
            assert len(await world.services.database.read(lambda tx: rows.where(tx, Organisation))) == 3

    asyncio.run(story())


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"),
        ("page_token=%00", "page_token"),
        ("colour=red", "colour"),
        ("state=%27%20OR%201=1", "state"),
    ],
)
def test_a_wrong_query_is_named(tmp_path: Path, query: str, field: str) -> None:
    """Unknown, repeated or odd query parameters are refused with 400 and named."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            reply = await world.call("admin", "GET", f"/v1/orders?{query}")
            assert (reply.status, reply.body["field"]) == (400, field)

    asyncio.run(story())


@pytest.mark.parametrize("name", ["code", "state", "iss", "error", "scope", "prompt", "platform"])
def test_a_reference_is_one_whatever_the_parameter_is_called(name: str) -> None:
    """What a filter takes follows from its declaration: no name makes it take more."""
    endpoint = Endpoint(
        method="GET", path="/x", summary="x", tag="x", handler=list, permission="self:read", filters={name: "Of this."}
    )
    assert parse.query(make_mocked_request("GET", f"/x?{name}=fra-1"), endpoint)[0] == {name: "fra-1"}
    with pytest.raises(MalformedRequest) as refused:
        parse.query(make_mocked_request("GET", f"/x?{name}=two%20words"), endpoint)
    assert refused.value.field == name


def test_only_where_others_add_parameters_are_unknown_ones_ignored() -> None:
    """A misspelt filter is never taken for none: the way back from an identity provider is the one exception."""
    assert [endpoint.name for endpoint in declared() if endpoint.ignores_unknown] == ["end_oidc"]


def test_a_page_token_of_another_list_is_refused(tmp_path: Path) -> None:
    """A token that this list did not give names page_token."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            token = (await world.call("admin", "GET", "/v1/sites?limit=1")).body["next_page_token"]
            for odd in (token, "xyz"):
                reply = await world.call("admin", "GET", f"/v1/orders?page_token={odd}")
                assert (reply.status, reply.body["field"]) == (422, "page_token")

    asyncio.run(story())


def test_no_answer_repeats_what_was_sent_in_a_secret(tmp_path: Path) -> None:
    """A secret in the wrong place, of the wrong type, too long or with a NUL is refused without a word of it."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = "/v1/platforms/platform/secret"
            for secret in ([CANARY], {"deep": CANARY}, CANARY * 2_000, f"{CANARY}\0"):
                reply = await world.call("platform", "PUT", path, {"secret": secret})
                assert (reply.status, reply.body["field"]) == (422, "secret")
                assert CANARY not in reply.text

    asyncio.run(story())


def test_every_text_and_number_of_every_body_has_bounds() -> None:
    """No body holds a text without a greatest length, a list or map without a greatest size, or a boundless number."""
    boundless = []
    for endpoint in declared():
        schema = endpoint.body.model_json_schema()
        for name, part in _leaves(schema, schema, endpoint.body.__name__):
            kind = part.get("type")
            bound = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}.get(kind)
            has_bounds = bound in part if bound else {"maximum", "exclusiveMaximum"} & set(part)
            if kind not in {"boolean", "null"} and not ({"const", "enum"} & set(part)) and not has_bounds:
                boundless.append(f"{name}: {part}")
    assert boundless == []


def _leaves(part: dict[str, Any], root: dict[str, Any], name: str) -> Any:
    if "$ref" in part:
        part = root["$defs"][part["$ref"].rsplit("/", 1)[-1]]
    for choice in part.get("anyOf", ()):
        yield from _leaves(choice, root, name)
    for field, inner in part.get("properties", {}).items():
        yield from _leaves(inner, root, f"{name}.{field}")
    if part.get("type") == "array":
        yield from _leaves(part["items"], root, f"{name}[]")
    if "anyOf" not in part and "properties" not in part and part.get("additionalProperties") is not False:
        yield name, part
