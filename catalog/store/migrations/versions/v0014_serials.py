"""Grants know the number of the answer that granted them."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what was granted before was not numbered."""
    op.add_column("capability_grant", sa.Column("serial", sa.BigInteger(), nullable=False, server_default="0"))
