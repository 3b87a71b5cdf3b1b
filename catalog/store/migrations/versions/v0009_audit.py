"""Who did what is kept in a chained log, and its end is signed now and then."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import BIG, create_table

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and the end of the empty log."""
    create_table(
        "audit_record",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
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
    create_table(
        "audit_checkpoint",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
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
