"""Orders may name needs: where they were placed, why, and where else they may go."""

import sqlalchemy as sa

from catalog.store.migrations.columns import create_table

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; what was ordered before named its offer."""
    create_table(
        "placement",
        sa.Column("order_id", sa.String(), sa.ForeignKey("machine_order.id"), primary_key=True),
        sa.Column("needs", sa.JSON(), nullable=False),
        sa.Column("candidates", sa.JSON(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("moving_since_s", sa.Float(), nullable=True, index=True),
    )
