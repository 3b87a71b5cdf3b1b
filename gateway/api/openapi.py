"""The OpenAPI 3.1 document, derived from the declarations and the models; nothing in it is written by hand twice."""

import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from catalog.access import PERMISSIONS
from catalog.errors import Denied, NotFound, Stale
from gateway.api import problems
from gateway.api.bodies import PROJECT_PARAMETERS, PROJECT_REFERENCE, REFERENCE, Nothing
from gateway.api.endpoints import PAGE_DEFAULT, PAGE_LIMIT, Call, Door, Endpoint, Filter, Raw, Routes
from gateway.api.parse import WATCH_LIMIT_S
from gateway.errors import (
    BodyTooLarge,
    InternalError,
    InvalidRequest,
    KeyReused,
    MalformedRequest,
    PreconditionMissing,
    ReadTimedOut,
    StillRunning,
    Unauthenticated,
    UnsupportedMediaType,
)

PATH = "/v1/openapi.json"
_REF = "#/components/schemas/{model}"
Json = dict[str, Any]


def routes_over(others: Sequence[Endpoint]) -> Routes:
    """Return the endpoint that serves the description of ``others`` and of itself; written once, on first use."""
    routes = Routes("openapi")
    written: list[bytes] = []

    @routes.probe(PATH, door=Door.ANYONE, summary="This description")
    async def get_openapi(_call: Call[Nothing]) -> Raw:
        if not written:
            written.append(json.dumps(document((*others, *routes))).encode())
        return Raw(body=written[0])

    return routes


def document(endpoints: Sequence[Endpoint]) -> Json:
    """Return the OpenAPI document of ``endpoints``."""
    paths: Json = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Crossway",
            "version": "1",
            "description": "One gateway to all clouds. Errors are problems (RFC 9457); times are UTC.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for endpoint in endpoints)],
        "paths": paths,
        "components": {
            "schemas": _schemas(endpoints),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token, or the text of a log-in."},
                "enrolment": {"type": "http", "scheme": "bearer", "description": "A one-time enrolment token."},
            },
        },
    }


def errors_of(endpoint: Endpoint) -> tuple[type[Exception], ...]:
    """Return every error that an endpoint can answer with: those of its shape, then its own."""
    found: list[type[Exception]] = [MalformedRequest, InternalError]
    if endpoint.door is not Door.ANYONE:
        found.append(Unauthenticated)
    if endpoint.permission is not None:
        found.append(Denied)
    if endpoint.parameters:
        found.append(NotFound)
    if endpoint.writes:
        found += [BodyTooLarge, UnsupportedMediaType, ReadTimedOut, InvalidRequest]
    if endpoint.is_kept:
        found += [KeyReused, StillRunning]
    if endpoint.is_guarded:
        found += [PreconditionMissing, Stale]
    return tuple(dict.fromkeys((*found, *endpoint.errors)))


def _operation(endpoint: Endpoint) -> Json:
    operation: Json = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "security": _security(endpoint),
        "parameters": list(_parameters(endpoint)),
        "responses": _responses(endpoint),
    }
    if endpoint.permission is not None:
        operation["x-permission"] = endpoint.permission
        operation["x-roles"] = _roles(endpoint.permission)
    if endpoint.description:
        operation["description"] = endpoint.description
    if endpoint.body.model_fields:
        kind = "application/x-www-form-urlencoded" if endpoint.takes_form else "application/json"
        operation["requestBody"] = {"required": True, "content": {kind: {"schema": _ref(endpoint.body)}}}
    return operation


def _security(endpoint: Endpoint) -> list[Json]:
    if endpoint.door is Door.ENROLMENT:
        return [{"enrolment": []}]
    if endpoint.permission is None:
        return []
    # In 3.1 the list under a bearer scheme may name the roles that are needed.
    required: Json = {"token": _roles(endpoint.permission)}
    return [required, {}] if endpoint.door is Door.LOCAL else [required]


def _roles(permission: str) -> list[str]:
    return sorted(role.value for role in PERMISSIONS[permission])


