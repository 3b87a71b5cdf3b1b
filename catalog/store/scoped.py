"""Rows that belong to projects, through the scope of whoever asks: the only way by which the API reads them.

A scope is demanded and not optional, so a query for a tenant that forgets it does not type-check; that nothing of these
kinds is read by any other way in ``gateway/api`` is held by ``tests/architecture/test_scoped_reads.py``.
"""

from collections.abc import Mapping
from typing import TypeVar

from catalog.access import Scope
from catalog.errors import Denied, NotFound
from catalog.model.rows import Row
from catalog.store import paging, rows
from catalog.store.database import Tx
from catalog.store.paging import Page

K = TypeVar("K", bound=Row)


def find(tx: Tx, scope: Scope, kind: type[K], id_: str) -> K:
    """Return the row with this id.

    Raises NotFound when there is none or it belongs to a project that the caller is not in, in the same words; Denied
    when the caller is in its project and may not do this there.
    """
    row = rows.find(tx, kind, id_)
    if row is None or not reaches(scope, row, visible=True):
        raise NotFound(f"there is no {rows.word(kind)} '{id_}'")
    if not reaches(scope, row):
        raise Denied("your role in its project does not include this", fix="ask an owner of the project")
    return row


def page(
    tx: Tx,
    scope: Scope,
    kind: type[K],
    *,
    limit: int = 50,
    token: str | None = None,
    where: Mapping[str, object] | None = None,
) -> Page[K]:
    """Return one page of the rows that ``scope`` reaches; see ``catalog.store.paging``."""
    return paging.page(tx, kind, limit=limit, token=token, where={**(where or {}), **_narrowed(scope, where or {})})


def reaches(scope: Scope, row: Row, *, visible: bool = False) -> bool:
    """Return whether ``scope`` reaches the row; ``visible``: whether the row exists for the caller at all."""
    project = rows.value(row, "project_id")
    return scope.everything or (project is not None and project in (scope.visible if visible else scope.projects))


def _narrowed(scope: Scope, where: Mapping[str, object]) -> Mapping[str, object]:
    if scope.everything:
        return {}
    wanted = where.get("project_id")
    return {"project_id": scope.projects if wanted is None else scope.projects & {wanted}}
