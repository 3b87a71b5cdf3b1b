"""Sizes and images carry facts that can be compared across clouds."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; the next synchronisation fills them."""
    for name in ("vcpu", "memory_gib", "disk_gib"):
        op.add_column("inventory_item", sa.Column(name, sa.Float(), nullable=True))
    op.add_column("inventory_item", sa.Column("gpu_count", sa.Integer(), nullable=True))
    for name in ("architecture", "os_family", "os_version"):
        op.add_column("inventory_item", sa.Column(name, sa.String(), nullable=True))
    op.create_index("ix_inventory_item_size", "inventory_item", ["kind", "vcpu", "memory_gib"])
    op.create_index("ix_inventory_item_system", "inventory_item", ["kind", "os_family", "os_version"])
