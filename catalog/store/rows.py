"""What is the same for the rows of every table: insert, find, change under a version, move along its states, delete.

Changes of what people follow are told in the event log, in the same transaction; see ``catalog.store.telling``.
Every change bumps ``version`` and ``updated_at_s`` and is guarded in its WHERE, so that a row that moved on in the
meantime is never overwritten. Rows given and returned carry what the database holds after the call.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

from psycopg import errors as pg
from sqlalchemy import Column, ColumnElement, and_, or_
from sqlalchemy import delete as sql_delete
from sqlalchemy import update as sql_update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import class_mapper
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import Session, select

from catalog.errors import AlreadyExists, InvalidValue, NotFound, Stale, WrongState
from catalog.model.lifecycle import Transitions, next_state
from catalog.model.rows import Row
from catalog.store import events
from catalog.store.telling import telling

_AT_ONCE: Final = 500  # well below what a statement may have of parameters
K = TypeVar("K", bound=Row)
S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


def insert(tx: Session, row: K, now_s: float) -> K:
    """Add ``row``, stamped with ``now_s``, and return it.

    Raises AlreadyExists naming the field that another row holds, InvalidValue when it refers to nothing. The
    transaction stays usable after either.
    """
    row.created_at_s = row.updated_at_s = now_s
    row.version = 1
    try:
        with tx.begin_nested():
            tx.add(row)
    except IntegrityError as error:
        raise _refused(error, row) from error
    events.tell(tx, row, None, now_s)
    return row


def find(tx: Session, kind: type[K], id_: object) -> K | None:
    """Return the row as the database holds it now, or None."""
    return tx.get(kind, id_, populate_existing=True)


def by_id(tx: Session, kind: type[K], id_: object) -> K:
    """Return the row. Raises NotFound."""
    row = find(tx, kind, id_)
    if row is None:
        raise NotFound(f"there is no {word(kind)} '{id_}'")
    return row


def by_name_or_id(tx: Session, kind: type[K], text: str) -> K:
    """Return the row whose id or ``name`` is ``text``; an id wins. Raises NotFound."""
    found = tx.exec(select(kind).where(or_(column(kind, "id") == text, column(kind, "name") == text))).all()
    if not found:
        raise NotFound(f"there is no {word(kind)} '{text}'")
    return min(found, key=lambda row: value(row, "id") != text)


def where(tx: Session, kind: type[K], /, **wanted: object) -> Sequence[K]:
    """Return every row whose columns hold these values, smallest key first; see ``conditions`` for the values."""
    return tx.exec(select(kind).where(*conditions(kind, wanted)).order_by(*class_mapper(kind).primary_key)).all()


def first(tx: Session, kind: type[K], /, **wanted: object) -> K | None:
    """Return the row with the smallest key whose columns hold these values, or None."""
    ordered = select(kind).where(*conditions(kind, wanted)).order_by(*class_mapper(kind).primary_key)
    return tx.exec(ordered.limit(1)).first()


def in_parts(tx: Session, kind: type[K], name: str, values: Collection[Any]) -> list[K]:
    """Return every row whose column ``name`` holds one of ``values``, in no order; there may be any number of them."""
    wanted, found = sorted(set(values)), list[K]()
    for begin in range(0, len(wanted), _AT_ONCE):
        found += where(tx, kind, **{name: wanted[begin : begin + _AT_ONCE]})
    return found


def conditions(kind: type[Row], wanted: Mapping[str, object]) -> list[ColumnElement[bool]]:
    """Return one condition per column: equal to the value, one of them when it is a collection, absent when None."""
    several = (tuple, list, set, frozenset)
    return [
        column(kind, name).in_(sorted(held))
        if isinstance(held, several)
        else column(kind, name).is_not_distinct_from(held)
        for name, held in wanted.items()
    ]


def update(tx: Session, row: K, changes: Mapping[str, object], now_s: float, expected_version: int | None = None) -> K:
    """Write ``changes`` to ``row`` if its version is still ``expected_version`` (None: the one that ``row`` carries).

    Raises Stale, and nothing changes, when it moved on; NotFound when it is gone; AlreadyExists naming the field.
    """
    expected = row.version if expected_version is None else expected_version
    guard = column(type(row), "version") == expected
    told = telling(row)
    if not _write(tx, row, {**changes, "version": expected + 1}, now_s, guard):
        now = find(tx, type(row), key(row))
        if now is None:
            raise NotFound(f"there is no {word(type(row))} '{key(row)}' any more")
        raise Stale(f"the {word(type(row))} has version {now.version}, not {expected}", field="version")
    events.tell(tx, row, told, now_s)
    return row


def move(  # noqa: PLR0917 always written in this order, and read as one sentence
    tx: Session,
    row: K,
    table: Transitions[S, E],
    event: E,
    now_s: float,
    changes: Mapping[str, object] | None = None,
) -> K:
    """Take ``row`` along ``event`` in ``table``, with ``changes`` in the same statement, and return it.

    Raises WrongState, and nothing changes, when its state does not allow the event or it left that state meanwhile.
    """
    before: S = value(row, "state")
    told = telling(row)
    after = next_state(table, before, event)
    kind = type(row)
    guard = column(kind, "state") == before
    if not _write(tx, row, {**(changes or {}), "state": after, "version": column(kind, "version") + 1}, now_s, guard):
        raise WrongState(f"the {word(kind)} is no longer in state '{before.value}'", field="state")
    events.tell(tx, row, told, now_s, moved_by=event.value)
    return row


def delete(tx: Session, row: Row, expected_version: int | None = None) -> None:
    """Delete ``row``. Raises Stale when it moved on or is gone, WrongState while others refer to it."""
    kind = type(row)
    expected = row.version if expected_version is None else expected_version
    statement = sql_delete(kind).where(_same(row), column(kind, "version") == expected)
    try:
        with tx.begin_nested():
            gone = tx.exec(statement.execution_options(synchronize_session=False)).rowcount
    except IntegrityError as error:
        raise WrongState(f"the {word(kind)} is still in use", fix="remove what refers to it first") from error
    if not gone:
        raise Stale(f"the {word(kind)} was changed or removed meanwhile", field="version")
    if row in tx:
        tx.expunge(row)


def key(row: Row) -> Any:
    """Return the primary key of ``row``: a value, or a tuple where it has several columns."""
    values = class_mapper(type(row)).primary_key_from_instance(row)
    return values[0] if len(values) == 1 else tuple(values)


def column(kind: type[Row], name: str) -> Column[Any]:
    """Return the column of the attribute ``name``, for use in a statement."""
    return class_mapper(kind).columns[name]


def word(kind: type[Row]) -> str:
    """Return what people call a row of ``kind``, such as "site link"."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in kind.__name__).strip()


