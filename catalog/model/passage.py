"""A passage: one person's or program's own way through the gateway into a platform, for a while and within its grants.

An ``http`` passage takes many calls of the platform's own API, a ``stream`` passage is one stream of bytes. The row is
what remains of it; what a passage may do is asked anew at every call.
"""

from enum import StrEnum

from sqlalchemy import String
from sqlmodel import Field

from catalog.model.ids import ConnectionId, PassageId, PlatformId, TokenId
from catalog.model.rows import BIG, Row, enum_column


class PassageKind(StrEnum):
    """What goes through: calls of the platform's own API, or one stream."""

    HTTP = "http"
    STREAM = "stream"


class Passage(Row, table=True):
    """Who passes, over which connection, for what, and how much went through; open while ``ended_at_s`` is None."""

    id: PassageId = Field(primary_key=True, sa_type=String)
    # Not a foreign key: a caller that proves itself by a key of its own (a connector) has no token.
    token_id: TokenId | None = Field(default=None, sa_type=String, index=True)
    principal: str = Field(index=True)  # "admin", or "platform:" and its id: whoever may see and close it
    principal_name: str = ""
    platform_id: PlatformId = Field(foreign_key="platform.id", sa_type=String, index=True)
    connection_id: ConnectionId = Field(foreign_key="connection.id", sa_type=String, index=True)
    kind: PassageKind = enum_column(PassageKind)
    purpose: str  # in words: the program's name, or host:port
    opened_at_s: float
    expires_at_s: float
    ended_at_s: float | None = Field(default=None, index=True)
    end_reason: str = ""
    calls: int = Field(default=0, sa_type=BIG)
    bytes_in: int = Field(default=0, sa_type=BIG)  # from the caller towards the platform
    bytes_out: int = Field(default=0, sa_type=BIG)  # from the platform towards the caller


class PassageCall(Row, table=True):
    """One call in an ``http`` passage: who (by the passage), what, and how it was answered. Never bodies or secrets."""

    __tablename__ = "passage_call"

    id: int | None = Field(default=None, primary_key=True)
    passage_id: PassageId = Field(foreign_key="passage.id", sa_type=String, index=True)
    what: str  # in the platform's own words, such as "compute GET /servers/detail" or "ec2 DescribeInstances"
    capability: str = ""  # with the verb it needed, such as "machine:list"; empty when no grant speaks of it
    refused: bool = False  # by the gateway: nothing was sent to the platform
    status: int | None = None  # None while under way, or when there was no answer
    at_s: float
