"""Machines are lent: how long an order asked for, until when a machine stays, and rules for both."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import create_table

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the columns; what was ordered before has no end."""
    create_table(
        "lease_rule",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("default_s", sa.Float(), nullable=True),
        sa.Column("longest_s", sa.Float(), nullable=True),
    )
    op.add_column("machine_order", sa.Column("lease_s", sa.Float(), nullable=True))
    for name in ("lease_ends_at_s", "lease_set_at_s", "reminded_s"):
        op.add_column("machine", sa.Column(name, sa.Float(), nullable=True))
    op.create_index("ix_machine_lease_ends_at_s", "machine", ["lease_ends_at_s"])
