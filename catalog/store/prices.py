"""Queries on the price book."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, and_, func, or_
from sqlalchemy import insert as sql_insert
from sqlalchemy import select as sql_select
from sqlmodel import col

from catalog.model.ids import PlatformId
from catalog.model.platform import Platform
from catalog.model.price import Price
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.rows import column

SUBJECTS: Final = "prices:"


def of_keys(tx: Tx, keys: Collection[str]) -> Sequence[Price]:
    """Return every price of these keys, past and future ones too, by key and beginning."""
    return sorted(rows.in_parts(tx, Price, "key", keys), key=lambda price: (price.key, price.valid_from_s))


def add(tx: Tx, prices: Sequence[Price], now_s: float) -> None:
    """Add prices in one go."""
    names = [column.name for column in Price.__table__.columns if column.name != "id"]  # type: ignore[attr-defined]
    for price in prices:
        price.created_at_s = price.updated_at_s = now_s
    if prices:
        tx.connection().execute(sql_insert(Price), [{name: getattr(each, name) for name in names} for each in prices])


class Valid(NamedTuple):
    """A price that holds, as far as it matters then."""

    id: int
    platform_id: PlatformId | None
    region: str
    kind: str
    item: str
    unit: str
    amount: str
    currency: str
    source: str
    valid_from_s: float


def valid(tx: Tx, platform: Platform, kind: str, now_s: float, items: Collection[str] | None = None) -> Sequence[Valid]:
    """Return what holds for ``kind`` at ``platform`` at ``now_s``, its own and its provider's, perhaps for items."""
    statement = sql_select(*(column(Price, name) for name in Valid._fields)).where(
        or_(
            col(Price.platform_id) == platform.id,
            and_(col(Price.provider) == platform.provider, col(Price.region).in_(("", platform.region))),
        ),
        col(Price.kind) == kind,
        *_holds(now_s),
    )
    if items is not None:
        statement = statement.where(col(Price.item).in_(sorted(items)))
    return [Valid(*found) for found in tx.execute(statement.order_by(col(Price.id))).all()]


def subject_of(platform: PlatformId | None, provider: str, region: str) -> str:
    """Return what the prices of a platform, or of a provider in one region or "", count their changes as (Serial)."""
    return f"{SUBJECTS}{platform}" if platform else f"{SUBJECTS}{provider}/{region}"


def next_changes_s(tx: Tx, now_s: float) -> Mapping[str, float]:
    """Return, by ``subject_of``, when next after ``now_s`` a price begins or ends, where one does."""
    found = dict[str, float]()
    whose = (col(Price.platform_id), col(Price.provider), col(Price.region))
    for moment in (col(Price.valid_from_s), col(Price.valid_to_s)):
        coming = sql_select(*whose, func.min(moment)).where(moment > now_s).group_by(*whose)
        for platform, provider, region, at_s in tx.execute(coming).all():
            subject = subject_of(platform, provider, region)
            found[subject] = min(at_s, found.get(subject, at_s))
    return found


def _holds(now_s: float) -> tuple[ColumnElement[bool], ...]:
    ends = col(Price.valid_to_s)
    return col(Price.valid_from_s) <= now_s, or_(ends.is_(None), ends > now_s)
