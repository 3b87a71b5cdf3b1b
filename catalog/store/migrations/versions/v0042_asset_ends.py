"""Assets whose time is over are found by an index, as machines are."""

from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_asset_ends", "asset", ["state", "ends_at_s"])
