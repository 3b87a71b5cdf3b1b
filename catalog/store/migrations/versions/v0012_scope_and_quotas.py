"""Grants say which machines they are for, and how many cores and how much memory at once."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what was granted before has neither, and what older machines count for is not known."""
    op.add_column("capability_grant", sa.Column("scope", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("capability_grant", sa.Column("cores", sa.Integer(), nullable=True))
    op.add_column("capability_grant", sa.Column("memory_gib", sa.Integer(), nullable=True))
    op.add_column("machine", sa.Column("vcpu", sa.Float(), nullable=True))
    op.add_column("machine", sa.Column("memory_mib", sa.Integer(), nullable=True))
