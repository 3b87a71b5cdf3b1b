"""Tenants and the tokens by which everybody calls; a token's text is shown once, in the answer that makes it."""

from typing import Literal, TypeVar

from pydantic import Field

from catalog import access, naming
from catalog.errors import AlreadyExists, InvalidValue, WrongState
from catalog.model.access import Role, Tenant, Token
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Lifetime, Name, Nothing, Reference, Resource, Time, Word, stamp
from gateway.api.dispatch import SHOWN_ONCE
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.services import Wakes

routes = Routes("tokens")

K = TypeVar("K", Tenant, Platform)


class TenantIn(Body):
    """A new tenant."""

    name: Name


class TenantOut(Resource):
    """Somebody who browses and orders."""

    name: str


@routes.endpoint(
    "POST",
    "/v1/tenants",
    permission="tenant:write",
    body=TenantIn,
    answer=TenantOut,
    status=201,
    location="/v1/tenants/{id}",
    errors=(AlreadyExists,),
    summary="Make a tenant",
)
def create_tenant(tx: Tx, call: Call[TenantIn]) -> TenantOut:
    """Return the new tenant."""
    return _tenant(access.create_tenant(tx, name=call.body.name, now_s=call.now_s))


@routes.plain("GET", "/v1/tenants", permission="tenant:read", answer=TenantOut, many=True, summary="List the tenants")
def list_tenants(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of tenants."""
    found = page(tx, Tenant, limit=call.limit, token=call.page_token)
    return Listing(items=[_tenant(row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/tenants/{ref}", permission="tenant:read", answer=TenantOut, summary="Show a tenant")
def get_tenant(tx: Tx, call: Call[Nothing]) -> TenantOut:
    """Return the tenant with this name or id."""
    return _tenant(rows.by_name_or_id(tx, Tenant, call.path["ref"]))


def _tenant(row: Tenant) -> TenantOut:
    return TenantOut(**stamp(row), name=row.name)


class TokenIn(Body):
    """A new token. A platform gets its first when it enrols, and one from here when that is lost."""

    role: Literal["admin", "tenant", "platform"]
    name: Word = Field(description="What it is for, in words.")
    tenant: Reference | None = Field(default=None, description="Name or id; required for role tenant.")
    platform: Reference | None = Field(default=None, description="Name or id; required for role platform.")
    ttl_s: Lifetime | None = Field(default=None, description="Seconds until it expires; absent: until revoked.")


class TokenOut(Resource):
    """A token without its text."""

    role: str
    name: str
    subject: str = Field(description="The tenant or platform that it speaks for; empty for an admin.")
    expires_at: Time | None
    revoked_at: Time | None


class NewTokenOut(TokenOut):
    """A token with its text."""

    token: str | None = Field(
        description="Shown once; null when the request is repeated.", json_schema_extra=SHOWN_ONCE
    )


@routes.endpoint(
    "POST",
    "/v1/tokens",
    permission="token:write",
    body=TokenIn,
    answer=NewTokenOut,
    status=201,
    errors=(InvalidValue, WrongState),
    summary="Issue a token",
)
def create_token(tx: Tx, call: Call[TokenIn]) -> NewTokenOut:
    """Return the new token with its text. Tokens of the same platform or tenant stay as they are."""
    role, subject = Role(call.body.role), _subject(tx, call.body)
    row, text = access.issue_token(
        tx, role=role, name=call.body.name, subject_id=subject, ttl_s=call.body.ttl_s, now_s=call.now_s
    )
    return NewTokenOut(**dict(_token(row)), token=text)


@routes.plain("GET", "/v1/tokens", permission="token:read", answer=TokenOut, many=True, summary="List the tokens")
def list_tokens(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of tokens, revoked ones included."""
    found = page(tx, Token, limit=call.limit, token=call.page_token)
    return Listing(items=[_token(row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "DELETE",
    "/v1/tokens/{id}",
    permission="token:write",
    status=204,
    wakes=(Wakes.PASSAGES,),
    summary="Revoke a token at once; the passages that it opened end",
)
def revoke_token(tx: Tx, call: Call[Nothing]) -> None:
    """Make the token worthless; it stays listed."""
    call.precondition.check(rows.by_id(tx, Token, call.path["id"]))
    access.revoke_token(tx, call.path["id"], call.now_s)


def _subject(tx: Tx, body: TokenIn) -> str:
    named = {"tenant": body.tenant, "platform": body.platform}
    for kind, text in named.items():
        if text is not None and kind != body.role:
            raise InvalidValue(f"a token of role {body.role} speaks for no {kind}", field=kind, fix="leave it out")
    match body.role:
        case "admin":
            return ""
        case "tenant":
            return _named(tx, Tenant, body.tenant, "tenant").id
        case "platform":
            platform = _named(tx, Platform, body.platform, "platform")
            if not platform.enabled:
                raise WrongState(f"platform '{platform.name}' is retired", field="platform", fix="enrol another")
            return platform.id


def _named(tx: Tx, kind: type[K], text: str | None, field: str) -> K:
    if text is None:
        raise InvalidValue(f"a {field}'s token names its {field}", field=field, fix=f"the {field}'s name or id")
    return naming.known(tx, kind, text, field=field)


def _token(row: Token) -> TokenOut:
    return TokenOut(
        **stamp(row),
        role=row.role.value,
        name=row.name,
        subject=row.subject_id,
        expires_at=row.expires_at_s,
        revoked_at=row.revoked_at_s,
    )
