"""Queries on tokens and enrolments that the general ones cannot say."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from sqlmodel import col, select, update

from catalog.model.access import Account, Enrolment, Login, Membership, Role, Token
from catalog.model.ids import AccountId, OrganisationId, PlatformId, ProjectId
from catalog.model.tenancy import Project
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


def memberships_of(tx: Tx, account_id: AccountId) -> tuple[Mapping[ProjectId, Role], frozenset[OrganisationId]]:
    """Return the account's role in each project, and the organisations that it owns; all their projects are in it."""
    found = rows.where(tx, Membership, account_id=account_id)
    projects = {each.project_id: Role(each.role) for each in found if each.project_id is not None}
    owned = frozenset(each.organisation_id for each in found if each.organisation_id is not None)
    if owned:
        of_owned = tx.exec(select(col(Project.id)).where(col(Project.organisation_id).in_(sorted(owned)))).all()
        projects |= dict.fromkeys(of_owned, Role.OWNER)
    return projects, owned


def accounts_in(tx: Tx, projects: AbstractSet[ProjectId]) -> frozenset[AccountId]:
    """Return the accounts that belong to one of these projects or have a role there."""
    members = select(col(Membership.account_id)).where(col(Membership.project_id).in_(sorted(projects)))
    services = select(col(Account.id)).where(col(Account.project_id).in_(sorted(projects)))
    return frozenset(tx.exec(members).all()) | frozenset(tx.exec(services).all())


def revoke_all_of_platform(tx: Tx, platform_id: PlatformId, now_s: float) -> None:
    """Revoke every token that speaks for the platform."""
    for token in rows.where(tx, Token, role=Role.PLATFORM, subject_id=platform_id, revoked_at_s=None):
        rows.update(tx, token, {"revoked_at_s": now_s}, now_s)


def note_uses(tx: Tx, used: Mapping[str, float]) -> None:
    """Write when the tokens and log-ins with these ids were last used."""
    for id_, at_s in used.items():
        kind = Login if id_.startswith("login_") else Token
        tx.exec(
            update(kind).where(col(kind.id) == id_).values(used_at_s=at_s).execution_options(synchronize_session=False)
        )
