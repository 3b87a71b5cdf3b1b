"""Grants say where may be forwarded to."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; nothing granted before had destinations."""
    op.add_column("capability_grant", sa.Column("destinations", sa.JSON(), nullable=False, server_default="[]"))
