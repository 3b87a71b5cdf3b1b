"""The description is valid OpenAPI 3.1 and tells of every route what the code does."""

import asyncio
from pathlib import Path

import openapi_spec_validator

from gateway.api.endpoints import Door
from gateway.api.openapi import document, errors_of
from gateway.api.problems import STATUS
from gateway.api.server import declared
from tests.support.api_world import STRANGER, api_world

DOCUMENT = document(declared())


def test_the_document_is_valid_openapi_3_1() -> None:
    """An independent validator accepts it."""
    openapi_spec_validator.validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")


def test_every_route_is_documented_with_security_parameters_and_errors() -> None:
    """Each endpoint stands there once, with its roles, its headers, its body and every status it can answer with."""
    for endpoint in declared():
        operation = DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]
        assert operation["summary"]
        assert bool(operation["security"]) == (endpoint.door is not Door.ANYONE), endpoint.name
        named = {(each["in"], each["name"]) for each in operation["parameters"]}
        assert {("path", name) for name in endpoint.parameters} <= named
        # Kept for a repeat is the answer of every POST but that to a log-in, which is a secret, and to a page's form.
        is_kept = endpoint.method == "POST" and endpoint.name not in {"log_in", "take_answer"}
        assert (("header", "Idempotency-Key") in named) == is_kept
        assert (("header", "If-Match") in named) == (endpoint.method in {"PUT", "PATCH", "DELETE"})
        assert (("query", "page_token") in named) == endpoint.many
        assert ("requestBody" in operation) == bool(endpoint.body.model_fields)
        wanted = {str(STATUS[getattr(error, "code", "")]) for error in errors_of(endpoint)}
        assert {str(endpoint.status), *wanted} <= set(operation["responses"]), endpoint.name


def test_secrets_are_write_only_in_the_description() -> None:
    """No answer's schema has a field of the name secret; in bodies it is marked as write-only."""
    for name, schema in DOCUMENT["components"]["schemas"].items():
        secret = schema.get("properties", {}).get("secret")
        assert secret is None or (secret["writeOnly"] and not name.endswith("Out")), name


def test_the_served_description_is_this_one(tmp_path: Path) -> None:
    """Anybody may read it at /v1/openapi.json."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            reply = await world.call(STRANGER, "GET", "/v1/openapi.json")
            assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
            assert reply.body == DOCUMENT

    asyncio.run(story())
