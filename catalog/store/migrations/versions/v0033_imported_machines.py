"""Machines that were there before us can be imported: to be observed, or managed."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; every machine so far was made by us."""
    op.add_column("machine", sa.Column("custody", sa.String(), nullable=False, server_default="made"))
    op.add_column("machine", sa.Column("price", sa.JSON(none_as_null=True), nullable=True))
    op.drop_index("ix_machine_held", "machine")
    op.create_index("ix_machine_held", "machine", ["project_id", "state", "custody", "vcpu", "memory_mib"])
    imported = sa.text("custody <> 'made' AND state <> 'gone'")
    op.create_index(
        "ix_machine_imported",
        "machine",
        ["platform_id", "cloud_id"],
        unique=True,
        sqlite_where=imported,
        postgresql_where=imported,
    )
