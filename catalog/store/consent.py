"""Queries on grants that the general ones cannot say."""

from collections.abc import Sequence

from sqlmodel import col, select

from catalog.model.consent import Grant, GrantState
from catalog.store.database import Tx


def due(tx: Tx, now_s: float) -> Sequence[Grant]:
    """Return the grants that stand and whose time is over at ``now_s``, oldest first."""
    statement = select(Grant).where(
        col(Grant.state).in_((GrantState.GRANTED, GrantState.ACCEPTED)),
        col(Grant.expires_at_s) <= now_s,
    )
    return tx.exec(statement.order_by(col(Grant.id))).all()
