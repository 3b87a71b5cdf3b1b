"""Read a request: body, query and headers, each against its grammar and its limit. Nothing here knows a resource."""

import asyncio
import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NoReturn, get_args
from urllib.parse import parse_qsl

from aiohttp import ClientPayloadError, web
from aiohttp.web_protocol import RequestPayloadError
from pydantic import BaseModel, ValidationError

from gateway.api.bodies import PROJECT_PARAMETERS, PROJECT_REFERENCE, REFERENCE
from gateway.api.endpoints import PAGE_DEFAULT, PAGE_LIMIT, Endpoint, Filter
from gateway.api.services import ApiLimits
from gateway.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedRequest,
    NoSuchPath,
    PreconditionMissing,
    ReadTimedOut,
    UnsupportedMediaType,
)

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_FORM_FIELDS = 256
WATCH_LIMIT_S = 60.0
_RAW = web.RequestKey("raw-body", bytes)
_KEY = re.compile(r"[!-~]{1,255}")
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)
_TOKEN = re.compile(r"[!-~]{1,512}")
_FILTER = re.compile(REFERENCE)
_PROJECT = re.compile(PROJECT_REFERENCE)


async def read_body(request: web.Request, endpoint: Endpoint, limits: ApiLimits) -> BaseModel:
    """Return the validated body.

    Raises BodyTooLarge, UnsupportedMediaType, ReadTimedOut, MalformedRequest or InvalidRequest.
    """
    if endpoint.body_bytes is not None:
        limits = replace(limits, body_bytes=endpoint.body_bytes)
    raw = await read_raw(request, limits, _FORM if endpoint.takes_form else _JSON)
    if endpoint.takes_form:
        return _form(raw, endpoint.body)
    if not raw.strip():
        if endpoint.body.model_fields:
            raise MalformedRequest("the body is empty", field="body", fix="send a JSON object")
        raw = b"{}"
    _check_json(raw)
    try:
        return endpoint.body.model_validate_json(raw)
    except ValidationError as error:
        raise _invalid(error, endpoint.body) from None  # the cause holds what was sent


async def read_raw(request: web.Request, limits: ApiLimits, wanted: str = _JSON) -> bytes:
    """Return the body as it came; whoever asks second gets the same. Raises as ``read_body`` does."""
    if _RAW not in request:
        if request.can_read_body:
            _check_type(request, wanted)
        request[_RAW] = await _read(request, limits) if request.can_read_body else b""
    return request[_RAW]


def _check_type(request: web.Request, wanted: str) -> None:
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedMediaType("compressed bodies are not read", field="Content-Encoding", fix="send it plain")
    charset = (request.charset or "utf-8").lower()
    if request.content_type != wanted or charset not in {"utf-8", "utf8"}:
        words = "JSON" if wanted == _JSON else "a form"
        raise UnsupportedMediaType(
            f"only {words} in UTF-8 is read", field="Content-Type", fix=f"Content-Type: {wanted}"
        )


async def _read(request: web.Request, limits: ApiLimits) -> bytes:
    if (request.content_length or 0) > limits.body_bytes:
        _refuse_length(limits)
    raw = bytearray()
    try:
        async with asyncio.timeout(limits.body_s):
            async for chunk in request.content.iter_any():
                raw += chunk
                if len(raw) > limits.body_bytes:
                    _refuse_length(limits)
    except TimeoutError:
        raise ReadTimedOut(f"the body did not arrive within {limits.body_s:g} s", field="body") from None
    except (RequestPayloadError, ClientPayloadError) as error:
        raise MalformedRequest("the body is broken off or wrongly framed", field="body") from error
    return bytes(raw)


def _refuse_length(limits: ApiLimits) -> NoReturn:
    raise BodyTooLarge(f"a body has at most {limits.body_bytes} bytes", field="body", fix="send less")


