"""Queries on tokens and enrolments that the general ones cannot say."""

from sqlmodel import col, update

from catalog.model.access import Enrolment, Role, Token
from catalog.model.ids import PlatformId
from catalog.store import rows
from catalog.store.database import Tx


def use_up(tx: Tx, enrolment: Enrolment, now_s: float) -> bool:
    """Mark the enrolment used; False when somebody else did before."""
    statement = (
        update(Enrolment)
        .where(col(Enrolment.id) == enrolment.id, col(Enrolment.used_at_s).is_(None))
        .values(used_at_s=now_s, updated_at_s=now_s, version=col(Enrolment.version) + 1)
    )
    return tx.exec(statement.execution_options(synchronize_session="evaluate")).rowcount == 1


def revoke_all_of_platform(tx: Tx, platform_id: PlatformId, now_s: float) -> None:
    """Revoke every token that speaks for the platform."""
    for token in rows.where(tx, Token, role=Role.PLATFORM, subject_id=platform_id, revoked_at_s=None):
        rows.update(tx, token, {"revoked_at_s": now_s}, now_s)
