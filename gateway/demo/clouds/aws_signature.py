"""Check AWS version 4 signatures as the real service does; moto does not look at them.

With it a request proves that method, path, query and the signed headers, Host among them, came through the tunnel
unchanged. Source: the public description of Signature Version 4 for query APIs.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote

_HEADER: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request,"
    r"\s*SignedHeaders=(?P<headers>[a-z0-9;-]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedScope:
    """Who signed a request, and for what."""

    key: str
    day: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str


def scope(environ: Mapping[str, Any]) -> SignedScope | None:
    """Return the scope of a WSGI request's signature, None when it has none of version 4."""
    matched = _HEADER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    if matched is None:
        return None
    return SignedScope(
        key=matched["key"],
        day=matched["day"],
        region=matched["region"],
        service=matched["service"],
        headers=tuple(matched["headers"].split(";")),
        signature=matched["signature"],
    )


def is_genuine(environ: Mapping[str, Any], signed: SignedScope, secret: str) -> bool:
    """Return whether ``secret`` signed this very request."""
    when = environ.get("HTTP_X_AMZ_DATE", "")
    place = f"{signed.day}/{signed.region}/{signed.service}/aws4_request"
    digest = hashlib.sha256(_canonical(environ, signed).encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{when}\n{place}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in (signed.day, signed.region, signed.service, "aws4_request", to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return "host" in signed.headers and hmac.compare_digest(key.hex(), signed.signature)


def _canonical(environ: Mapping[str, Any], signed: SignedScope) -> str:
    pairs = sorted(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    headers = "".join(f"{name}:{_header(environ, name)}\n" for name in signed.headers)
    return "\n".join(
        (
            environ["REQUEST_METHOD"],
            environ.get("PATH_INFO") or "/",
            query,
            headers,
            ";".join(signed.headers),
            environ.get("HTTP_X_AMZ_CONTENT_SHA256", ""),
        )
    )


def _header(environ: Mapping[str, Any], name: str) -> str:
    key = name.upper().replace("-", "_")
    value = environ.get(key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}", "")
    return " ".join(str(value).split())
