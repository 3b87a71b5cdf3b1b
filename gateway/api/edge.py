"""The outermost layer: a request id, one problem for whatever goes wrong, metrics, one log line per request."""

import asyncio
import logging
import re

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from catalog.model.ids import new_id
from gateway import telemetry
from gateway.api import problems
from gateway.api.services import ApiServices

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
REFUSAL = "Crossway-Problem"
HEADERS = {
    "Server": "crossway",  # aiohttp would tell its version and Python's
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def edge(services: ApiServices) -> Middleware:
    """Return the middleware around every handler."""

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        telemetry.request_id.set(_request_id(request, services))
        started = asyncio.get_running_loop().time()
        response = await _answered(request, handler)
        if response.prepared:  # a stream that has come and gone: nobody reads its headers any more
            _note(request, response, services, took_s=None)
            return response
        response.headers.update(HEADERS)
        if "Upgrade" in request.headers and isinstance(response, web.Response) and response.text:
            # Whoever wanted a WebSocket seldom gets to see the body of a refusal.
            response.headers[REFUSAL] = response.text
        response.headers["X-Request-Id"] = telemetry.request_id.get()
        _note(request, response, services, asyncio.get_running_loop().time() - started)
        return response

    return around


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return problems.from_aiohttp(error)
    except Exception as error:  # noqa: BLE001  # the HTTP edge: problems.py logs what is not one of ours
        return problems.problem(error)


def _request_id(request: web.Request, services: ApiServices) -> str:
    sent = request.headers.get("X-Request-Id", "")
    return sent if _REQUEST_ID.fullmatch(sent) else new_id("request", services.clock.now_s())


def _note(request: web.Request, response: web.StreamResponse, services: ApiServices, took_s: float | None) -> None:
    """Count and log the request; ``took_s`` None: it lasted as long as its stream, which tells nothing of us."""
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unmatched"
    method = request.method if request.method in _METHODS else "other"
    services.metrics.requests.labels(method, route, str(response.status)).inc()
    if took_s is not None and "Preference-Applied" not in response.headers:
        services.metrics.request_s.labels(method, route).observe(took_s)
    lasted = {} if took_s is None else {"took_ms": round(took_s * 1000, 1)}
    log.info("request", extra={"method": method, "route": route, "status": response.status, **lasted})
