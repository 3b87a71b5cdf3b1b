"""The tokens by which everybody calls; a token's text is shown once, in the answer that makes it.

A token acts for an account, with whatever that may do at each use, or has a role of its own. Everybody makes, lists and
revokes the own account's, an owner those of the project's service accounts, an admin all.
"""

from typing import Annotated, Literal

from pydantic import Field

from catalog import access, accounts, naming, tenancy, tokens
from catalog.access import Principal
from catalog.errors import Denied, InvalidValue, NotFound, WrongState
from catalog.model.access import Account, Role, Token
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from catalog.tokens import issue_account_token, issue_token
from gateway.api.accounts import AccountReference
from gateway.api.bodies import Body, Lifetime, Nothing, ProjectReference, Reference, Resource, Time, Word, stamp
from gateway.api.dispatch import SHOWN_ONCE
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.services import Wakes

routes = Routes("tokens")

_IN_PROJECT = frozenset({"owner", "member", "viewer"})
Permission = Annotated[str, Field(pattern=r"^[a-z-]+:[a-z-]+$", max_length=64)]


class TokenIn(Body):
    """A new token, for an account or with a role of its own (an admin's to give).

    A platform gets its first when it enrols, and one from here when that is lost.
    """

    name: Word = Field(description="What it is for, in words.")
    account: AccountReference | None = Field(
        default=None, description="Id or user's name; without it and without a role, the caller's own."
    )
    role: Literal["admin", "operator", "auditor", "owner", "member", "viewer", "platform"] | None = None
    project: ProjectReference | None = Field(
        default=None, description="`ORG/PROJECT` or id; required for the roles owner, member and viewer."
    )
    platform: Reference | None = Field(default=None, description="Name or id; required for role platform.")
    scopes: Annotated[list[Permission], Field(max_length=100)] | None = Field(
        default=None, description="Permissions that it is limited to; absent: all that its holder has, at each use."
    )
    ttl_s: Lifetime | None = Field(default=None, description="Seconds until it expires; absent: until revoked.")


class TokenOut(Resource):
    """A token without its text."""

    role: str | None = Field(description="Its own role; null when it acts for an account.")
    account: str | None
    name: str
    subject: str = Field(description="The project or platform that it speaks for; else empty.")
    scopes: list[str] | None
    expires_at: Time | None
    revoked_at: Time | None
    used_at: Time | None = Field(description="When it was last used, to the minute.")


class NewTokenOut(TokenOut):
    """A token with its text."""

    token: str | None = Field(
        description="Shown once; null when the request is repeated.", json_schema_extra=SHOWN_ONCE
    )


@routes.endpoint(
    "POST",
    "/v1/tokens",
    permission="self:write",
    body=TokenIn,
    answer=NewTokenOut,
    status=201,
    errors=(InvalidValue, WrongState, NotFound),
    summary="Issue a token",
)
def create_token(tx: Tx, call: Call[TokenIn]) -> NewTokenOut:
    """Return the new token with its text. Tokens that there are stay as they are."""
    row, text = _with_role(tx, call) if call.body.role else _for_account(tx, call)
    return NewTokenOut(**dict(_token(call, row)), token=text)


