"""Queries on grants that the general ones cannot say."""

from collections.abc import Sequence

from sqlmodel import col, select

from catalog.model.consent import Grant, GrantState
from catalog.model.ids import PlatformId
from catalog.store.database import Tx


def ending(tx: Tx, platform_id: PlatformId | None = None) -> Sequence[Grant]:
    """Return the grants that stand until a certain moment, and those whose moment has passed, oldest first."""
    statement = select(Grant).where(
        col(Grant.state).in_((GrantState.GRANTED, GrantState.ACCEPTED, GrantState.SUSPENDED, GrantState.EXPIRED)),
        col(Grant.expires_at_s).is_not(None),
    )
    if platform_id is not None:
        statement = statement.where(col(Grant.platform_id) == platform_id)
    return tx.exec(statement.order_by(col(Grant.id))).all()


def due(tx: Tx, now_s: float) -> Sequence[Grant]:
    """Return the grants that stand and whose time is over at ``now_s``, oldest first."""
    statement = select(Grant).where(
        col(Grant.state).in_((GrantState.GRANTED, GrantState.ACCEPTED, GrantState.SUSPENDED)),
        col(Grant.expires_at_s) <= now_s,
    )
    return tx.exec(statement.order_by(col(Grant.id))).all()
