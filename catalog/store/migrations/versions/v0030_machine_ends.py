"""Machines whose time is over are found by it."""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_machine_ends", "machine", ["state", "ends_at_s"])
