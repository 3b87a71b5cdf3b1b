"""Relays carry risk and the groups whose fate they share; links what they are known to carry."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; nobody said anything yet of what was declared before."""
    op.add_column("relay", sa.Column("risk", sa.Float(), nullable=False, server_default="0"))
    op.add_column("relay", sa.Column("risk_groups", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("sitelink", sa.Column("capacity_mbps", sa.Float(), nullable=True))
