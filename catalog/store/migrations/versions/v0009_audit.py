"""Who did what is kept in a chained log, and its end is signed now and then."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
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
        "audit_record",
        *_row(),
        sa.Column("id", _BIG, primary_key=True, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("actor_name", sa.String(), nullable=False),
        sa.Column("token_id", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("via", sa.JSON(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
    )
    for name in ("actor", "action", "subject"):
        op.create_index(f"ix_audit_record_{name}", "audit_record", [name])
    op.create_table(
        "audit_checkpoint",
        *_row(),
        sa.Column("id", _BIG, primary_key=True, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
    )
    head = sa.table(
        "log_head",
        *(sa.column(name) for name in ("version", "created_at_s", "updated_at_s", "name", "seq", "digest")),
    )
    begun = {"version": 1, "created_at_s": 0.0, "updated_at_s": 0.0, "seq": 0, "digest": ""}
    op.bulk_insert(head, [{"name": "audit", **begun}])
