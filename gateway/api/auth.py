"""Who calls: tokens from the Authorization header, and the doors that need none.

Every failure is the same 401: whether a token is unknown, expired or revoked is nobody's business but the admin's.
"""

import ipaddress
import re

from aiohttp import web

from catalog.access import Principal, authenticate, require
from catalog.messages.signed_request import SCHEME
from catalog.proofs import prove
from catalog.secrets import Secret
from catalog.token_text import LOGIN_PREFIX
from gateway.api import cookies
from gateway.api.endpoints import Door, Endpoint
from gateway.api.parse import read_raw
from gateway.api.services import ApiServices
from gateway.errors import Unauthenticated

# Checked before the database is asked, so that rubbish costs nothing.
_BEARER = re.compile(r"bearer +(cw_[a-z]{3,12}_[A-Za-z0-9_-]{43})", re.IGNORECASE)
_TEXT = re.compile(r"cw_[a-z]{3,12}_[A-Za-z0-9_-]{43}")
_PASSED_ON = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


async def caller(request: web.Request, endpoint: Endpoint, services: ApiServices) -> Principal | None:
    """Return who calls; None at doors without a token. Whether it may is ``permit``'s to say.

    Raises Unauthenticated without a valid token.
    """
    if endpoint.door in (Door.ANYONE, Door.ENROLMENT) or (endpoint.door is Door.LOCAL and is_local(request)):
        return None
    signed = request.headers.get("Authorization", "")
    if signed.lower().startswith(SCHEME.lower()) and endpoint.takes_signed:
        principal = await _signed(request, signed, services)
    else:
        if cookies.held_by(request) is not None and not signed and (endpoint.writes or endpoint.is_stream):
            cookies.require_own_page(request)
        principal = await _bearer(request, services)
    if principal is None:
        raise unauthenticated()
    if principal.token_id:
        services.last_used.note(principal.token_id, services.clock.now_s())
    return principal


def permit(principal: Principal, endpoint: Endpoint) -> None:
    """Raise Denied unless the principal's role may use ``endpoint``."""
    assert endpoint.permission is not None
    require(principal, endpoint.permission)


def enrolment(request: web.Request) -> Secret:
    """Return the enrolment token of the request; the enrolment itself proves it. Raises Unauthenticated."""
    text = _token_text(request)
    if text is None:
        raise unauthenticated()
    return Secret(text)


def is_local(request: web.Request) -> bool:
    """Whether the request comes from this host itself: a unix socket or loopback, and passed on by nobody."""
    if any(name in request.headers for name in _PASSED_ON):
        return False
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if isinstance(peer, tuple):
        return ipaddress.ip_address(str(peer[0]).partition("%")[0]).is_loopback
    return request.transport is not None and not peer


async def _bearer(request: web.Request, services: ApiServices) -> Principal | None:
    text = _token_text(request)
    now_s = services.clock.now_s()
    return None if text is None else await services.database.read(lambda tx: authenticate(tx, text, now_s))


async def _signed(request: web.Request, header: str, services: ApiServices) -> Principal | None:
    """Return the platform whose connector signed the request, body included; see ``catalog.proofs``."""
    body = await read_raw(request, services.limits) if request.can_read_body else b""
    now_s = services.clock.now_s()
    return await services.database.write(
        lambda tx: prove(
            tx,
            header,
            gateway=services.gateway_info.get("gateway_key", ""),
            method=request.method,
            target=request.raw_path,
            body=body,
            now_s=now_s,
        )
    )


def _token_text(request: web.Request) -> str | None:
    sent = request.headers.getall("Authorization", [])
    kept = cookies.held_by(request)
    if not sent and kept is not None:
        # Only a log-in's: a browser is never given another kind of token.
        return kept if kept.startswith(LOGIN_PREFIX) and _TEXT.fullmatch(kept) else None
    found = _BEARER.fullmatch(sent[0].strip()) if len(sent) == 1 else None
    return found.group(1) if found else None


def unauthenticated() -> Unauthenticated:
    """Return the refusal that does not say why."""
    return Unauthenticated(
        "this needs a valid token", field="Authorization", fix="Authorization: Bearer <token>; an admin issues tokens"
    )
