"""Budgets, and from when until when a machine costs its project."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import create_table

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the columns; machines that projects have by now cost from when they were made."""
    create_table(
        "budget",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("amount", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("alert_ratios", sa.JSON(), nullable=False),
        sa.Column("stops_orders", sa.Boolean(), nullable=False),
        sa.Column("unknown_hourly", sa.String(), nullable=True),
        sa.Column("alerted_month", sa.String(), nullable=False),
        sa.Column("alerted_ratio", sa.Float(), nullable=False),
    )
    for name in ("used_from_s", "used_to_s"):
        op.add_column("machine", sa.Column(name, sa.Float(), nullable=True))
    op.execute(
        "UPDATE machine SET used_from_s = created_at_s WHERE project_id IS NOT NULL AND state IN ('in-use', 'returned')"
    )
