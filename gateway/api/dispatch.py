"""Carry out one request: door, grammar, transaction, answer. The order is the same for every endpoint.

Who calls is settled before the body is read, so a stranger learns nothing about grammar and fills no memory.
"""

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from pydantic import BaseModel, SecretStr
from pydantic.config import JsonDict

from catalog import access
from catalog.access import Principal
from catalog.errors import CatalogError, CloudTimedOut, Denied
from catalog.secrets import Secret
from catalog.store.database import Tx
from gateway import telemetry
from gateway.api import auditing, auth, cookies, idempotency, parse
from gateway.api.bodies import Nothing
from gateway.api.endpoints import Call, Door, Endpoint, Listing, Precondition, Raw, Result, Tagged
from gateway.api.feeds import feed_over
from gateway.api.idempotency import Answer, Intention
from gateway.api.services import ApiServices
from gateway.api.streams import stream_over
from gateway.errors import GatewayError, InvalidRequest
from gateway.pages.render import refusal

SHOWN_ONCE: JsonDict = {"x-shown-once": True}  # json_schema_extra of an answer's field that a repeat does not get


def handler_for(endpoint: Endpoint, services: ApiServices) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return aiohttp's handler for ``endpoint``."""

    async def handle(request: web.Request) -> web.StreamResponse:
        principal = await auth.caller(request, endpoint, services)
        if principal is not None:
            await _permit(principal, endpoint, services)
        try:
            call = await _call(request, endpoint, services, principal)
        except InvalidRequest as error:
            if endpoint.takes_form:
                return _respond(Raw(**refusal([(each["field"], each["message"]) for each in error.faults])))
            raise
        if endpoint.is_stream:
            return await stream_over(request, endpoint.handler(call))
        if endpoint.is_feed:
            return await feed_over(request, endpoint.handler(call), services)
        if not endpoint.in_transaction:
            return _respond(_answer(endpoint, await endpoint.handler(call)))
        if endpoint.writes:
            return _respond(await _write(request, endpoint, call))
        return await _read(request, endpoint, call)

    return handle


async def _permit(principal: Principal, endpoint: Endpoint, services: ApiServices) -> None:
    try:
        auth.permit(principal, endpoint)
    except Denied as error:
        if endpoint.writes:
            await auditing.note_shut_out(endpoint, services, principal, error)
        raise


async def _call(
    request: web.Request, endpoint: Endpoint, services: ApiServices, principal: Principal | None
) -> Call[Any]:
    path = parse.check_path(request, endpoint)
    filters, limit, page_token = parse.query(request, endpoint)
    precondition = Precondition(parse.if_match(request)) if endpoint.is_guarded else Precondition()
    body = await parse.read_body(request, endpoint, services.limits) if endpoint.writes else Nothing()
    return Call(
        services=services,
        now_s=services.clock.now_s(),
        body=body,
        caller=principal,
        path=path,
        filters=filters,
        limit=limit,
        page_token=page_token,
        precondition=precondition,
        enrolment=auth.enrolment(request) if endpoint.door is Door.ENROLMENT else None,
        resume=request.headers.get("Last-Event-ID") if endpoint.is_feed else None,
        request_id=telemetry.request_id.get(),
        permission=endpoint.permission or "",
        address=services.proxies.caller(request),
        agent=request.headers.get("User-Agent", ""),
        flow=request.cookies.get(cookies.FLOW, ""),
    )