def _form(raw: bytes, body: type[BaseModel]) -> BaseModel:
    """Return what a form says: empty fields are not said, a name that stands several times is a list."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), strict_parsing=bool(raw), errors="strict", max_num_fields=_FORM_FIELDS)
    except ValueError:  # UnicodeDecodeError is one
        raise MalformedRequest("the body is not a form", field="body", fix="send what the page's form sends") from None
    said: dict[str, list[str]] = {}
    for name, value in pairs:
        said.setdefault(name, []).append(value)
    told = {name: values if len(values) > 1 else values[0] for name, values in said.items()}
    try:
        return body.model_validate(told, strict=False)  # a form has nothing but texts
    except ValidationError as error:
        raise _invalid(error, body) from None


def _check_json(raw: bytes) -> None:
    """Refuse what readers of JSON disagree about: NaN, repeated names, other encodings, endless nesting."""
    try:
        found = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _NotJson) else "it does not parse"
        raise MalformedRequest(f"the body is not JSON: {reason}", field="body", fix="send a JSON object") from None
    if not isinstance(found, dict):
        raise MalformedRequest("the body is JSON, but not an object", field="body", fix="send a JSON object")


class _NotJson(ValueError):
    """Something that json.loads lets through and the standard does not."""


def _no_constant(name: str) -> NoReturn:
    raise _NotJson(f"{name} is not a JSON number")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotJson("a name stands twice in one object")
    return found


def _invalid(error: ValidationError, body: type[BaseModel]) -> InvalidRequest | MalformedRequest:
    details = error.errors(include_url=False, include_input=False, include_context=True)
    if any(detail["type"] == "json_invalid" for detail in details):
        return MalformedRequest("the body is not JSON: it does not parse", field="body", fix="send a JSON object")
    faults = tuple(_fault(detail, body) for detail in details[:20])
    words = "1 value" if len(faults) == 1 else f"{len(faults)} values"
    return InvalidRequest(f"{words} of the body cannot be: {faults[0]['field']}", faults=faults)


def _fault(detail: Any, body: type[BaseModel]) -> dict[str, str]:
    place = _place(detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            name = str(detail["loc"][-1])
            names = sorted(_model_at(body, detail["loc"][:-1]).model_fields)
            near = difflib.get_close_matches(name, names, n=1)
            fix = f"did you mean {near[0]}?" if near else "leave it out; the fields are " + ", ".join(names)
            return {"field": place, "message": "there is no such field", "fix": fix}
        case "missing":
            return {"field": place, "message": "it is required", "fix": f"give {place}"}
        case "string_pattern_mismatch":
            pattern = detail["ctx"]["pattern"]
            return {"field": place, "message": "it does not have the right form", "fix": f"a text like {pattern}"}
        case _:
            return {"field": place, "message": detail["msg"], "fix": detail["msg"].removeprefix("Input ")}


def _model_at(body: type[BaseModel], loc: Sequence[str | int]) -> type[BaseModel]:
    """Return the model whose fields stand at ``loc`` in ``body``; as far down as models are all there is."""
    for part in loc:
        field = body.model_fields.get(str(part))
        inner = None if field is None else next(_models(field.annotation), None)
        if inner is not None:
            body = inner
    return body


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _place(loc: Iterable[str | int]) -> str:
    place = ""
    for part in loc:
        # Names of unknown fields and map keys are the caller's words: kept short and printable.
        place += f"[{part}]" if isinstance(part, int) else "." + "".join(c for c in part if c.isprintable())[:64]
    return place.lstrip(".") or "body"


def check_path(request: web.Request, endpoint: Endpoint) -> dict[str, str]:
    """Return the path's parameters. Raises NoSuchPath when one cannot be a name or id."""
    found = {name: request.match_info[name] for name in endpoint.parameters}
    if not all(_grammar(name).fullmatch(text) for name, text in found.items()):
        raise NoSuchPath("nothing lives at this path", fix="names and ids are letters, digits and . _ -")
    return found


