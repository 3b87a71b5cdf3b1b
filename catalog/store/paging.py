"""Lists by pages, in the order of ids or its reverse: what was there when the first page was read comes once."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import or_
from sqlmodel import Session, select

from catalog.errors import InvalidValue
from catalog.model.rows import Row
from catalog.store import rows

K = TypeVar("K", bound=Row)
T = TypeVar("T")

PAGE_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list; ``next_token`` leads to the following part, None when this is the last."""

    items: tuple[T, ...]
    next_token: str | None = None


def page(
    tx: Session,
    kind: type[K],
    *,
    limit: int = 50,
    token: str | None = None,
    where: Mapping[str, object] | None = None,
    either: Mapping[str, object] | None = None,
    newest_first: bool = False,
) -> Page[K]:
    """Return up to ``limit`` rows after ``token``, oldest first unless ``newest_first``.

    All of ``where`` must hold and, if given, at least one of ``either`` (column name -> value, a collection for "one
    of these", None for "empty"). Raises InvalidValue for a limit outside 1..200 or a token that this list did not give.
    """
    if not 1 <= limit <= PAGE_LIMIT:
        raise InvalidValue(f"a page holds 1 to {PAGE_LIMIT} items", field="limit", fix=f"1..{PAGE_LIMIT}")
    key = rows.column(kind, "id")
    order = key.desc() if newest_first else key
    statement = select(kind).where(*rows.conditions(kind, where or {})).order_by(order).limit(limit + 1)
    if either:
        statement = statement.where(or_(*rows.conditions(kind, either)))
    if token is not None:
        last = _after(kind, token)
        statement = statement.where(key < last if newest_first else key > last)
    found = tx.exec(statement).all()
    more = len(found) > limit
    return Page(items=tuple(found[:limit]), next_token=_token(found[limit - 1]) if more else None)


def _token(last: Row) -> str:
    return base64.urlsafe_b64encode(json.dumps([type(last).__name__, rows.key(last)]).encode()).decode().rstrip("=")


def _after(kind: type[Row], token: str) -> Any:
    bad = InvalidValue("the page token is not one that this list gave", field="page_token", fix="begin without one")
    try:
        name, last = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (ValueError, TypeError, binascii.Error) as error:
        raise bad from error
    if name != kind.__name__ or not isinstance(last, str | int):
        raise bad
    return last
