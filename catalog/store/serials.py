"""Count how often something changed, in the transaction of the change: who keeps a copy knows when it is old."""

from sqlalchemy import update
from sqlmodel import col

from catalog.model.search import Serial
from catalog.store.database import Tx


def bump(tx: Tx, subject: str) -> None:
    """Note that ``subject`` changed."""
    counted = update(Serial).where(col(Serial.subject) == subject).values(serial=col(Serial.serial) + 1)
    if not tx.connection().execute(counted).rowcount:
        tx.add(Serial(subject=subject, serial=1))
        tx.flush()
