"""Changing the CHECK of a column that holds one of some words: for migrations only."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


def allow(table: str, constraint: str, column: str, before: Sequence[str], after: Sequence[str]) -> None:
    """Replace the words that ``column`` may hold; ``constraint`` is the name of its CHECK, the enum's in lower case.

    On SQLite other tables may refer to ``table``, so that it cannot be made anew with foreign keys on; a check does not
    affect what is stored, and for such SQLite describes exactly this: edit the table's text and count the schema's
    version up. Raises ValueError when the check is not there as described.
    """
    if op.get_bind().dialect.name == "sqlite":
        _edit(table, f"{column} IN ({_words(before)})", f"{column} IN ({_words(after)})")
        return
    op.drop_constraint(constraint, table, type_="check")
    op.create_check_constraint(constraint, table, f"{column} IN ({_words(after)})")


def _edit(table: str, before: str, after: str) -> None:
    bind = op.get_bind()
    version = int(bind.execute(sa.text("PRAGMA schema_version")).scalar_one())
    held = bind.execute(sa.text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": table}).scalar_one()
    if held.count(before) != 1:
        raise ValueError(f"the table {table} does not hold the check {before}")
    bind.execute(sa.text("PRAGMA writable_schema = ON"))
    bind.execute(
        sa.text("UPDATE sqlite_master SET sql = :sql WHERE name = :name"),
        {"sql": held.replace(before, after), "name": table},
    )
    bind.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))
    bind.execute(sa.text("PRAGMA writable_schema = OFF"))


def _words(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
