"""Quotas of containers, zones, records and balancers."""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; nobody has such a limit yet."""
    for name in ("containers", "zones", "records", "balancers"):
        op.add_column("quota", sa.Column(name, sa.Integer(), nullable=True))
