"""What every row shares: epoch-second times, a version for optimistic locking, JSON columns.

Times are floats in seconds since the Unix epoch (UTC): SQLite forgets time zones, a number has none to forget.
"""

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Enum, Integer
from sqlmodel import Field, SQLModel

# For what is counted for ever: 2 thousand million are soon reached. SQLite's integers are as large as they need to be.
BIG = BigInteger().with_variant(Integer(), "sqlite")


class Row(SQLModel):
    """The base of every table: when it was made, when it last changed, and how often (``version``)."""

    version: int = 1
    created_at_s: float = 0.0
    updated_at_s: float = 0.0


def json_column(default: Any = dict) -> Any:
    """Return a field that keeps a JSON document; assign a new value to change it, never mutate in place."""
    return Field(default_factory=default, sa_column=Column(JSON, nullable=False))


def enum_column(kind: type[StrEnum], default: StrEnum | None = None, *, index: bool = False) -> Any:
    """Return a field that keeps a member of ``kind`` by its value, with a CHECK that refuses anything else.

    Text and CHECK rather than a native enum: PostgreSQL's are painful to extend.
    """
    column = _enum(kind, nullable=False, index=index)
    return Field(sa_column=column) if default is None else Field(default=default, sa_column=column)


def optional_enum_column(kind: type[StrEnum]) -> Any:
    """Return the same, where there may be none."""
    return Field(default=None, sa_column=_enum(kind, nullable=True, index=False))


def _enum(kind: type[StrEnum], *, nullable: bool, index: bool) -> Column[Any]:
    return Column(
        Enum(
            kind,
            native_enum=False,
            create_constraint=True,
            length=32,
            values_callable=lambda members: [m.value for m in members],
        ),
        nullable=nullable,
        index=index,
    )
