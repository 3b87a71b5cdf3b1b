"""A dated price book, and the price of an order as it was when it was placed."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import create_table

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the column; what was ordered before has no price."""
    create_table(
        "price",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("platform_id", sa.String(), sa.ForeignKey("platform.id"), nullable=True, index=True),
        sa.Column("provider", sa.String(), nullable=False, index=True),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("amount", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("valid_from_s", sa.Float(), nullable=False),
        sa.Column("valid_to_s", sa.Float(), nullable=True),
        sa.UniqueConstraint("key", "valid_from_s"),
    )
    op.add_column("machine_order", sa.Column("price", sa.JSON(), nullable=True))
