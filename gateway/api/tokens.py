"""The tokens by which everybody calls; a token's text is shown once, in the answer that makes it."""

from typing import Literal

from pydantic import Field

from catalog import access, naming, tenancy
from catalog.errors import InvalidValue, WrongState
from catalog.model.access import Role, Token
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Lifetime, Nothing, ProjectReference, Reference, Resource, Time, Word, stamp
from gateway.api.dispatch import SHOWN_ONCE
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.services import Wakes

routes = Routes("tokens")


class TokenIn(Body):
    """A new token. A platform gets its first when it enrols, and one from here when that is lost."""

    role: Literal["admin", "member", "platform"]
    name: Word = Field(description="What it is for, in words.")
    project: ProjectReference | None = Field(default=None, description="`ORG/PROJECT` or id; required for role member.")
    platform: Reference | None = Field(default=None, description="Name or id; required for role platform.")
    ttl_s: Lifetime | None = Field(default=None, description="Seconds until it expires; absent: until revoked.")


class TokenOut(Resource):
    """A token without its text."""

    role: str
    name: str
    subject: str = Field(description="The project or platform that it speaks for; empty for an admin.")
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
    """Return the new token with its text. Tokens of the same platform or project stay as they are."""
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
    match body.role:
        case "admin":
            _refuse(body, project=body.project, platform=body.platform)
            return ""
        case "member":
            _refuse(body, platform=body.platform)
            return tenancy.known_project(tx, _named(body.project, "project")).id
        case "platform":
            _refuse(body, project=body.project)
            platform = naming.known(tx, Platform, _named(body.platform, "platform"), field="platform")
            if not platform.enabled:
                raise WrongState(f"platform '{platform.name}' is retired", field="platform", fix="enrol another")
            return platform.id


def _refuse(body: TokenIn, **named: str | None) -> None:
    for kind, text in named.items():
        if text is not None:
            raise InvalidValue(f"a token of role {body.role} speaks for no {kind}", field=kind, fix="leave it out")


def _named(text: str | None, field: str) -> str:
    if text is None:
        raise InvalidValue(f"such a token names its {field}", field=field, fix=f"the {field}'s name or id")
    return text


def _token(row: Token) -> TokenOut:
    return TokenOut(
        **stamp(row),
        role=row.role.value,
        name=row.name,
        subject=row.subject_id,
        expires_at=row.expires_at_s,
        revoked_at=row.revoked_at_s,
    )
