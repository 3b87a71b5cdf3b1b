"""Accounts of people and programs, and their memberships: who makes them, who sees them, who gives which role.

An admin decides about all of them. The owner of a project decides who else works in it, makes service accounts for it,
and learns of no account of a rival: for an owner, whoever works for another organisation, or runs the gateway, does not
exist. Whoever was taken in somewhere sees that and may leave.
"""

import re
from collections.abc import Mapping

from catalog import naming, tenancy
from catalog.access import GATEWAY_WIDE, IN_PROJECTS, Principal, scope
from catalog.errors import Denied, InvalidValue, NotFound
from catalog.model.access import Account, AccountKind, Membership, Role
from catalog.model.ids import AccountId, MembershipId, OrganisationId, ProjectId, new_id
from catalog.model.tenancy import Organisation, Project
from catalog.store import principals, rows
from catalog.store.database import Tx

ME = "me"
# Addresses are allowed: that is what people log in with elsewhere. No underscore first, so that none passes for an id.
_USER_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,127}", re.ASCII)


def create_user(tx: Tx, *, name: str, gateway_role: str = "", external_id: str | None = None, now_s: float) -> Account:
    """Return the new account of a person, without a password. Raises AlreadyExists, InvalidValue."""
    if not _USER_NAME.fullmatch(name) or name.startswith("account_") or name == ME:
        raise InvalidValue(
            "this cannot be a user's name", field="name", fix="a-z 0-9 . _ @ + -, such as mara@acme.example"
        )
    account = Account(
        id=AccountId(new_id("account", now_s)),
        kind=AccountKind.USER,
        name=name,
        path=name,
        gateway_role=_gateway_role(gateway_role),
        external_id=external_id,
    )
    return rows.insert(tx, account, now_s)


def create_service(tx: Tx, *, name: str, project: Project | None, gateway_role: str = "", now_s: float) -> Account:
    """Return the new service account of ``project``, or of the gateway itself. Raises AlreadyExists, InvalidValue."""
    account = Account(
        id=AccountId(new_id("account", now_s)),
        kind=AccountKind.SERVICE,
        name=naming.name(name),
        path=f"{'gateway' if project is None else project.id}/{name}",
        project_id=None if project is None else project.id,
        gateway_role=_gateway_role(gateway_role),
    )
    return rows.insert(tx, account, now_s)


def visible(tx: Tx, principal: Principal, reference: str, permission: str) -> Account:
    """Return the account with this id (``me``: the principal's own; a user also by name).

    Raises NotFound, also for one that does not exist for the principal.
    """
    if reference == ME and principal.account_id is not None:
        return rows.by_id(tx, Account, principal.account_id)
    account = rows.find(tx, Account, reference) or rows.first(tx, Account, path=reference, kind=AccountKind.USER)
    if account is None or not may_decide(tx, principal, account, permission):
        raise NotFound(f"there is no account '{reference}'")
    return account


def may_decide(tx: Tx, principal: Principal, account: Account, permission: str) -> bool:
    """Return whether the account is the principal's own, or one about which it decides: see this module's words."""
    reach = scope(principal, permission)
    if reach.everything or account.id == principal.account_id:
        return True
    if account.project_id is not None:
        return account.project_id in reach.projects
    return any(each.project_id in reach.projects for each in rows.where(tx, Membership, account_id=account.id))


def change(tx: Tx, account: Account, changes: Mapping[str, object], now_s: float) -> Account:
    """Return the account with another ``gateway_role`` or ``enabled``; disabled, it is let in nowhere from now on.

    Raises InvalidValue for a role that there is not, and for one of a project's service account: whoever owns the
    project has its tokens.
    """
    if _gateway_role(str(changes.get("gateway_role") or "")) and account.project_id is not None:
        fix = "make a service account without a project"
        raise InvalidValue("a project's account has no role for all", field="gateway_role", fix=fix)
    return rows.update(tx, account, changes, now_s)


