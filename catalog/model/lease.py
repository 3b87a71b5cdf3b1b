"""How long machines are lent where nothing else is said, and at most."""

from sqlmodel import Field

from catalog.model.rows import Row


class LeaseRule(Row, table=True):
    """The rule of one holder, in seconds; None is without an end. A holder without a row says nothing."""

    __tablename__ = "lease_rule"

    id: str = Field(primary_key=True)  # the project's or organisation's
    default_s: float | None = None
    longest_s: float | None = None
