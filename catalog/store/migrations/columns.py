"""What the tables of migrations are made of, again and again: for migrations only, and never changed in effect."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

# For what is counted for ever: 2 thousand million are soon reached. SQLite's integers are as large as they need to be.
BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def create_table(name: str, *parts: sa.Column[Any] | sa.Constraint) -> sa.Table:
    """Create a table with what every row has, and ``parts``; return it, to be filled."""
    stamps = (
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at_s", sa.Float(), nullable=False),
        sa.Column("updated_at_s", sa.Float(), nullable=False),
    )
    return op.create_table(name, *stamps, *parts)


def one_of(name: str, *words: str) -> sa.Enum:
    """Return the type of a column that holds one of ``words``, by a CHECK called ``name``."""
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=32)
