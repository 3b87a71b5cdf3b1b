"""Sessions of browsers: a cookie that no script reads and no other site can use.

``__Host-``: only this host sets it, for all its paths, over TLS. ``HttpOnly``: no script sees it. ``SameSite=Lax``: it
is not sent with what other sites make the browser ask for. That alone is not trusted: whatever changes something, or
opens a stream, is refused unless the browser itself says that the page that asks is this gateway's own.
"""

from urllib.parse import urlsplit

from aiohttp import web

from gateway.errors import Forbidden
from gateway.logins.flows import LASTS_S

NAME = "__Host-crossway"
FLOW = "__Host-crossway-oidc"
_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax"


def setting(text: str, lasts_s: float) -> str:
    """Return the Set-Cookie header that keeps ``text`` in the browser for as long as its session may last."""
    return f"{NAME}={text}; Max-Age={int(lasts_s)}; {_ATTRIBUTES}"


def flow(text: str) -> str:
    """Return the Set-Cookie header by which a browser is known when it comes back from an identity provider."""
    return f"{FLOW}={text}; Max-Age={int(LASTS_S)}; {_ATTRIBUTES}"


def held_by(request: web.Request) -> str | None:
    """Return what the browser keeps, None when it keeps nothing."""
    return request.cookies.get(NAME)


def require_own_page(request: web.Request) -> None:
    """Raise Forbidden unless the browser says that this gateway's own page asks (Fetch Metadata, else Origin)."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        site = "cross-site"
    if site == "same-origin" or (site is None and origin is not None):
        return
    raise Forbidden(
        "a cookie alone does not prove that you meant this",
        field="Sec-Fetch-Site",
        fix="ask from this gateway's own pages, or with a bearer token",
    )
