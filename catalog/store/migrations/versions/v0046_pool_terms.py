"""Pools: how many machines in all, how old, by which hours, for whom."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import create_table

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table; pools that are there have no such limits, and machines wait since they changed."""
    op.add_column("pool", sa.Column("machine_limit", sa.Integer(), nullable=True))
    op.add_column("pool", sa.Column("idle_age_limit_s", sa.Float(), nullable=True))
    op.add_column("pool", sa.Column("zone", sa.String(), nullable=False, server_default="UTC"))
    op.add_column("pool", sa.Column("hours", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("machine", sa.Column("idle_from_s", sa.Float(), nullable=True))
    op.add_column("machine", sa.Column("fence", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE machine SET idle_from_s = updated_at_s WHERE state = 'idle'")
    create_table(
        "pool_project",
        sa.Column("pool_id", sa.String(), sa.ForeignKey("pool.id"), primary_key=True),
        sa.Column("project_id", sa.String(), sa.ForeignKey("project.id"), primary_key=True),
    )