async def _read(request: web.Request, endpoint: Endpoint, call: Call[Any]) -> web.Response:
    """Answer a GET; with If-None-Match and ``Prefer: wait`` only once the thing differs from what was seen."""
    services, changes = call.services, call.services.changes
    seen = parse.seen_versions(request) if endpoint.is_watchable else frozenset()
    loop = asyncio.get_running_loop()
    patience_s = parse.wait_s(request) if seen and changes.waiting < services.limits.watchers else 0.0
    deadline = loop.time() + patience_s
    while True:
        count = changes.count
        answer = await services.database.read(
            lambda tx: _answer(endpoint, endpoint.handler(tx, _as_it_is_now(tx, endpoint, call)))
        )
        if not seen or not _is_seen(answer, seen):
            break
        left_s = deadline - loop.time()
        if left_s <= 0 or changes.closed:
            answer = Answer(status=304, headers=answer.headers)
            break
        with services.metrics.watchers.track_inprogress():
            await changes.wait_beyond(count, timeout_s=min(left_s, services.limits.watch_poll_s))
    response = _respond(answer)
    if patience_s:
        response.headers["Preference-Applied"] = "wait"
    return response


def _as_it_is_now(tx: Tx, endpoint: Endpoint, call: Call[Any]) -> Call[Any]:
    """Return ``call`` by whoever its caller is in this very transaction.

    A watch may have waited for a minute, and a body may have come slowly, or behind other writes.

    Raises Unauthenticated when what proved it is not valid any more, Denied when it may not do this any more.
    """
    if call.caller is None or not call.caller.token_id or endpoint.permission is None:
        return call
    caller = access.again(tx, call.caller, call.services.clock.now_s())
    if caller is None:
        raise auth.unauthenticated()
    access.require(caller, endpoint.permission)
    return dataclasses.replace(call, caller=caller)


def _is_seen(answer: Answer, seen: frozenset[str]) -> bool:
    return "*" in seen or answer.headers.get("ETag", "").strip('"') in seen


async def _write(request: web.Request, endpoint: Endpoint, call: Call[Any]) -> Answer:
    services = call.services
    intention = _intention(request, call) if endpoint.is_kept else None

    def work(tx: Tx) -> tuple[Answer, Result]:
        now = _as_it_is_now(tx, endpoint, call)
        kept = idempotency.recall(tx, intention, services.sealer, call.now_s) if intention else None
        if kept is not None:
            return kept, None
        result = endpoint.handler(tx, _with_found(tx, endpoint, dataclasses.replace(now, found=ready.found)))
        if endpoint.is_guarded and not call.precondition.checked:
            raise RuntimeError(f"{endpoint.name} did not look at If-Match")
        answer = _answer(endpoint, result)
        if intention:
            told, running = _without_secrets(endpoint, answer), endpoint.then is not None
            idempotency.keep(tx, intention, told, services.sealer, call.now_s, running=running)
        auditing.note_done(tx, endpoint, now, answer)
        return answer, result

    try:
        ready = await _ready(endpoint, call, intention)
        answer, result = await services.database.write(work)
    except (CatalogError, GatewayError) as error:
        if call.caller is not None:
            await auditing.note_refused(endpoint, call, error)
        raise
    if answer.replayed:
        return answer
    if endpoint.then is not None:
        assert intention is not None
        await _outside(endpoint, call, intention, result, answer)
    for task in endpoint.wakes:
        services.wake(task)
    await services.changes.notify()
    return answer


async def _ready(endpoint: Endpoint, call: Call[Any], intention: Intention | None) -> Call[Any]:
    """Return ``call`` with what the endpoint wants found first; a repeat finds nothing: its answer is kept."""
    if endpoint.first is None:
        return call

    def look(tx: Tx) -> Call[Any]:
        if intention and idempotency.is_kept(tx, intention):
            return call
        return _with_found(tx, endpoint, _as_it_is_now(tx, endpoint, call))

    return await call.services.database.read(look)


def _with_found(tx: Tx, endpoint: Endpoint, call: Call[Any]) -> Call[Any]:
    if endpoint.first is None or call.found is not None:
        return call
    return dataclasses.replace(call, found=endpoint.first(tx, call))


