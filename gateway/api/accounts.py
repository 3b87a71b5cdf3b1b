"""Accounts of people and programs, and the roles that they have in projects and organisations."""

from typing import Annotated, Literal

from pydantic import Field

from catalog import access, accounts, tenancy
from catalog.access import Principal
from catalog.errors import AlreadyExists, Denied, InvalidValue
from catalog.model.access import Account, AccountKind, Membership, Role
from catalog.model.tenancy import Project
from catalog.store import principals, rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Nothing, ProjectReference, Reference, Resource, absent, stamp
from gateway.api.endpoints import Call, Listing, Routes, one_of
from gateway.api.services import Wakes

routes = Routes("accounts")

GatewayRole = Literal["", "admin", "operator", "auditor"]
ACCOUNT = r"^[A-Za-z0-9][A-Za-z0-9._@+:-]{0,127}$"
AccountReference = Annotated[str, Field(pattern=ACCOUNT, max_length=128)]


class HolderIn(Body):
    """A new account. A service account of a project is its owner's to make; every other account an admin's."""

    kind: Literal["user", "service"]
    name: AccountReference = Field(description="A user logs in by it; a service account's is its project's own.")
    project: ProjectReference | None = Field(default=None, description="A service account's project, if it has one.")
    gateway_role: GatewayRole = Field(
        default="", description="What it is to the whole gateway; only an admin gives it."
    )


class HolderChange(Body):
    """What shall be different."""

    enabled: bool | None = absent()
    gateway_role: GatewayRole | None = absent()


class HolderOut(Resource):
    """A person or a program. What it may do is its role for the whole gateway and its memberships."""

    kind: str
    name: str
    project: str | None
    gateway_role: str
    enabled: bool
    has_password: bool


class MembershipIn(Body):
    """A role for an account, in a project or as owner of an organisation: then it is owner of all its projects."""

    account: AccountReference = Field(description="A user's name, or any account's id.")
    role: Literal["owner", "member", "viewer"]
    project: ProjectReference | None = None
    organisation: Reference | None = None


class MembershipOut(Resource):
    """An account's role in one place."""

    account: str
    project: str | None
    organisation: str | None
    role: str


@routes.endpoint(
    "POST",
    "/v1/accounts",
    permission="account:write",
    body=HolderIn,
    answer=HolderOut,
    status=201,
    location="/v1/accounts/{id}",
    errors=(AlreadyExists, InvalidValue),
    summary="Make an account",
)
def create_account(tx: Tx, call: Call[HolderIn]) -> HolderOut:
    """Return the new account, which has no role in any project yet."""
    wanted = call.body
    if wanted.kind == "service" and wanted.project is not None:
        project = _project(tx, call, wanted.project)
        if wanted.gateway_role:
            raise InvalidValue("a project's account has no role for all", field="gateway_role", fix="leave it out")
        return _account(accounts.create_service(tx, name=wanted.name, project=project, now_s=call.now_s))
    _require_admin(call.principal)
    if wanted.kind == "service":
        made = accounts.create_service(
            tx, name=wanted.name, project=None, gateway_role=wanted.gateway_role, now_s=call.now_s
        )
    elif wanted.project is not None:
        raise InvalidValue("a user is given a role in a project by a membership", field="project", fix="leave it out")
    else:
        made = accounts.create_user(tx, name=wanted.name, gateway_role=wanted.gateway_role, now_s=call.now_s)
    return _account(made)


