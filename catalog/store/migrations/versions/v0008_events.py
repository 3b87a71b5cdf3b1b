"""What happens is told in one ordered log; logs know their end."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import BIG, create_table

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and the end of the empty log."""
    create_table(
        "event",
        sa.Column("seq", BIG, primary_key=True, autoincrement=False),
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
    head = create_table(
        "log_head",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
    )
    begun = {"version": 1, "created_at_s": 0.0, "updated_at_s": 0.0, "seq": 0, "digest": ""}
    op.bulk_insert(head, [{"name": "events", **begun}])
