"""Quotas of projects and organisations, and an index by which what a project holds is summed up."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import create_table

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, empty: nobody has a quota until somebody sets one."""
    create_table(
        "quota",
        sa.Column("id", sa.String(), primary_key=True),
        *(sa.Column(name, sa.Integer(), nullable=True) for name in ("machines", "cores", "memory_gib")),
    )
    # The wider one finds a project's machines as well.
    op.drop_index("ix_machine_project_id", "machine")
    op.create_index("ix_machine_held", "machine", ["project_id", "state", "vcpu", "memory_mib"])
