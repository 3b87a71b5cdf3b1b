"""Lists on their way into the inventory: put away in batches, compared and taken over by the database itself.

No row passes through Python here: each batch is JSON text that the database takes apart, and what changed is found and
written by one statement each. Until ``take_over`` nobody sees anything of a list, and none that was begun and left is
ever seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import JSON, ColumnElement, Text, cast, column, delete, func, insert, literal, or_, select, update
from sqlalchemy.sql.selectable import TableValuedAlias

from catalog.model.ids import PlatformId
from catalog.model.offering import IncomingItem, InventoryItem
from catalog.store import rows
from catalog.store.database import Tx

_TEXTS: Final = ("name", "architecture", "os_family", "os_version")
_NUMBERS: Final = ("vcpu", "memory_gib", "disk_gib")
_COUNTS: Final = ("gpu_count",)
_COLUMNS: Final = (*_TEXTS, *_NUMBERS, *_COUNTS, "facts")
_IN_PLACE: Final = {"synchronize_session": False, "preserve_rowcount": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """How many rows of the inventory a list brought, altered and removed."""

    added: int
    altered: int
    removed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.added + self.altered + self.removed


def put(tx: Tx, sync_id: str, batch: str, now_s: float) -> None:
    """Put ``batch``, a JSON array as ``catalog.listed`` writes it, with what else came of the list ``sync_id``."""
    row = _elements(tx, batch).c.value
    told: dict[str, Any] = {
        "sync_id": literal(sync_id),
        "cloud_id": row["cloud_id"].as_string(),
        **{name: row[name].as_string() for name in _TEXTS},
        **{name: row[name].as_float() for name in _NUMBERS},
        **{name: row[name].as_integer() for name in _COUNTS},
        "facts": row["facts"],
        **_stamps(now_s),
    }
    tx.execute(insert(IncomingItem).from_select(list(told), select(*told.values())))


def counts(tx: Tx, sync_id: str) -> tuple[int, int]:
    """Return how many rows of the list there are, and how many different ids they have."""
    ids = _of(IncomingItem, "cloud_id")
    asked = select(func.count(), func.count(ids.distinct())).where(_of(IncomingItem, "sync_id") == sync_id)
    total, different = tx.execute(asked).one()
    return total, different


def take_over(tx: Tx, platform_id: PlatformId, kind: str, sync_id: str, now_s: float) -> Changed:
    """Make the list the platform's whole inventory of ``kind``; rows that are equal are not touched."""
    here = (_of(InventoryItem, "platform_id") == platform_id, _of(InventoryItem, "kind") == kind)
    listed = _of(IncomingItem, "sync_id") == sync_id
    ids = select(_of(IncomingItem, "cloud_id")).where(listed)
    removed = _run(tx, delete(InventoryItem).where(*here, _of(InventoryItem, "cloud_id").not_in(ids)))
    altered = _run(
        tx,
        update(InventoryItem)
        .where(*here, listed, _of(InventoryItem, "cloud_id") == _of(IncomingItem, "cloud_id"), _differs())
        .values(
            {name: _of(IncomingItem, name) for name in _COLUMNS}
            | {"version": _of(InventoryItem, "version") + 1, "updated_at_s": now_s}
        ),
    )
    known = select(_of(InventoryItem, "cloud_id")).where(*here)
    fresh: dict[str, Any] = {
        "platform_id": literal(platform_id),
        "kind": literal(kind),
        "cloud_id": _of(IncomingItem, "cloud_id"),
        **{name: _of(IncomingItem, name) for name in _COLUMNS},
        **_stamps(now_s),
    }
    chosen = select(*fresh.values()).where(listed, _of(IncomingItem, "cloud_id").not_in(known))
    added = _run(tx, insert(InventoryItem).from_select(list(fresh), chosen))
    forget(tx, sync_id)
    return Changed(added=added, altered=altered, removed=removed)


def forget(tx: Tx, sync_id: str) -> None:
    """Drop what came of a list."""
    _run(tx, delete(IncomingItem).where(_of(IncomingItem, "sync_id") == sync_id))


def _elements(tx: Tx, batch: str) -> TableValuedAlias:
    """Return the elements of the JSON array ``batch`` as rows of one column, ``value``."""
    value: Any = column("value", JSON)
    if tx.get_bind().dialect.name == "postgresql":
        return func.json_array_elements(cast(literal(batch, Text), JSON)).table_valued(value)
    return func.json_each(literal(batch, Text)).table_valued(value)


def _differs() -> ColumnElement[bool]:
    pairs: Sequence[tuple[Any, Any]] = [
        *((_of(InventoryItem, name), _of(IncomingItem, name)) for name in _COLUMNS if name != "facts"),
        (cast(_of(InventoryItem, "facts"), Text), cast(_of(IncomingItem, "facts"), Text)),
    ]
    return or_(*(held.is_distinct_from(told) for held, told in pairs))


def _stamps(now_s: float) -> dict[str, Any]:
    return {"version": literal(1), "created_at_s": literal(now_s), "updated_at_s": literal(now_s)}


def _of(kind: type[InventoryItem | IncomingItem], name: str) -> Any:
    return rows.column(kind, name)


def _run(tx: Tx, statement: Any) -> int:
    done: Any = tx.execute(statement.execution_options(**_IN_PLACE))
    return int(done.rowcount)
