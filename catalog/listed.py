"""What is stored of what a cloud lists, as text: normalised once, where it was read, and never parsed again.

Pure. A list of ten thousand sizes costs a second of Python; whoever reads it may do so in a process of its own, and
hand over batches of JSON text that the database takes apart by itself (``catalog.store.incoming``).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from catalog import normalise
from catalog.clouds import CloudItem, CloudMachine, CloudSize, Listing
from catalog.errors import CloudMisbehaved
from catalog.messages.handshake import Capability

Listed = CloudSize | CloudItem | CloudMachine

BATCH_ROWS: Final = 250  # a choice: some 80 KiB of text, put away by the database in about 2 ms
_NORMALISED: Final = tuple(each.name for each in fields(normalise.Normalised))
_SIZE_FACTS: Final = ("vcpu", "memory_mib", "disk_gib")
_MACHINE_FACTS: Final = ("status", "addresses", "tags", "reason", "size", "image", "network")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some rows of a list: a JSON array of objects with ``cloud_id``, ``name``, ``facts`` and what is normalised."""

    count: int
    text: str


def batches(provider: str, kind: str, items: Iterable[Listed]) -> Iterator[Batch]:
    """Yield a cloud's ``items`` of ``kind`` as they are stored, no more of them in memory than one batch.

    Raises CloudMisbehaved when one id is listed twice.
    """
    seen: set[str] = set()
    waiting: list[dict[str, Any]] = []
    for item in items:
        if item.cloud_id in seen:
            raise CloudMisbehaved("the cloud listed one id twice")
        seen.add(item.cloud_id)
        waiting.append(row(provider, kind, item))
        if len(waiting) == BATCH_ROWS:
            yield _batch(waiting)
            waiting = []
    if waiting:
        yield _batch(waiting)


def listing(provider: str, kind: str, items: Iterable[Listed]) -> Listing:
    """Return all of ``items`` in one piece. Raises CloudMisbehaved when one id is listed twice."""
    made = tuple(batches(provider, kind, items))
    return Listing(count=sum(batch.count for batch in made), batches=tuple(batch.text for batch in made))


def row(provider: str, kind: str, item: Listed) -> dict[str, Any]:
    """Return what is stored of ``item``."""
    normalised = _normalised(provider, kind, item)
    # Not asdict: that copies value by value, half of the time that a list takes.
    told = {name: getattr(normalised, name) for name in _NORMALISED}
    return {"cloud_id": item.cloud_id, "name": item.name, "facts": _facts(item), **told}


def _batch(waiting: list[dict[str, Any]]) -> Batch:
    return Batch(count=len(waiting), text=json.dumps(waiting, separators=(",", ":")))


def _normalised(provider: str, kind: str, item: Listed) -> normalise.Normalised:
    if isinstance(item, CloudSize):
        return normalise.size(provider, item)
    return normalise.image(item) if isinstance(item, CloudItem) and kind == Capability.IMAGE else normalise.Normalised()


def _facts(item: Listed) -> dict[str, Any]:
    if isinstance(item, CloudItem):
        return dict(item.facts)
    told = _SIZE_FACTS if isinstance(item, CloudSize) else _MACHINE_FACTS
    return {name: _plain(getattr(item, name)) for name in told}


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value