def _parameters(endpoint: Endpoint) -> Iterator[Json]:
    for name in endpoint.parameters:
        pattern = PROJECT_REFERENCE if name in PROJECT_PARAMETERS else REFERENCE
        text = "Its id." if name == "id" else "Its name or id." if name == "ref" else f"The {name}."
        yield _parameter("path", name, {"type": "string", "pattern": pattern}, text, required=True)
    for name, wanted in endpoint.filters.items():
        if isinstance(wanted, Filter) and not wanted.choices:
            yield _parameter("query", name, {"type": "string", "pattern": wanted.pattern}, wanted.meaning)
        elif isinstance(wanted, Filter):
            yield _parameter("query", name, {"type": "string", "enum": list(wanted.choices)}, wanted.meaning)
        else:
            yield _parameter("query", name, {"type": "string", "pattern": REFERENCE}, wanted)
    if endpoint.many:
        page = {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT, "default": PAGE_DEFAULT}
        yield _parameter("query", "limit", page, "The most items on a page.")
        yield _parameter("query", "page_token", {"type": "string", "maxLength": 512}, "`next_page_token` as it came.")
    if endpoint.is_kept:
        key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        text = "A fresh random value per intention; a repeat with the same one has no second effect."
        yield _parameter("header", "Idempotency-Key", key, text, required=True)
    if endpoint.is_guarded:
        etag = {"type": "string", "examples": ['"3"', "*"]}
        yield _parameter("header", "If-Match", etag, "The ETag that the change is based on, or `*`.", required=True)
    if endpoint.is_feed:
        accepted = {"type": "string", "enum": [endpoint.media_type]}
        yield _parameter("header", "Accept", accepted, "Says that the caller can read it.", required=True)
        text = "The id of the last event that was read: the feed goes on after it."
        yield _parameter("header", "Last-Event-ID", {"type": "string", "pattern": "^[0-9]{1,18}$"}, text)
    if endpoint.is_watchable:
        yield _parameter("header", "If-None-Match", {"type": "string"}, "The ETag that the caller has seen.")
        text = f"`wait=N`: with If-None-Match, wait up to N seconds (at most {WATCH_LIMIT_S:g}) for a change."
        yield _parameter("header", "Prefer", {"type": "string", "examples": ["wait=30"]}, text)


def _parameter(place: str, name: str, schema: Json, text: str, *, required: bool = False) -> Json:
    return {"in": place, "name": name, "required": required, "schema": schema, "description": text}


def _responses(endpoint: Endpoint) -> Json:
    is_accepted = endpoint.status == HTTPStatus.ACCEPTED
    good: Json = {"description": "Accepted; it goes on in the background." if is_accepted else "Done."}
    headers: Json = {"X-Request-Id": _header("Stands beside every log line of this request.")}
    if endpoint.is_versioned:
        headers["ETag"] = _header("The version, for If-Match and If-None-Match.")
    if endpoint.location:
        headers["Location"] = _header("Where the new resource is.")
    if endpoint.is_kept:
        headers["Idempotency-Replayed"] = _header("`true`: the answer to the first request with this key.")
    good["headers"] = headers
    if endpoint.answer is not None:
        good["content"] = _content(_page(endpoint.answer, endpoint.beside) if endpoint.many else _ref(endpoint.answer))
    elif endpoint.is_stream:
        good["description"] = "The stream begins: binary messages are its bytes, the text `eof` is a half-close."
    elif not endpoint.in_transaction:
        schema: Json = {"type": "object"} if endpoint.media_type == "application/json" else {"type": "string"}
        good["content"] = {endpoint.media_type: {"schema": schema}}
    responses = {str(int(endpoint.status)): good}
    if endpoint.is_watchable:
        responses["304"] = {"description": "Nothing changed."}
    by_status: dict[str, list[str]] = {}
    for error in errors_of(endpoint):
        code: str = getattr(error, "code", "")
        by_status.setdefault(str(problems.STATUS[code]), []).append(code)
    for status, codes in sorted(by_status.items()):
        known = responses.setdefault(status, {"description": ""})
        known["description"] = " ".join(filter(None, [known["description"], "Codes: " + ", ".join(codes) + "."]))
        known.setdefault("content", {})[problems.MEDIA_TYPE] = {"schema": _ref(problems.Problem)}
    return responses


def _header(text: str) -> Json:
    return {"schema": {"type": "string"}, "description": text}


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _page(item: type[BaseModel], beside: type[BaseModel] | None) -> Json:
    page: Json = {
        "type": "object",
        "required": ["items", "next_page_token"],
        "properties": {
            "items": {"type": "array", "items": _ref(item)},
            "next_page_token": {"type": ["string", "null"], "description": "null on the last page"},
        },
    }
    return page if beside is None else {"allOf": [page, _ref(beside)]}


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas(endpoints: Sequence[Endpoint]) -> Json:
    mode_of: dict[type[BaseModel], JsonSchemaMode] = {problems.Problem: "serialization"}
    for endpoint in endpoints:
        if endpoint.answer is not None:
            mode_of.setdefault(endpoint.answer, "serialization")
        if endpoint.beside is not None:
            mode_of.setdefault(endpoint.beside, "serialization")
        if endpoint.body.model_fields:
            mode_of.setdefault(endpoint.body, "validation")
    _, definitions = models_json_schema(list(mode_of.items()), ref_template=_REF)
    schemas: Json = definitions["$defs"]
    return schemas
