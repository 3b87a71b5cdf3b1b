"""Who issued a token, and with which one an order was made."""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; of what is there already nobody knows."""
    op.add_column("token", sa.Column("issued_by", sa.String(), nullable=False, server_default=""))
    op.add_column("machine_order", sa.Column("ordered_with", sa.String(), nullable=False, server_default=""))
