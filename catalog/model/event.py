"""The event log: what happened to the things that people follow, each once and in one order."""

from enum import StrEnum
from typing import Any

from sqlalchemy import String
from sqlmodel import Field

from catalog.model.ids import PlatformId, ProjectId
from catalog.model.rows import BIG, Row, json_column


class Audience(StrEnum):
    """Whose view of the log it is."""

    GATEWAY = "gateway"  # all there is
    PLATFORM = "platform"
    PROJECT = "project"


class Event(Row, table=True):
    """One thing that happened, never changed; whom it concerns is who may read it, beside admins."""

    seq: int = Field(primary_key=True, sa_type=BIG, sa_column_kwargs={"autoincrement": False})
    kind: str = Field(index=True)  # the noun and where it now stands, such as "order.fulfilled"
    subject_id: str = Field(index=True)
    platform_id: PlatformId | None = Field(default=None, sa_type=String, index=True)
    partner_id: PlatformId | None = Field(default=None, sa_type=String, index=True)  # the other platform, of two
    project_id: ProjectId | None = Field(default=None, sa_type=String, index=True)
    at_s: float = Field(index=True)
    data: dict[str, Any] = json_column()  # what a reader wants to know at once; never a secret


class LogHead(Row, table=True):
    """The end of a log: its newest number, and the newest digest where the log is chained.

    A transaction that writes to the log takes its number here and thereby holds the row until it commits. So numbers
    are given in the order of commits and none is given twice or left out: no reader sees 7 and later 6. A sequence
    of the database's own would promise neither, for it numbers before the commit and keeps what was rolled back.
    """

    __tablename__ = "log_head"

    name: str = Field(primary_key=True)
    seq: int = Field(default=0, sa_type=BIG)
    digest: str = ""
