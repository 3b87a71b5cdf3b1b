"""Assets, and quotas of them."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import create_table, one_of

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the columns; nobody has a quota of assets yet."""
    create_table(
        "asset",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("capability", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), sa.ForeignKey("project.id"), nullable=False),
        sa.Column("platform_id", sa.String(), sa.ForeignKey("platform.id"), nullable=False),
        sa.Column("offer_id", sa.String(), sa.ForeignKey("offer.id"), nullable=False),
        sa.Column(
            "state",
            one_of("assetstate", "creating", "ready", "clearing", "failed", "destroying", "gone"),
            nullable=False,
        ),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("cloud_name", sa.String(), nullable=False),
        sa.Column("size_gib", sa.Integer(), nullable=True),
        sa.Column("location", sa.String(), nullable=True),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("cloud_id", sa.String(), nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("machines", sa.JSON(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at_s", sa.Float(), nullable=True),
        sa.Column("asked_at_s", sa.Float(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("ends_at_s", sa.Float(), nullable=True),
        sa.Column("notice", sa.String(), nullable=False),
    )
    op.create_index("ix_asset_held", "asset", ["project_id", "state", "kind"])
    for name in ("platform_id", "state", "parent_id"):
        op.create_index(f"ix_asset_{name}", "asset", [name])
    for name in ("volumes", "volume_gib", "snapshots"):
        op.add_column("quota", sa.Column(name, sa.Integer(), nullable=True))