def join(
    tx: Tx,
    principal: Principal,
    *,
    account: str,
    role: str,
    project: str | None = None,
    organisation: str | None = None,
    now_s: float,
) -> Membership:
    """Return the account's new membership of a project or an organisation.

    Raises InvalidValue for an account or project that does not exist for the principal, Denied without the right to
    decide there, AlreadyExists for one that has a role there.
    """
    where = _place(tx, principal, project, organisation)
    if role not in {each.value for each in IN_PROJECTS} or (
        isinstance(where, Organisation) and role != Role.OWNER.value
    ):
        fix = "owner" if isinstance(where, Organisation) else "owner, member, viewer"
        raise InvalidValue("this is no role there", field="role", fix=fix)
    joining = _joining(tx, principal, account, where)
    membership = Membership(
        id=MembershipId(new_id("membership", now_s)),
        account_id=joining.id,
        project_id=where.id if isinstance(where, Project) else None,
        organisation_id=where.id if isinstance(where, Organisation) else None,
        role=role,
    )
    return rows.insert(tx, membership, now_s)


def leaving(tx: Tx, principal: Principal, id_: str) -> Membership:
    """Return the membership that the principal may end: its own, or one about which it decides.

    Raises NotFound, Denied for one that it may only see.
    """
    found = rows.find(tx, Membership, id_)
    if found is not None:
        if found.account_id == principal.account_id or _reaches(principal, found, "membership:write"):
            return found
        if _reaches(principal, found, "membership:read"):
            raise Denied("only an owner, or whose it is, ends a membership", fix="ask an owner or an admin")
    raise NotFound(f"there is no membership '{id_}'")


def seen_by(principal: Principal, permission: str) -> Mapping[str, object] | None:
    """Return which memberships the principal sees, as column values of which one must hold; None: all."""
    reach = scope(principal, permission)
    if reach.everything:
        return None
    own = frozenset({principal.account_id} - {None})
    return {"project_id": reach.projects, "organisation_id": reach.organisations, "account_id": own}


def _place(tx: Tx, principal: Principal, project: str | None, organisation: str | None) -> Project | Organisation:
    reach = scope(principal, "membership:write")
    if (project is None) == (organisation is None):
        raise InvalidValue("a role is in a project or in an organisation", field="project", fix="name one of the two")
    if project is not None:
        place = tenancy.known_project(tx, project)
        if not reach.everything and place.id not in reach.visible:
            raise InvalidValue(
                f"there is no project '{project}'", field="project", fix="ORGANISATION/PROJECT, or its id"
            )
        if not reach.everything and place.id not in reach.projects:
            raise Denied("only an owner of the project decides who works in it", fix="ask one")
        return place
    owner = rows.first(tx, Organisation, name=organisation) or rows.find(tx, Organisation, organisation)
    if owner is None or not (reach.everything or owner.id in reach.organisations):
        fix = "an organisation that you own"
        raise InvalidValue(f"there is no organisation '{organisation}'", field="organisation", fix=fix)
    return owner


def _joining(tx: Tx, principal: Principal, reference: str, where: Project | Organisation) -> Account:
    found = rows.find(tx, Account, reference) or rows.first(tx, Account, path=reference, kind=AccountKind.USER)
    if found is None or not _may_take_in(tx, principal, found, where):
        raise InvalidValue(
            f"there is no account '{reference}'", field="account", fix="a user's name, or an account's id"
        )
    return found


def _may_take_in(tx: Tx, principal: Principal, joining: Account, where: Project | Organisation) -> bool:
    if joining.project_id is None and scope(principal, "membership:write").everything:
        return True
    # Whoever runs the gateway works for nobody: an owner would learn who that is, and be told of what they do.
    is_the_gateways = bool(joining.gateway_role) or (joining.kind is AccountKind.SERVICE and joining.project_id is None)
    # Whoever owns a service account's project has its tokens: no rival lets it in, not by an admin's slip either.
    return not is_the_gateways and _organisations(tx, joining) <= {_organisation_of(where)}


def _organisations(tx: Tx, account: Account) -> set[OrganisationId]:
    projects, owned = principals.memberships_of(tx, account.id)
    named: set[ProjectId] = set(projects) | ({account.project_id} if account.project_id else set())
    return {rows.by_id(tx, Project, each).organisation_id for each in named} | set(owned)


def _organisation_of(where: Project | Organisation) -> OrganisationId:
    return where.organisation_id if isinstance(where, Project) else where.id


def _reaches(principal: Principal, found: Membership, permission: str) -> bool:
    reach = scope(principal, permission)
    return reach.everything or found.project_id in reach.projects or found.organisation_id in reach.organisations


def _gateway_role(text: str) -> str:
    able = sorted(role.value for role in GATEWAY_WIDE)
    if text and text not in able:
        raise InvalidValue("this is no role for the whole gateway", field="gateway_role", fix=", ".join(able))
    return text
