"""The audit log in the database: its end is taken and given back within one transaction, so that it never forks."""

from typing import Final

from sqlmodel import Session, col, select, update

from catalog.model.audit import AuditCheckpoint
from catalog.model.event import LogHead

HEAD: Final = "audit"


def take(tx: Session, now_s: float) -> tuple[int, str]:
    """Return the number of the next record and the digest of the one before; others wait for this transaction."""
    taken = (
        update(LogHead)
        .where(col(LogHead.name) == HEAD)
        .values(seq=col(LogHead.seq) + 1, updated_at_s=now_s, version=col(LogHead.version) + 1)
        .returning(col(LogHead.seq), col(LogHead.digest))
        .execution_options(synchronize_session=False)
    )
    seq, digest = tx.execute(taken).one()
    return int(seq), str(digest)


def close(tx: Session, digest: str) -> None:
    """Note the digest of the record that was just written."""
    closed = update(LogHead).where(col(LogHead.name) == HEAD).values(digest=digest)
    tx.execute(closed.execution_options(synchronize_session=False))


def head(tx: Session) -> tuple[int, str]:
    """Return number and digest of the newest record; (0, "") before the first."""
    return tx.exec(select(LogHead.seq, LogHead.digest).where(LogHead.name == HEAD)).one()


def newest_checkpoint(tx: Session) -> AuditCheckpoint | None:
    """Return the checkpoint of the newest record that has one."""
    return tx.exec(select(AuditCheckpoint).order_by(col(AuditCheckpoint.id).desc()).limit(1)).first()