@routes.plain(
    "GET",
    "/v1/accounts",
    permission="account:read",
    answer=HolderOut,
    many=True,
    filters={"kind": one_of(AccountKind, "Only of this kind.")},
    summary="List the accounts: an admin all, an owner those of the own projects",
)
def list_accounts(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of accounts."""
    where: dict[str, object] = dict(call.filters)
    if not call.scope.everything:
        where["id"] = principals.accounts_in(tx, call.scope.projects)
    found = page(tx, Account, limit=call.limit, token=call.page_token, where=where)
    return Listing(items=[_account(row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/accounts/{id}", permission="self:read", answer=HolderOut, summary="Show an account")
def get_account(tx: Tx, call: Call[Nothing]) -> HolderOut:
    """Return the account; ``me`` is the caller's own."""
    return _account(accounts.visible(tx, call.principal, call.path["id"], "account:read"))


@routes.endpoint(
    "PATCH",
    "/v1/accounts/{id}",
    permission="account:write",
    body=HolderChange,
    answer=HolderOut,
    wakes=(Wakes.PASSAGES,),
    errors=(InvalidValue,),
    summary="Disable or enable an account, or change its role for the whole gateway",
)
def change_account(tx: Tx, call: Call[HolderChange]) -> HolderOut:
    """Return the changed account. Disabled, its tokens and sessions let nobody in from now on."""
    account = accounts.visible(tx, call.principal, call.path["id"], "account:write")
    # The owner of a project decides about its own service accounts, and about people only by memberships.
    if account.project_id is None or "gateway_role" in call.body.model_fields_set:
        _require_admin(call.principal)
    call.precondition.check(account)
    return _account(accounts.change(tx, account, call.body.model_dump(exclude_unset=True), call.now_s))


@routes.endpoint(
    "POST",
    "/v1/memberships",
    permission="membership:write",
    body=MembershipIn,
    answer=MembershipOut,
    status=201,
    errors=(AlreadyExists, InvalidValue),
    summary="Give an account a role in a project or an organisation",
)
def create_membership(tx: Tx, call: Call[MembershipIn]) -> MembershipOut:
    """Return the new membership, which counts from the account's next call on."""
    wanted = call.body
    made = accounts.join(
        tx,
        call.principal,
        account=wanted.account,
        role=wanted.role,
        project=wanted.project,
        organisation=wanted.organisation,
        now_s=call.now_s,
    )
    return _membership(made)


@routes.plain(
    "GET",
    "/v1/memberships",
    permission="self:read",
    answer=MembershipOut,
    many=True,
    filters={"project": "Only this project's."},
    summary="List who has which role where: everybody the own, an owner those in the own projects, an admin all",
)
def list_memberships(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of memberships."""
    where: dict[str, object] = {}
    if "project" in call.filters:
        reach = access.scope(call.principal, "membership:read")
        where["project_id"] = tenancy.visible_project(tx, reach, call.filters["project"]).id
    seen = accounts.seen_by(call.principal, "membership:read")
    found = page(tx, Membership, limit=call.limit, token=call.page_token, where=where, either=seen)
    return Listing(items=[_membership(row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "DELETE",
    "/v1/memberships/{id}",
    permission="self:write",
    status=204,
    summary="Take an account's role in a project or an organisation, at once; anybody may give up the own",
)
def remove_membership(tx: Tx, call: Call[Nothing]) -> None:
    """Remove the membership; one of somebody else needs membership:write too."""
    found = accounts.leaving(tx, call.principal, call.path["id"])
    call.precondition.check(found)
    rows.delete(tx, found)


def _project(tx: Tx, call: Call[HolderIn], reference: str) -> Project:
    if call.scope.everything:
        return tenancy.known_project(tx, reference)
    return rows.by_id(tx, Project, tenancy.working_project(tx, call.principal, call.permission, reference))


def _require_admin(principal: Principal) -> None:
    if principal.role is not Role.ADMIN:
        raise Denied("only an admin decides about people and gateway-wide roles", fix="ask an admin")


def _account(row: Account) -> HolderOut:
    return HolderOut(
        **stamp(row),
        kind=row.kind.value,
        name=row.name,
        project=row.project_id,
        gateway_role=row.gateway_role,
        enabled=row.enabled,
        has_password=bool(row.password),
    )


def _membership(row: Membership) -> MembershipOut:
    return MembershipOut(
        **stamp(row),
        account=row.account_id,
        project=row.project_id,
        organisation=row.organisation_id,
        role=row.role,
    )
