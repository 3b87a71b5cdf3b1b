"""Who calls the gateway, as its answers tell it: organisations, projects, accounts, their tokens and sessions."""

from typing import NotRequired, TypedDict

from gateway.client.resources import Named


class Identity(TypedDict):
    """Who a token speaks for, and what it is told about the gateway."""

    role: str
    name: str
    subject: str
    gateway: NotRequired[dict[str, str]]


class Organisation(Named):
    """A company or department that owns projects."""


class Project(Named):
    """Where people browse and order; ``organisation`` is its owner's id, ``reference`` is ORGANISATION/PROJECT."""

    organisation: str
    reference: str


class Account(Named):
    """A person or a program."""

    kind: str
    project: str | None
    gateway_role: str
    enabled: bool
    has_password: bool


class Session(TypedDict):
    """A session that somebody logged in to."""

    id: str
    version: int
    account: str
    way: str
    state: str
    address: str
    agent: str
    used_at: str
    expires_at: str
    ended_at: str | None
    end_reason: str
    is_current: bool


class NewSession(TypedDict):
    """A session that began; ``token`` is its text, once."""

    id: str
    account: str
    expires_at: str
    token: str | None


class Membership(TypedDict):
    """An account's role in one project or organisation."""

    id: str
    version: int
    account: str
    project: str | None
    organisation: str | None
    role: str


class Token(Named):
    """A bearer token; its text is present in the answer that issued it and never again."""

    role: str | None  # None: it acts for ``account``
    account: str | None
    subject: str  # the project or platform it speaks for; empty for an admin
    scopes: list[str] | None
    used_at: str | None
    expires_at: str | None
    revoked_at: str | None
    token: NotRequired[str | None]


class Enrolment(TypedDict):
    """A one-time permission to enrol a platform; ``token`` is shown once."""

    id: str
    token: str | None
    expires_at: str
    platform_name: str
