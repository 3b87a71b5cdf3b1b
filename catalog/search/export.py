"""What was found, for other programs: JSON, CSV, and entities of a Backstage catalog. Pure."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final


class ExportFormat(StrEnum):
    """How it is written."""

    JSON = "json"
    CSV = "csv"
    BACKSTAGE = "backstage"


MEDIA_TYPES: Final[Mapping[ExportFormat, str]] = {
    ExportFormat.JSON: "application/json",
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.BACKSTAGE: "application/yaml",
}
_PLAIN: Final = (
    *("id", "offer", "kind", "capability", "item", "name", "platform", "provider", "region", "country", "continent"),
    *("state", "vcpu", "memory_gib", "disk_gib", "gpu_count", "architecture", "os_family", "os_version", "room"),
)
_PRICE: Final = ("amount", "currency", "unit", "source", "valid_from")
_REACH: Final = ("rtt_ms", "loss_ratio", "preference", "measured_at", "stale")
_NAME_LENGTH: Final = 63  # of a Backstage entity, as of a Kubernetes object
_SIGN_LENGTH: Final = 8
_TIMES: Final = frozenset({"valid_from", "measured_at"})


def written(rows: Iterable[Mapping[str, Any]], how: ExportFormat) -> bytes:
    """Return ``rows`` (as ``catalog.search.told`` tells them) in the form ``how``; unknown is null, or empty in CSV."""
    match how:
        case ExportFormat.JSON:
            return json.dumps([_dated(row) for row in rows], allow_nan=False).encode()
        case ExportFormat.CSV:
            return _csv(rows).encode()
        case ExportFormat.BACKSTAGE:
            # Every JSON document is a YAML document, and no text in it can be taken for anything else.
            return "".join(f"---\n{json.dumps(_entity(row), allow_nan=False)}\n" for row in rows).encode()


def _dated(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _dated(each, key) for key, each in value.items()}
    if name in _TIMES and isinstance(value, float):
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return value


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*_PLAIN, *(f"price_{name}" for name in _PRICE), *_REACH, "score", "labels"])
    for row in rows:
        told = _dated(row)
        price, reach = told["price"] or {}, told["reachability"] or {}
        cells = [told[name] for name in _PLAIN]
        cells += [price.get(name) for name in _PRICE]
        cells += [reach.get(name) for name in _REACH]
        cells += [told["score"], ",".join(f"{name}={value}" for name, value in sorted(told["labels"].items()))]
        writer.writerow([_safe(cell) for cell in cells])
    return text.getvalue()


def _safe(cell: object) -> object:
    """Return the cell so that no spreadsheet takes a stranger's text for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell


def _entity(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the Backstage entity of kind Resource for ``row``; what it cannot say natively is an annotation."""
    facts = {name: row[name] for name in _PLAIN if row[name] not in (None, "")}
    price = row["price"]
    if price is not None:
        facts["price"] = f"{price['amount']} {price['currency']}/{price['unit']}"
    tags = {_slug(str(row[name])) for name in ("provider", "kind", "architecture", "os_family") if row[name]}
    return {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Resource",
        "metadata": {
            "name": _name(row),
            "title": f"{row['name']} at {row['platform']}",
            "annotations": {f"crossway/{name.replace('_', '-')}": str(value) for name, value in facts.items()},
            "tags": sorted(tag for tag in tags if tag),
        },
        "spec": {"type": f"crossway-{row['kind']}", "owner": _slug(str(row["platform"])), "system": "crossway"},
    }


def _name(row: Mapping[str, Any]) -> str:
    """Return the entity's name. What its letters do not tell apart from others is told apart by the row's id."""
    text = f"{row['platform']}-{row['kind']}-{row['item'] or row['capability']}"
    slug = _slug(text)
    if slug == text:
        return slug
    sign = sha256(str(row["id"]).encode()).hexdigest()[:_SIGN_LENGTH]
    return f"{slug[: _NAME_LENGTH - _SIGN_LENGTH - 1].rstrip('-')}-{sign}"


def _slug(text: str) -> str:
    """Return ``text`` as a name of an entity: a-z, 0-9 and single dashes, no more than fits."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_NAME_LENGTH].strip("-")
