"""Who may come in: accounts with their roles, tokens, log-ins, one-time enrolment tokens. Only digests are kept."""

from enum import StrEnum

from sqlalchemy import JSON, Column, String, UniqueConstraint
from sqlmodel import Field

from catalog.model.ids import AccountId, LoginId, MembershipId, OrganisationId, ProjectId, TokenId
from catalog.model.rows import Row, enum_column, json_column, optional_enum_column

ADMIN_KEY = "admin"  # under which the deeds of all admins' own tokens are kept
_ACCOUNT_KEY = "account:"


def account_key(account_id: str) -> str:
    """Return under which key the deeds of this account are kept."""
    return f"{_ACCOUNT_KEY}{account_id}"


def account_of_key(key: str) -> AccountId | None:
    """Return the account whose deeds are kept under ``key``, None when they are no account's."""
    return AccountId(key.removeprefix(_ACCOUNT_KEY)) if key.startswith(_ACCOUNT_KEY) else None


class Role(StrEnum):
    """What somebody is to the gateway, or in one project; what each may do stands in ``catalog.access``."""

    ADMIN = "admin"
    OPERATOR = "operator"  # runs connections, network and pools; lets nobody in
    AUDITOR = "auditor"  # reads everything and changes nothing
    PLATFORM = "platform"
    OWNER = "owner"  # of a project: a member who decides who else is one
    MEMBER = "member"
    VIEWER = "viewer"
    GUEST = "guest"  # an account that has no role anywhere; never stored


class AccountKind(StrEnum):
    """Who acts under an account."""

    USER = "user"
    SERVICE = "service"


class Account(Row, table=True):
    """A person or a program. What it may do is its ``gateway_role`` and its memberships, asked anew at each call.

    A user logs in as ``name``; a service account is called ``name`` within the project that owns it, or within the
    gateway, and has tokens alone. ``path`` makes both unique.
    """

    id: AccountId = Field(primary_key=True, sa_type=String)
    kind: AccountKind = enum_column(AccountKind)
    name: str
    path: str = Field(unique=True)  # a user's name, a service account's ORGANISATION/PROJECT/NAME by ids
    project_id: ProjectId | None = Field(default=None, foreign_key="project.id", sa_type=String, index=True)
    gateway_role: str = ""  # admin, operator, auditor or none
    enabled: bool = True
    password: str = ""  # an Argon2 hash; empty: no log-in by password
    password_at_s: float | None = None
    external_id: str | None = Field(default=None, unique=True)  # "ISSUER SUBJECT" at an identity provider


class Membership(Row, table=True):
    """An account's role in one project, or in an organisation: there it is owner, which is owner of each project."""

    __table_args__ = (UniqueConstraint("account_id", "project_id"), UniqueConstraint("account_id", "organisation_id"))

    id: MembershipId = Field(primary_key=True, sa_type=String)
    account_id: AccountId = Field(foreign_key="account.id", sa_type=String, index=True)
    project_id: ProjectId | None = Field(default=None, foreign_key="project.id", sa_type=String, index=True)
    organisation_id: OrganisationId | None = Field(
        default=None, foreign_key="organisation.id", sa_type=String, index=True
    )
    role: str  # owner, member or viewer


class Token(Row, table=True):
    """A bearer token: ``digest`` is the SHA-256 of its text, which is shown once and never stored.

    It either has a ``role`` of its own, or acts for an account with whatever that may do now. ``scopes`` narrows
    either to these permissions.
    """

    id: TokenId = Field(primary_key=True, sa_type=String)
    digest: str = Field(unique=True)
    role: Role | None = optional_enum_column(Role)
    name: str
    subject_id: str = ""  # the project or platform that it speaks for; empty for an admin or an account
    account_id: AccountId | None = Field(default=None, foreign_key="account.id", sa_type=String, index=True)
    issued_by: str = ""  # whoever is behind it: see catalog.tokens.behind; empty: nobody knows
    scopes: list[str] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    expires_at_s: float | None = None
    revoked_at_s: float | None = None
    used_at_s: float | None = None  # about: written once a minute, see catalog.last_used


class Login(Row, table=True):
    """A session that somebody logged in to: its text is random and known to the caller alone.

    It ends at ``expires_at_s`` whatever happens, and ``idle_s`` after it was last used (``used_at_s`` is about then).
    """

    id: LoginId = Field(primary_key=True, sa_type=String)
    digest: str = Field(unique=True)
    account_id: AccountId = Field(foreign_key="account.id", sa_type=String, index=True)
    way: str  # "password" or "oidc"
    address: str = ""
    agent: str = ""
    used_at_s: float
    idle_s: float
    expires_at_s: float
    ended_at_s: float | None = None
    end_reason: str = ""


class Enrolment(Row, table=True):
    """A one-time permission for one platform to enrol, with the endpoints that an admin approved for it.

    ``endpoints`` is a list of {"purpose", "url", "dial", "dials_from", "ca_pem"}.
    """

    id: TokenId = Field(primary_key=True, sa_type=String)
    digest: str = Field(unique=True)
    platform_name: str
    endpoints: list[dict[str, object]] = json_column(list)
    expires_at_s: float
    used_at_s: float | None = None


class UsedNonce(Row, table=True):
    """The nonce of a signed request that was taken: the same request is not taken again before it is stale."""

    __tablename__ = "used_nonce"

    id: str = Field(primary_key=True)  # the nonce
    expires_at_s: float
