"""What happens is told in one ordered log; logs know their end."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# 2 thousand million are soon reached by what is counted for ever; SQLite's integers are as large as they need to be.
_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _row() -> list["sa.Column[object]"]:
    return [
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at_s", sa.Float(), nullable=False),
        sa.Column("updated_at_s", sa.Float(), nullable=False),
    ]


def upgrade() -> None:
    """Make the tables, and the end of the empty log."""
    op.create_table(
        "event",
        *_row(),
        sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=True),
        sa.Column("partner_id", sa.String(), nullable=True),
        sa.Column("tenant_id", sa.String(), nullable=True),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
    )
    for name in ("kind", "subject_id", "platform_id", "partner_id", "tenant_id", "at_s"):
        op.create_index(f"ix_event_{name}", "event", [name])
    head = op.create_table(
        "log_head",
        *_row(),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("seq", _BIG, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
    )
    begun = {"version": 1, "created_at_s": 0.0, "updated_at_s": 0.0, "seq": 0, "digest": ""}
    op.bulk_insert(head, [{"name": "events", **begun}])
