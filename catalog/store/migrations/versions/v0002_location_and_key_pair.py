"""Orders may name a location and a key pair, and their machines keep both for further attempts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what was ordered before named neither."""
    for table in ("machine_order", "machine"):
        for name in ("location", "key_pair"):
            op.add_column(table, sa.Column(name, sa.String(), nullable=True))
