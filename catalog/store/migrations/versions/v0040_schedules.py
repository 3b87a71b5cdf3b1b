"""Machines start and stop by the clock."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import create_table

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and the column for the edge that a machine has seen."""
    create_table(
        "schedule",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("project_id", sa.String(), sa.ForeignKey("project.id"), nullable=False, index=True),
        sa.Column("machine_id", sa.String(), sa.ForeignKey("machine.id"), nullable=True),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("windows", sa.JSON(), nullable=False),
        sa.Column("set_at_s", sa.Float(), nullable=False),
        sa.Column("next_edge_s", sa.Float(), nullable=True, index=True),
    )
    op.add_column("machine", sa.Column("edge_s", sa.Float(), nullable=True))