def query(request: web.Request, endpoint: Endpoint) -> tuple[dict[str, str], int, str | None]:
    """Return filters, page limit and page token. Raises MalformedRequest naming the parameter."""
    known = {*endpoint.filters, *(("limit", "page_token") if endpoint.many else ())}
    for name in request.query:
        if name not in known and endpoint.ignores_unknown:
            continue
        if name not in known:
            fix = "known are " + ", ".join(sorted(known)) if known else "leave it out"
            raise MalformedRequest("there is no such query parameter", field=_place([name]), fix=fix)
        if len(request.query.getall(name)) > 1:
            raise MalformedRequest("the query parameter stands twice", field=name, fix="give it once")
    filters = {name: value for name, value in request.query.items() if name in endpoint.filters}
    for name, value in filters.items():
        _check_filter(name, value, endpoint.filters[name])
    if not endpoint.many:
        return filters, PAGE_DEFAULT, None
    token = request.query.get("page_token")
    if token is not None and not _TOKEN.fullmatch(token):
        raise MalformedRequest("this is no page token", field="page_token", fix="send next_page_token as it came")
    return filters, _limit(request.query.get("limit")), token


def _check_filter(name: str, value: str, wanted: Filter | str) -> None:
    if isinstance(wanted, Filter) and wanted.choices and value not in wanted.choices:
        raise MalformedRequest("the query parameter cannot be that", field=name, fix=_one_of(value, wanted.choices))
    if isinstance(wanted, Filter) and not wanted.choices:
        if not re.fullmatch(wanted.pattern, value):
            raise MalformedRequest("the query parameter cannot be that", field=name, fix=wanted.meaning)
        return
    if not _grammar(name).fullmatch(value):
        raise MalformedRequest("the query parameter cannot be that", field=name, fix="a name or an id")


def _grammar(parameter: str) -> re.Pattern[str]:
    """Return what a parameter's text looks like: where it may name a project, ORG/PROJECT is one too."""
    return _PROJECT if parameter in PROJECT_PARAMETERS else _FILTER


def _one_of(value: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(value, choices, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{meant}one of {', '.join(choices)}"


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE_DEFAULT
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= PAGE_LIMIT:
        raise MalformedRequest("limit cannot be that", field="limit", fix=f"a whole number from 1 to {PAGE_LIMIT}")
    return int(text)


def idempotency_key(request: web.Request) -> str:
    """Return the Idempotency-Key. Raises MalformedRequest when it is missing or odd."""
    key = request.headers.get("Idempotency-Key", "")
    if not _KEY.fullmatch(key):
        raise MalformedRequest(
            "every POST carries an Idempotency-Key of 1 to 255 visible ASCII characters",
            field="Idempotency-Key",
            fix="send a fresh random value for each new intention, and the same one for a repeat",
        )
    return key


def if_match(request: web.Request) -> int | None:
    """Return the version of If-Match, None for ``*``. Raises PreconditionMissing or MalformedRequest."""
    text = request.headers.get("If-Match", "").strip()
    if not text:
        raise PreconditionMissing(
            "a change names the version it is based on", field="If-Match", fix='send the ETag you read: If-Match: "3"'
        )
    if text == "*":
        return None
    found = re.fullmatch(r'"([0-9]{1,18})(?:-[0-9a-f]{8})?"', text)
    if not found:
        raise MalformedRequest("If-Match is no ETag of ours", field="If-Match", fix='the ETag as it came, such as "3"')
    return int(found.group(1))


def seen_versions(request: web.Request) -> frozenset[str]:
    """Return the versions in If-None-Match; ``*`` stands for any."""
    text = request.headers.get("If-None-Match", "").strip()
    return frozenset({"*"}) if text == "*" else frozenset(_ETAG.findall(text))


def wait_s(request: web.Request) -> float:
    """Return the seconds of ``Prefer: wait=N``, at most 60; what is not understood is ignored (RFC 7240)."""
    found = _WAIT.search(request.headers.get("Prefer", ""))
    return min(float(found.group(1)), WATCH_LIMIT_S) if found else 0.0
