"""Orders may name a network; a machine keeps to which one it is attached."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what was ordered before left it to its cloud."""
    for table in ("machine_order", "machine"):
        op.add_column(table, sa.Column("network", sa.String(), nullable=True))
