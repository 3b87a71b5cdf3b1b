"""What was asked of a machine's cloud and is not known to be done yet."""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; nothing is under way."""
    op.add_column("machine", sa.Column("changing", sa.JSON(), nullable=True))