async def _outside(endpoint: Endpoint, call: Call[Any], intention: Intention, result: Result, answer: Answer) -> None:
    assert endpoint.then is not None
    write = call.services.database.write
    try:
        async with asyncio.timeout(call.services.limits.action_s):
            await endpoint.then(call, result)
    except TimeoutError as error:
        late = CloudTimedOut("no answer in time: whether it was done is unknown", fix="look, then repeat it")
        await write(lambda tx: _give_up(tx, endpoint, call, intention, late))
        raise late from error
    except (CatalogError, GatewayError) as error:
        failed = error
        await write(lambda tx: _give_up(tx, endpoint, call, intention, failed))
        raise

    def finish(tx: Tx) -> None:
        idempotency.finish(tx, intention, answer, call.now_s)
        auditing.note_ended(tx, endpoint, call)

    await write(finish)


def _give_up(
    tx: Tx, endpoint: Endpoint, call: Call[Any], intention: Intention, error: CatalogError | GatewayError
) -> None:
    idempotency.forget(tx, intention)
    auditing.note_ended(tx, endpoint, call, error)


def _intention(request: web.Request, call: Call[Any]) -> Intention:
    if call.enrolment is not None:
        principal = "enrolment:" + hashlib.sha256(call.enrolment.reveal().encode()).hexdigest()
    else:
        who = call.principal
        principal = who.key if who.subject_id else f"{who.role.value}:{who.token_id}"
    asked = idempotency.request_of(request.method, request.path, call.body, _revealed(call.body))
    return Intention(principal=principal, key=parse.idempotency_key(request), request=asked)


def _revealed(value: Any) -> Any:
    """Return ``value`` as plain data for the fingerprint; a changed secret changes it. Never kept or logged."""
    if isinstance(value, BaseModel):
        return {name: _revealed(getattr(value, name)) for name in sorted(value.model_fields_set)}
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {key: _revealed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_revealed(item) for item in value]
    return value


def _answer(endpoint: Endpoint, result: Result) -> Answer | Any:
    """Return what is sent for ``result``, which must be what the endpoint declared."""
    if isinstance(result, Raw):
        return result
    if isinstance(result, Listing):
        assert endpoint.many
        items = [item.model_dump() for item in result.items]
        assert (None if result.beside is None else type(result.beside)) is endpoint.beside
        beside = {} if result.beside is None else result.beside.model_dump()
        document = {"items": items, "next_page_token": result.next_token, **beside}
        return Answer(status=endpoint.status, document=document)
    if result is None:
        assert endpoint.answer is None, f"{endpoint.name} returned nothing"
        return Answer(status=endpoint.status)
    assert endpoint.answer is not None
    assert type(result) is endpoint.answer, f"{endpoint.name} returned a {type(result).__name__}"
    document = result.model_dump()
    headers = {}
    if isinstance(result, Tagged):
        headers["ETag"] = f'"{result.tag()}"'
    if endpoint.location:
        headers["Location"] = endpoint.location.format_map(document)
    return Answer(status=endpoint.status, headers=headers, document=document)


def _without_secrets(endpoint: Endpoint, answer: Answer) -> Answer:
    """Return ``answer`` as it may be kept: what is shown once is null in a repeat."""
    if endpoint.answer is None or answer.document is None:
        return answer
    once = {name for name, field in endpoint.answer.model_fields.items() if field.json_schema_extra == SHOWN_ONCE}
    document = {name: None if name in once else value for name, value in answer.document.items()}
    return dataclasses.replace(answer, document=document)


def _respond(answer: Answer | Raw) -> web.Response:
    if isinstance(answer, Raw):
        headers = {**answer.headers, "Content-Type": answer.content_type}
        return web.Response(body=answer.body, status=answer.status, headers=headers)
    headers = dict(answer.headers)
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    if answer.document is None:
        return web.Response(status=answer.status, headers=headers)
    return web.Response(
        body=json.dumps(answer.document, allow_nan=False).encode(),
        status=answer.status,
        headers=headers,
        content_type="application/json",
    )


def secret_of(value: SecretStr) -> Secret:
    """Return a body's secret in the form that the catalog takes."""
    return Secret(value.get_secret_value())
