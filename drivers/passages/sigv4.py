"""AWS Signature Version 4 for query APIs: check a signature, and make one. Pure.

Written from Amazon's public description ("Create a signed AWS API request"); services other than S3, whole bodies.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

ALGORITHM: Final = "AWS4-HMAC-SHA256"
# Amazon's own tolerance is 15 minutes; a passage's clients keep time, and a stolen request is worth less for less.
TOLERANCE_S: Final = 300.0
_TIME: Final = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION: Final = re.compile(
    rf"{ALGORITHM} Credential=(?P<key>[A-Za-z0-9_.-]{{1,128}})/(?P<day>[0-9]{{8}})/(?P<region>[a-z0-9-]{{1,64}})/"
    r"(?P<service>[a-z0-9-]{1,64})/aws4_request, ?"
    r"SignedHeaders=(?P<signed>[a-z0-9-]+(?:;[a-z0-9-]+)*), ?Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is signed. ``path`` and ``query`` percent-encoded as they are sent; header names in any case."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Who a request says signed it, when and for what."""

    key: str
    day: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str
    at: str

    @property
    def scope(self) -> str:
        """Return for which day, region and service it was signed."""
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


def signed(request: Request) -> Signed | None:
    """Return what the Authorization header of ``request`` says; None when there is not exactly one that is understood.

    A signature that leaves Host or the time out proves nothing and is none.
    """
    told, times = _values(request, "authorization"), _values(request, "x-amz-date")
    matched = _AUTHORIZATION.fullmatch(told[0].strip()) if len(told) == len(times) == 1 else None
    if matched is None:
        return None
    names = tuple(matched["signed"].split(";"))
    if not {"host", "x-amz-date"} <= set(names) or times[0][:8] != matched["day"]:
        return None
    return Signed(
        key=matched["key"],
        day=matched["day"],
        region=matched["region"],
        service=matched["service"],
        headers=names,
        signature=matched["signature"],
        at=times[0],
    )


def is_genuine(request: Request, claim: Signed, secret: str, now_s: float) -> bool:
    """Whether ``secret`` signed this very request, body included, within TOLERANCE_S of ``now_s``."""
    try:
        at_s = datetime.strptime(claim.at, _TIME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return False
    made = _signature(request, claim.headers, claim.at, claim.scope, secret)
    return abs(now_s - at_s) <= TOLERANCE_S and hmac.compare_digest(made, claim.signature)


def sign(
    request: Request, *, key: str, secret: str, region: str, service: str, now_s: float
) -> tuple[tuple[str, str], ...]:
    """Return the headers of ``request``, which name its Host, with those that prove it signed by ``secret``."""
    at = datetime.fromtimestamp(now_s, UTC).strftime(_TIME)
    headers = (*request.headers, ("X-Amz-Date", at), ("X-Amz-Content-Sha256", hashlib.sha256(request.body).hexdigest()))
    dated = Request(method=request.method, path=request.path, query=request.query, headers=headers, body=request.body)
    names = tuple(sorted({name.lower() for name, _ in headers}))
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    signature = _signature(dated, names, at, scope, secret)
    told = f"{ALGORITHM} Credential={key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return (*headers, ("Authorization", told))


def _signature(request: Request, names: Sequence[str], at: str, scope: str, secret: str) -> str:
    digest = hashlib.sha256(_canonical(request, names).encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, f"{ALGORITHM}\n{at}\n{scope}\n{digest}".encode(), "sha256").hex()


def _canonical(request: Request, names: Sequence[str]) -> str:
    pairs = sorted(
        (name, value) for name, _, value in (part.partition("=") for part in request.query.split("&") if part)
    )
    headers = "".join(f"{name}:{','.join(_trimmed(each) for each in _values(request, name))}\n" for name in names)
    return "\n".join(
        (
            request.method,
            # Encoded a second time, as every service but S3 wants it.
            quote(request.path or "/", safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            headers,
            ";".join(names),
            # Of the body as it came: what the caller says of its digest is not asked.
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def _values(request: Request, name: str) -> list[str]:
    return [value for each, value in request.headers if each.lower() == name]


def _trimmed(value: str) -> str:
    return " ".join(value.split())
