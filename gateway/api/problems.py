"""The one table from errors to HTTP, and their form on the wire (RFC 9457).

Errors are looked up by their ``code``, so that those of parts which the API may not import are told too. What has no
row here is a mistake of ours: a 500 that says nothing but the request id.
"""

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from gateway import telemetry
from gateway.errors import InternalError, MethodNotAllowed, NoSuchPath, Unauthenticated

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5

STATUS: Mapping[str, int] = {
    # the caller's request
    "malformed-request": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "denied": 403,
    "passage-ended": 403,
    "no-such-path": 404,
    "not-found": 404,
    "method-not-allowed": 405,
    "read-timed-out": 408,
    "already-exists": 409,
    "wrong-state": 409,
    "quota-exceeded": 409,
    "budget-exceeded": 409,
    "handshake-refused": 409,
    "still-running": 409,
    "chain-broken": 409,
    "events-forgotten": 410,
    "stale": 412,
    "body-too-large": 413,
    "unsupported-media-type": 415,
    "invalid-request": 422,
    "invalid-value": 422,
    "topology-invalid": 422,
    "idempotency-key-reused": 422,
    "precondition-missing": 428,
    "too-many-calls": 429,
    "too-many-readers": 429,
    "too-many-logins": 429,
    # ourselves
    "internal-error": 500,
    "catalog-error": 500,
    "gateway-error": 500,
    "routing-error": 500,
    "invalid-settings": 500,
    "seal-broken": 500,
    "lease-lost": 503,
    "store-unavailable": 503,
    "queue-unavailable": 503,
    # what lies beyond us: a cloud, its connector, the way there
    "cloud-error": 502,
    "cloud-refused": 502,
    "cloud-quota-exhausted": 503,
    "cloud-credentials-refused": 502,
    "cloud-misbehaved": 502,
    "certificate-refused": 502,
    "dial-refused": 502,
    "receiver-unreachable": 502,
    "platform-misbehaved": 502,
    "hop-error": 502,
    "hop-refused": 502,
    "host-key-mismatch": 502,
    "cloud-unavailable": 503,
    "calls-exhausted": 429,
    "cloud-disconnected": 503,
    "link-unmeasured": 503,
    "raw-sockets-refused": 503,
    "no-route": 503,
    "identity-provider-unreachable": 503,
    "tunnel-lost": 503,
    "tunnel-full": 503,
    "connections-full": 503,
    "cloud-timed-out": 504,
    "hop-timed-out": 504,
}


class Fault(BaseModel):
    """One wrong value."""

    field: str = Field(description="Where: a path such as `endpoints[0].url`, or the name of a header or parameter.")
    message: str
    fix: str = Field(description="What would be right.")


class Problem(BaseModel):
    """What went wrong, where, and what would be right (RFC 9457)."""

    type: str = Field(description="`urn:crossway:problem:` and the code.")
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; decide by it, not by the words.")
    field: str | None = None
    fix: str | None = None
    request_id: str = Field(description="Stands beside every log line of this request.")
    errors: list[Fault] | None = Field(default=None, description="Every wrong value, where there can be several.")


def status_of(error: BaseException | type[BaseException]) -> int | None:
    """Return the HTTP status of ``error`` (or of its class), None when it is not one of ours."""
    code = getattr(error, "code", None)
    return STATUS.get(code) if isinstance(code, str) else None


def problem(error: BaseException) -> web.Response:
    """Return the answer for ``error``; one that has no row in the table is logged here, once, and tells nothing."""
    status = status_of(error)
    if status is None:
        log.error("request failed by a mistake of ours", exc_info=error)
        error = InternalError("the gateway made a mistake; its log has the details under this request id")
        status = 500
    elif detail := getattr(error, "detail", ""):
        log.info("request refused", extra={"code": getattr(error, "code", ""), "detail": detail})
    document = Problem.model_validate(_fields(error, status))
    body = document.model_dump(exclude_none=True)
    return web.Response(body=json.dumps(body).encode(), status=status, headers=_headers(error), content_type=MEDIA_TYPE)


def from_aiohttp(error: web.HTTPException) -> web.Response:
    """Return the problem for what aiohttp itself refused: unknown paths and methods."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        answer = problem(MethodNotAllowed("this path does not have this method", fix=f"it has {allowed}"))
        answer.headers["Allow"] = allowed
        return answer
    if isinstance(error, web.HTTPNotFound):
        return problem(NoSuchPath("nothing lives at this path", fix="GET /v1/openapi.json lists every path"))
    return problem(error)


def _fields(error: BaseException, status: int) -> dict[str, Any]:
    code: str = getattr(error, "code", "internal-error")
    return {
        "type": f"urn:crossway:problem:{code}",
        "title": code.replace("-", " ").capitalize(),
        "status": status,
        "detail": str(error),
        "code": code,
        "field": getattr(error, "field", None),
        "fix": getattr(error, "fix", None),
        "request_id": telemetry.request_id.get(),
        "errors": list(faults) if (faults := getattr(error, "faults", ())) else None,
    }


def _headers(error: BaseException) -> dict[str, str]:
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="crossway"'
    if getattr(error, "retryable", False):
        headers["Retry-After"] = str(math.ceil(getattr(error, "retry_after_s", None) or RETRY_AFTER_S))
    return headers
