"""Grants say what becomes of machines at their end, and how many calls a minute they admit."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what was granted before says neither, and its machines stay until somebody ends them."""
    op.add_column("capability_grant", sa.Column("calls_per_minute", sa.Integer(), nullable=True))
    op.add_column("capability_grant", sa.Column("on_end", sa.String(), nullable=True))
    for name in ("wind_down_s", "wind_down_until_s"):
        op.add_column("capability_grant", sa.Column(name, sa.Float(), nullable=True))
    op.add_column("machine", sa.Column("ends_at_s", sa.Float(), nullable=True))
