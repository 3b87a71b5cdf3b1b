"""Where OpenStack's services are, and how a passage tells it to its holder. Pure.

The cloud's own catalog says where each service is; only what lies under an approved endpoint is ever called. The
holder is told the same catalog with every URL leading through the passage: ``<address>/<service type>/<version …>``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from catalog.endpoints import Target
from catalog.errors import CloudMisbehaved, DialRefused
from catalog.ports import ApprovedEndpoint

_TYPE: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_REST: Final = re.compile(r"(?P<root>.*?)(?P<rest>(/v\d+(\.\d+)?(/[^/]+)?)?/?)")
_TIME: Final = "%Y-%m-%dT%H:%M:%S.000000Z"
_UPDATED: Final = "2020-04-07T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service of the cloud: ``root`` is its URL without the version, ``rest`` what follows in the catalog."""

    type: str
    name: str
    root: str
    rest: str
    endpoint: ApprovedEndpoint | None  # the approved one under which it lies


def services(token: dict[str, Any], *, region: str, approved: Sequence[ApprovedEndpoint]) -> tuple[Service, ...]:
    """Return the public services of ``region`` in a token's catalog, of one type the first. Raises CloudMisbehaved."""
    by_target = {Target.of(endpoint.url): endpoint for endpoint in approved}
    try:
        found = [
            _service(entry, endpoint["url"], by_target)
            for entry in token["catalog"]
            for endpoint in entry["endpoints"]
            if endpoint["interface"] == "public" and region in {endpoint.get("region_id"), endpoint.get("region")}
        ]
    except (KeyError, TypeError, ValueError, AttributeError, DialRefused) as error:
        raise CloudMisbehaved("the token's service catalog is not one of Keystone v3") from error
    by_type = {service.type: service for service in reversed(found) if _TYPE.fullmatch(service.type)}
    return tuple(by_type[kind] for kind in sorted(by_type))


def _service(entry: dict[str, Any], url: str, approved: Mapping[Target, ApprovedEndpoint]) -> Service:
    parts = urlsplit(url)
    split = _REST.fullmatch(parts.path)
    assert split is not None  # every part of the pattern may be empty
    return Service(
        type=str(entry["type"]),
        name=str(entry.get("name", "")),
        root=f"{parts.scheme}://{parts.netloc}{split['root']}",
        rest=split["rest"],
        endpoint=approved.get(Target.of(url)),
    )


def beginnings(found: Sequence[Service], address: str) -> dict[str, str]:
    """Return how URLs of the cloud begin, and what each is told as."""
    return {service.root: f"{address}/{service.type}" for service in found}


def told_catalog(found: Sequence[Service], *, address: str, region: str) -> list[dict[str, Any]]:
    """Return the catalog as the holder of the passage is told it."""
    return [
        {
            "id": service.type,
            "type": service.type,
            "name": service.name or service.type,
            "endpoints": [
                {
                    "id": f"{service.type}-public",
                    "interface": "public",
                    "region": region,
                    "region_id": region,
                    "url": f"{address}/{service.type}{service.rest}",
                }
            ],
        }
        for service in found
    ]


def told_token(
    token: dict[str, Any], catalog: list[dict[str, Any]], *, now_s: float, expires_at_s: float
) -> dict[str, Any]:
    """Return the token's description as the holder is told it: whose project it is, and until when it is good here."""
    kept = {name: token[name] for name in ("user", "project", "roles", "is_domain") if name in token}
    return {
        "token": {
            **kept,
            "methods": ["application_credential"],
            "issued_at": datetime.fromtimestamp(now_s, UTC).strftime(_TIME),
            "expires_at": datetime.fromtimestamp(expires_at_s, UTC).strftime(_TIME),
            "audit_ids": [],
            "catalog": catalog,
        }
    }


def told_versions(address: str, *, whole: bool) -> dict[str, Any]:
    """Return Keystone's version document: of v3 alone, or (``whole``) of all versions, which is v3 too."""
    version = {
        "id": "v3.14",
        "status": "stable",
        "updated": _UPDATED,
        "links": [{"rel": "self", "href": f"{address}/identity/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }
    return {"versions": {"values": [version]}} if whole else {"version": version}