def value(row: Row, name: str) -> Any:
    """Return the attribute ``name`` of a row of any table."""
    return getattr(row, name)


def _write(tx: Session, row: Row, changes: Mapping[str, object], now_s: float, guard: Any) -> bool:
    """Update the one row under ``guard`` and put what the database now holds into ``row``; False when guarded off."""
    kind = type(row)
    names = (*changes, "updated_at_s")
    statement = (
        sql_update(kind)
        .where(_same(row), guard)
        .values(
            {column(kind, name): changed for name, changed in changes.items()} | {column(kind, "updated_at_s"): now_s}
        )
        .returning(*(column(kind, name) for name in names))
        .execution_options(synchronize_session=False)
    )
    try:
        with tx.begin_nested():
            written = tx.exec(statement).one_or_none()
    except IntegrityError as error:
        raise _refused(error, row) from error
    if written is None:
        return False
    held = tx.identity_map.get(class_mapper(kind).identity_key_from_instance(row))
    for known in {id(row): row, id(held): held}.values():
        if known is not None:
            for name, now in zip(names, written, strict=True):
                set_committed_value(known, name, now)
    return True


def _same(row: Row) -> ColumnElement[bool]:
    mapper = class_mapper(type(row))
    return and_(
        *(part == held for part, held in zip(mapper.primary_key, mapper.primary_key_from_instance(row), strict=True))
    )


def _refused(error: IntegrityError, row: Row) -> AlreadyExists | InvalidValue:
    """Say in our words what the database refused; its own text may hold values and stays the operator's."""
    text = str(error.orig)
    fields = _doubled(error)
    if fields:
        return AlreadyExists(f"another {word(type(row))} has the same {' and '.join(fields)}", field=fields[-1])
    if text.startswith("FOREIGN KEY") or isinstance(error.orig, pg.ForeignKeyViolation):
        return InvalidValue(f"the {word(type(row))} refers to something that does not exist", detail=text)
    return InvalidValue(f"the {word(type(row))} holds a value that its table refuses", detail=text)


def _doubled(error: IntegrityError) -> list[str]:
    """Return the columns whose values another row holds already, as either database names them; none if not that."""
    refused = error.orig
    if isinstance(refused, pg.UniqueViolation):
        # Key (platform_id, capability)=(…) already exists.
        told = (refused.diag.message_detail or "").partition("(")[2].partition(")")[0]
    elif str(refused).startswith("UNIQUE"):
        # UNIQUE constraint failed: capability_grant.platform_id, capability_grant.capability
        told = str(refused).partition(": ")[2]
    else:
        return []
    return [part.rsplit(".", 1)[-1].strip() for part in told.split(",")]
