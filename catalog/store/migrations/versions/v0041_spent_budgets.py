"""Budgets may stop machines."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; no budget that is there stops machines."""
    op.add_column("budget", sa.Column("stops_machines", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("budget", sa.Column("stop_month", sa.String(), nullable=False, server_default=""))
    op.add_column("budget", sa.Column("stop_at_s", sa.Float(), nullable=True))
    op.add_column("machine", sa.Column("budget_stop_s", sa.Float(), nullable=True))
