"""What each platform's account can do, as it was last proved: one row a capability, whether or not it is granted."""

from enum import StrEnum

from sqlalchemy import String, UniqueConstraint
from sqlmodel import Field

from catalog.model.ids import PlatformId
from catalog.model.rows import Row, enum_column


class RightState(StrEnum):
    """Whether the account has a right, and whether anybody has been asked to grant it."""

    HELD = "held"  # and its owner was asked, whatever the answer was
    PROPOSED = "proposed"  # held, and nobody has been asked yet
    LOST = "lost"  # once held
    ABSENT = "absent"  # never held yet


class Right(Row, table=True):
    """One capability of one platform's account."""

    __tablename__ = "account_right"
    __table_args__ = (UniqueConstraint("platform_id", "capability"),)

    id: int | None = Field(default=None, primary_key=True)
    platform_id: PlatformId = Field(foreign_key="platform.id", sa_type=String, index=True)
    capability: str
    state: RightState = enum_column(RightState, index=True)
    request: str  # how it was proved, such as "DryRun RunInstances"
    request_id: str = ""  # the cloud's own, where it gives one
    detail: str = ""
    proved_at_s: float
