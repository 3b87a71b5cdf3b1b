"""Queries on the price book."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy import insert as sql_insert
from sqlmodel import col, select

from catalog.model.platform import Platform
from catalog.model.price import Price
from catalog.store.database import Tx

_KEYS_AT_ONCE = 500  # well below what a statement may have of parameters


def of_keys(tx: Tx, keys: Collection[str]) -> Sequence[Price]:
    """Return every price of these keys, past and future ones too, by key and beginning."""
    wanted, found = sorted(keys), list[Price]()
    for begin in range(0, len(wanted), _KEYS_AT_ONCE):
        part = wanted[begin : begin + _KEYS_AT_ONCE]
        found += tx.exec(
            select(Price).where(col(Price.key).in_(part)).order_by(col(Price.key), col(Price.valid_from_s))
        )
    return found


def add(tx: Tx, prices: Sequence[Price], now_s: float) -> None:
    """Add prices in one go."""
    names = [column.name for column in Price.__table__.columns if column.name != "id"]  # type: ignore[attr-defined]
    for price in prices:
        price.created_at_s = price.updated_at_s = now_s
    if prices:
        tx.connection().execute(sql_insert(Price), [{name: getattr(each, name) for name in names} for each in prices])


def valid(tx: Tx, platform: Platform, kind: str, now_s: float, items: Collection[str] | None = None) -> Sequence[Price]:
    """Return what holds for ``kind`` at ``platform`` at ``now_s``, its own and its provider's, perhaps for items."""
    statement = select(Price).where(
        or_(
            col(Price.platform_id) == platform.id,
            and_(col(Price.provider) == platform.provider, col(Price.region).in_(("", platform.region))),
        ),
        col(Price.kind) == kind,
        *_holds(now_s),
    )
    if items is not None:
        statement = statement.where(col(Price.item).in_(sorted(items)))
    return tx.exec(statement.order_by(col(Price.id))).all()


def next_change_s(tx: Tx, now_s: float) -> float | None:
    """Return the next moment after ``now_s`` at which a price begins or ends, None when nothing is to change."""
    moments = (
        tx.exec(select(column).where(column > now_s).order_by(column).limit(1)).first()
        for column in (col(Price.valid_from_s), col(Price.valid_to_s))
    )
    return min((moment for moment in moments if moment is not None), default=None)


def _holds(now_s: float) -> tuple[ColumnElement[bool], ...]:
    ends = col(Price.valid_to_s)
    return col(Price.valid_from_s) <= now_s, or_(ends.is_(None), ends > now_s)
