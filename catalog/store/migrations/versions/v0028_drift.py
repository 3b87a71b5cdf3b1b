"""Where catalog and cloud differ about a machine."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the next lists of machines fill it."""
    op.add_column("machine", sa.Column("drift", sa.JSON(), nullable=False, server_default="[]"))
