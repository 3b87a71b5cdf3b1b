"""Fill a page's template, and say what a browser may do with it: nothing but show it and send its form back."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypedDict

from jinja2 import Environment, PackageLoader, StrictUndefined

MEDIA_TYPE = "text/html; charset=utf-8"


def page(name: str, **facts: Any) -> bytes:
    """Return the page ``name`` with these facts in it, every one of them escaped."""
    return _environment().get_template(f"{name}.html").render(style=_style(), **facts).encode()


def headers() -> Mapping[str, str]:
    """Return what goes with a page: it is not framed, tells nobody where it was, and runs nothing."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Robots-Tag": "noindex",
    }


class Shown(TypedDict):
    """A page with its status and headers, ready to be sent."""

    body: bytes
    status: int
    content_type: str
    headers: Mapping[str, str]


def refusal(faults: Sequence[tuple[str, str]]) -> Shown:
    """Return the page that says which (field, what is wrong with it) of a form cannot be: nothing was done."""
    told = "; ".join(f"{field}: {message}" for field, message in faults)
    body = page("message", title="This cannot be", text=told, fix="Go back, mend it and send it again.")
    return {"body": body, "status": 422, "content_type": MEDIA_TYPE, "headers": headers()}


@cache
def _environment() -> Environment:
    loader = PackageLoader("gateway.pages", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def _style() -> str:
    # Part of the page itself: a second request for it would need a second way in.
    source, _, _ = PackageLoader("gateway.pages", "templates").get_source(_environment(), "style.css")
    return source
