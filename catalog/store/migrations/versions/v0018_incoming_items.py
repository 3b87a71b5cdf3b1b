"""Lists are put away in batches before they become inventory in one step."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import create_table

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; it is empty between two synchronisations."""
    create_table(
        "incoming_item",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sync_id", sa.String(), nullable=False),
        sa.Column("cloud_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=True) for name in ("vcpu", "memory_gib", "disk_gib")),
        sa.Column("gpu_count", sa.Integer(), nullable=True),
        *(sa.Column(name, sa.String(), nullable=True) for name in ("architecture", "os_family", "os_version")),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_incoming_item_list", "incoming_item", ["sync_id", "cloud_id"])
