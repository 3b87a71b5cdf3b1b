"""Principals: tokens and one-time enrolment tokens. Only digests of tokens are kept."""

from enum import StrEnum

from sqlalchemy import String
from sqlmodel import Field

from catalog.model.ids import TokenId
from catalog.model.rows import Row, enum_column, json_column


class Role(StrEnum):
    """What a token may be used as."""

    ADMIN = "admin"
    MEMBER = "member"  # of one project, in which it browses and orders
    PLATFORM = "platform"


class Token(Row, table=True):
    """A bearer token: ``digest`` is the SHA-256 of its text, which is shown once and never stored."""

    id: TokenId = Field(primary_key=True, sa_type=String)
    digest: str = Field(unique=True)
    role: Role = enum_column(Role)
    name: str
    subject_id: str = ""  # the project or platform that it speaks for; empty for an admin
    expires_at_s: float | None = None
    revoked_at_s: float | None = None


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
