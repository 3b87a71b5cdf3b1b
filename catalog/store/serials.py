"""Count how often something changed, in the transaction of the change: who keeps a copy knows when it is old."""

from collections.abc import Mapping

from sqlalchemy import select, update
from sqlmodel import col

from catalog.model.search import Serial
from catalog.store.database import Tx


def bump(tx: Tx, subject: str) -> None:
    """Note that ``subject`` changed."""
    counted = update(Serial).where(col(Serial.subject) == subject).values(serial=col(Serial.serial) + 1)
    if not tx.connection().execute(counted).rowcount:
        tx.add(Serial(subject=subject, serial=1))
        tx.flush()


def counts(tx: Tx, prefix: str) -> Mapping[str, int]:
    """Return how often each subject changed whose name begins with ``prefix``; one that never did is absent."""
    found = select(col(Serial.subject), col(Serial.serial)).where(
        col(Serial.subject).startswith(prefix, autoescape=True)
    )
    return dict(tx.execute(found).all())
