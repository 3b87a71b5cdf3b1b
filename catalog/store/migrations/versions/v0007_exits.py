"""Platforms that cannot be dialled are reached through reverse exits; signed requests are taken once."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import create_table

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "reverse_exit",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("platform_id", sa.String(), sa.ForeignKey("platform.id"), nullable=False),
        sa.Column("relay_id", sa.String(), sa.ForeignKey("relay.id"), nullable=False),
        sa.Column("ports", sa.JSON(), nullable=False),
        sa.Column("announced_at_s", sa.Float(), nullable=True),
        sa.UniqueConstraint("platform_id", "relay_id"),
    )
    op.create_index("ix_reverse_exit_platform_id", "reverse_exit", ["platform_id"])
    op.create_index("ix_reverse_exit_relay_id", "reverse_exit", ["relay_id"])
    create_table(
        "used_nonce",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("expires_at_s", sa.Float(), nullable=False),
    )
