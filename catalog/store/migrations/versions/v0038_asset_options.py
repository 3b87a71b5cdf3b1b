"""What else is wanted of an asset, such as a balancer's port."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column; volumes and snapshots have nothing in it."""
    op.add_column("asset", sa.Column("options", sa.JSON(), nullable=False, server_default="{}"))
