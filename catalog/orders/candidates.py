"""Which of the things on offer an order by needs may become, best first. Pure: values in, values out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from catalog.model.offering import InventoryItem
from catalog.prices import book
from catalog.search.find import Hit

NOT_TRIED, CHOSEN, REFUSED, FAILED = "", "chosen", "refused", "failed"
CANDIDATES: Final = 10  # one of each platform; more would be tried for longer than anybody waits


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The operating system that is needed; ``version`` "" is any."""

    family: str
    version: str = ""


def chosen(hits: Sequence[Hit], images: Mapping[str, Sequence[InventoryItem]], wanted: System) -> list[dict[str, Any]]:
    """Return the candidates for ``hits``, sizes best first, each with the best image of its platform's ``images``.

    A hit without a fitting image is none. Those with room come before those without, where only a pool could serve.
    """
    found = []
    for hit in hits:
        assert hit.item is not None
        image = best_image(images.get(hit.standing.platform_id, ()), wanted, hit.item.architecture)
        if image is not None:
            found.append(_candidate(hit, hit.item, image))
    return sorted(found, key=lambda each: each["room"] == 0)[:CANDIDATES]


def best_image(items: Sequence[InventoryItem], wanted: System, architecture: str | None) -> InventoryItem | None:
    """Return the newest image of ``wanted`` that a size of ``architecture`` can run, of equals the greatest name.

    Where one side does not say its architecture nothing stands against it, but one that says the same comes first. One
    whose name begins with the system comes before one in which it comes later, which is mostly something on top of it.
    """
    fitting = [
        item
        for item in items
        if item.os_family == wanted.family
        and wanted.version in ("", item.os_version)
        and (None in (item.architecture, architecture) or item.architecture == architecture)
    ]
    return max(fitting, key=lambda item: _newest(item, architecture), default=None)


def _newest(item: InventoryItem, architecture: str | None) -> tuple[object, ...]:
    numbers = [int(part) for part in re.findall(r"[0-9]+", item.os_version or "")]
    is_plain = item.os_family is not None and item.name.casefold().startswith(item.os_family)
    return numbers, item.architecture == architecture, is_plain, item.name, item.cloud_id


def _candidate(hit: Hit, size: InventoryItem, image: InventoryItem) -> dict[str, Any]:
    each = hit.standing
    return {
        "offer": each.id,
        "platform": each.platform,
        "size": size.cloud_id,
        "size_name": size.name,
        "image": image.cloud_id,
        "image_name": image.name,
        "price": book.kept(hit.price),
        "room": hit.room,
        "rtt_ms": each.rtt_ms,
        "score": hit.score,
        "terms": [
            {"name": t.name, "value": t.value, "weight": t.weight, "points": t.points, "share": t.share}
            for t in hit.terms
        ],
        "outcome": NOT_TRIED,
        "reason": "",
    }


def noted(
    candidates: Sequence[Mapping[str, Any]], position: int, outcome: str, reason: str = ""
) -> list[dict[str, Any]]:
    """Return ``candidates`` with what became of the one at ``position``."""
    return [
        {**each, "outcome": outcome, "reason": reason} if place == position else dict(each)
        for place, each in enumerate(candidates)
    ]
