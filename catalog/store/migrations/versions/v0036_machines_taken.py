"""What platforms hold for us is counted by an index alone."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_machine_taken", "machine", ["state", "platform_id", "custody", "vcpu", "memory_mib"])
