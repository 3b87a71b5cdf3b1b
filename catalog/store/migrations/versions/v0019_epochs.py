"""Grants count how often they ended or were held back; machines know under which count they were asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; whatever stands, stands under the first count."""
    for table in ("capability_grant", "machine"):
        op.add_column(table, sa.Column("epoch", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("machine", sa.Column("notice", sa.String(), nullable=False, server_default=""))
