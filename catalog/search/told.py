"""A row that was found, in the words of every answer and export."""

from collections.abc import Mapping
from typing import Any

from catalog.model.reachability import is_stale
from catalog.places import continent
from catalog.prices import book
from catalog.search.find import Hit

FACTS = ("vcpu", "memory_gib", "disk_gib", "gpu_count", "architecture", "os_family", "os_version")


def told(hit: Hit, now_s: float) -> Mapping[str, Any]:
    """Return what there is to know of ``hit``; what is unknown is None. Times are epoch seconds, named ``_at``."""
    each, item = hit.standing, hit.item
    facts = {name: None if item is None else getattr(item, name) for name in FACTS}
    return {
        "id": each.id if item is None else f"{each.id}/{item.cloud_id}",
        "offer": each.id,
        "kind": "offer" if item is None else item.kind,
        "capability": each.capability,
        "item": None if item is None else item.cloud_id,
        "name": each.title if item is None else item.name,
        "platform": each.platform,
        "provider": each.provider,
        "region": each.region,
        "country": each.country,
        "continent": continent(each.country),
        "state": each.state.value,
        "reason": each.reason,
        "labels": dict(each.labels),
        **facts,
        "price": _price(hit),
        "room": hit.room,
        "reachability": _reach(hit, now_s),
        "score": hit.score,
        "terms": [
            {"name": t.name, "value": t.value, "weight": t.weight, "points": t.points, "share": t.share}
            for t in hit.terms
        ],
    }


def _price(hit: Hit) -> Mapping[str, Any] | None:
    kept = book.kept(hit.price)
    if kept is None:
        return None
    shown = {name: value for name, value in kept.items() if name != "valid_from_s"}
    return {**shown, "valid_from": kept["valid_from_s"], "per_hour": book.hourly(hit.price)}


def _reach(hit: Hit, now_s: float) -> Mapping[str, Any] | None:
    each = hit.standing
    if each.measured_at_s is None:
        return None
    return {
        "rtt_ms": each.rtt_ms,
        "loss_ratio": each.loss_ratio,
        "preference": each.preference,
        "measured_at": each.measured_at_s,
        "stale": is_stale(each.measured_at_s, now_s),
    }