@routes.plain("GET", "/v1/tokens", permission="self:read", answer=TokenOut, many=True, summary="List the tokens")
def list_tokens(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of tokens, revoked ones included: who may read all sees all, everybody the own account's."""
    where: dict[str, object] = {}
    if not access.may(call.principal, "token:read"):
        where["account_id"] = frozenset({call.principal.account_id or ""})
    found = page(tx, Token, limit=call.limit, token=call.page_token, where=where)
    return Listing(items=[_token(call, row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "GET",
    "/v1/accounts/{id}/tokens",
    permission="self:read",
    answer=TokenOut,
    many=True,
    summary="List an account's tokens",
)
def list_account_tokens(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of its tokens, revoked ones included."""
    account = _steered(tx, call, call.path["id"], "account:read")
    found = page(tx, Token, limit=call.limit, token=call.page_token, where={"account_id": account.id})
    return Listing(items=[_token(call, row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "DELETE",
    "/v1/tokens/{id}",
    permission="self:write",
    status=204,
    wakes=(Wakes.PASSAGES,),
    summary="Revoke a token at once; the passages that it opened end",
)
def revoke_token(tx: Tx, call: Call[Nothing]) -> None:
    """Make the token worthless; it stays listed."""
    row = rows.find(tx, Token, call.path["id"])
    if row is None or not _may_revoke(tx, call, row):
        raise NotFound(f"there is no token '{call.path['id']}'")
    call.precondition.check(row)
    tokens.revoke_token(tx, row.id, call.now_s)


def _with_role(tx: Tx, call: Call[TokenIn]) -> tuple[Token, str]:
    access.require(call.principal, "token:write")
    wanted = call.body
    if wanted.account is not None:
        raise InvalidValue("a token acts for an account or has a role of its own", field="account", fix="leave one out")
    return issue_token(
        tx,
        role=Role(wanted.role or ""),
        name=wanted.name,
        subject_id=_subject(tx, wanted),
        ttl_s=wanted.ttl_s,
        scopes=_within(call.principal, wanted.scopes),
        now_s=call.now_s,
    )


def _for_account(tx: Tx, call: Call[TokenIn]) -> tuple[Token, str]:
    wanted, who = call.body, call.principal
    _refuse("an account", project=wanted.project, platform=wanted.platform)
    if wanted.account is None and who.account_id is None:
        raise InvalidValue("this token acts for no account", field="account", fix="name the account, or a role")
    account = _steered(tx, call, wanted.account or accounts.ME, "account:write")
    scopes = _within(who, wanted.scopes)
    return issue_account_token(
        tx,
        account,
        name=wanted.name,
        ttl_s=wanted.ttl_s,
        scopes=scopes,
        issued_by=tokens.behind(tx, who.key, who.token_id),
        now_s=call.now_s,
    )


def _within(who: Principal, scopes: list[str] | None) -> list[str] | None:
    """Return the scopes of a new token: whoever's it is, a limited token makes none that may do more than itself."""
    if who.scopes is None:
        return scopes
    wanted = sorted(who.scopes) if scopes is None else scopes
    if not who.scopes.issuperset(wanted):
        raise Denied("a limited token makes none that may do more", fix="scopes among its own")
    return wanted


def _steered(tx: Tx, call: Call[TokenIn] | Call[Nothing], reference: str, permission: str) -> Account:
    """Return the account if the caller may have its tokens: the own, a service account of an own project, an admin's.

    Not a person's for the owner of a project: their tokens may do more than what they are in this one project.
    """
    account = accounts.visible(tx, call.principal, reference, permission)
    mine = account.id == call.principal.account_id
    if not mine and account.project_id is None and not access.scope(call.principal, permission).everything:
        raise Denied("a person's tokens are the person's own", fix="make a service account")
    return account


def _may_revoke(tx: Tx, call: Call[Nothing], row: Token) -> bool:
    if access.may(call.principal, "token:write"):
        return True
    if row.account_id is None:
        return row.id == call.principal.token_id
    account = rows.by_id(tx, Account, row.account_id)
    mine = account.id == call.principal.account_id
    return mine or (
        account.project_id is not None and accounts.may_decide(tx, call.principal, account, "account:write")
    )


def _subject(tx: Tx, body: TokenIn) -> str:
    if body.role in _IN_PROJECT:
        _refuse(f"role {body.role}", platform=body.platform)
        return tenancy.known_project(tx, _named(body.project, "project")).id
    if body.role == "platform":
        _refuse(f"role {body.role}", project=body.project)
        platform = naming.known(tx, Platform, _named(body.platform, "platform"), field="platform")
        if not platform.enabled:
            raise WrongState(f"platform '{platform.name}' is retired", field="platform", fix="enrol another")
        return platform.id
    _refuse(f"role {body.role}", project=body.project, platform=body.platform)
    return ""


def _refuse(whose: str, **named: str | None) -> None:
    for kind, text in named.items():
        if text is not None:
            raise InvalidValue(f"a token of {whose} speaks for no {kind}", field=kind, fix="leave it out")


def _named(text: str | None, field: str) -> str:
    if text is None:
        raise InvalidValue(f"such a token names its {field}", field=field, fix=f"the {field}'s name or id")
    return text


def _token(call: Call[TokenIn] | Call[Nothing], row: Token) -> TokenOut:
    return TokenOut(
        **stamp(row),
        role=None if row.role is None else row.role.value,
        account=row.account_id,
        name=row.name,
        subject=row.subject_id,
        scopes=row.scopes,
        expires_at=row.expires_at_s,
        revoked_at=row.revoked_at_s,
        used_at=call.services.last_used.of(row.id, row.used_at_s),
    )
