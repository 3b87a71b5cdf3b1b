"""The one path that is not JSON of ours: a passage's address, under which the platform's own clients call its API.

Declared here and not as an endpoint: methods, paths and bodies are the platform's, and callers prove themselves by the
passage's own credentials, in the platform's own way. Whatever is refused is refused in the platform's own words.
"""

import asyncio
from dataclasses import replace
from typing import Final

from aiohttp import ClientPayloadError, web
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestPayloadError

from catalog.errors import CatalogError
from catalog.ports import HttpAnswer, PassageCall
from gateway import telemetry
from gateway.api import problems
from gateway.api.edge import HEADERS
from gateway.api.passages import PREFIX
from gateway.api.services import ApiServices
from gateway.connections.passing import Passing
from gateway.errors import BodyTooLarge, GatewayError, MalformedRequest, NoSuchPath, ReadTimedOut

METHOD, PATH = "*", f"{PREFIX}{{passage}}{{rest}}"  # as the router names it
_ID_LENGTH: Final = 64


def add_passing(app: web.Application, services: ApiServices) -> None:
    """Serve the passages of ``services``; where there are none, nothing lives there."""
    app.router.add_route(METHOD, PATH.replace("rest", "rest:(/.*)?"), handler_for(services))


def handler_for(services: ApiServices) -> Handler:
    """Return aiohttp's handler of every call in every passage."""

    async def handle(request: web.Request) -> web.StreamResponse:
        passing, passage = services.passing, request.match_info["passage"]
        if passing is None or len(passage) > _ID_LENGTH:
            raise NoSuchPath("nothing lives at this path")
        call = _head(request, passage)
        response: web.StreamResponse | None = None
        try:
            call = await _with_body(request, call, services)
            async with passing.answer(passage, call) as answer:
                response = _begun(answer)
                await response.prepare(request)
                async for piece in answer.body:
                    await response.write(piece)
                await response.write_eof()
                return response
        except (CatalogError, GatewayError) as error:
            if response is None or not response.prepared:
                return await _refused(passing, passage, call, error)
            # Its head is gone out already: an answer that is broken off is the only word left.
            if request.transport is not None:
                request.transport.abort()
            return response

    return handle


def _head(request: web.Request, passage: str) -> PassageCall:
    """Return the call without its body. Raises MalformedRequest for what cannot be signed or passed on."""
    target, address = request.raw_path, f"{PREFIX}{passage}"
    if not target.startswith(address):
        raise MalformedRequest("the request's target is not a plain path", fix=f"{address}/…")
    path, _, query = target.removeprefix(address).partition("?")
    headers = tuple(request.headers.items())
    if not all(map(_is_text, (target, *(value for _, value in headers)))):
        raise MalformedRequest("the target or a header is not UTF-8")
    known_as = f"{request.scheme}://{request.host}{address}"
    return PassageCall(method=request.method, address=known_as, path=path, query=query, headers=headers)


def _is_text(value: str) -> bool:
    """Whether ``value`` came as UTF-8: aiohttp keeps other bytes as halves of characters, which nothing can encode."""
    return not any("\ud800" <= each <= "\udfff" for each in value)


async def _with_body(request: web.Request, call: PassageCall, services: ApiServices) -> PassageCall:
    limit = services.limits.passage_body_bytes
    raw = bytearray()
    try:
        async with asyncio.timeout(services.limits.body_s):
            async for piece in request.content.iter_any():
                raw += piece
                if len(raw) > limit:
                    raise BodyTooLarge(f"a call in a passage has at most {limit} bytes")
    except TimeoutError:
        raise ReadTimedOut("the body did not arrive in time") from None
    except (RequestPayloadError, ClientPayloadError) as error:
        raise MalformedRequest("the body is broken off or wrongly framed") from error
    return replace(call, body=bytes(raw))


def _begun(answer: HttpAnswer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status)
    for name, value in (*answer.headers, *HEADERS.items(), ("X-Request-Id", telemetry.request_id.get())):
        response.headers[name] = value
    return response


async def _refused(
    passing: Passing, passage: str, call: PassageCall, error: CatalogError | GatewayError
) -> web.Response:
    """Return the answer for ``error`` in the platform's words; as a problem of ours where no platform is known."""
    status = problems.status_of(error)
    refusal = await passing.refusal(passage, call, status=status, message=_words(error)) if status else None
    if refusal is None:
        return problems.problem(error)
    body = b"".join([piece async for piece in refusal.body])
    return web.Response(status=refusal.status, headers=dict(refusal.headers), body=body)


def _words(error: CatalogError | GatewayError) -> str:
    fix = f" ({error.fix})" if error.fix else ""
    return f"{error}{fix}"
