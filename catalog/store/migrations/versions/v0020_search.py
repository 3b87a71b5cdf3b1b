"""What searching needs: the words of the inventory, what changed how often, labels, countries, saved searches."""

import sqlalchemy as sa
from alembic import op

from catalog.store import full_text
from catalog.store.migrations.columns import create_table

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and columns; offers have no labels yet, sites no country."""
    op.add_column("offer", sa.Column("labels", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("site", sa.Column("country", sa.String(), nullable=False, server_default=""))
    create_table(
        "serial",
        sa.Column("subject", sa.String(), primary_key=True),
        sa.Column("serial", sa.Integer(), nullable=False),
    )
    create_table(
        "saved_search",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("principal", sa.String(), nullable=False, index=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("query", sa.JSON(), nullable=False),
        sa.UniqueConstraint("principal", "name"),
    )
    create_table(
        "reachability",
        sa.Column("platform_id", sa.String(), sa.ForeignKey("platform.id"), primary_key=True),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("rtt_ms", sa.Float(), nullable=True),
        sa.Column("loss_ratio", sa.Float(), nullable=True),
        sa.Column("preference", sa.Float(), nullable=True),
        sa.Column("measured_at_s", sa.Float(), nullable=False),
    )
    full_text.create(op.get_bind())
