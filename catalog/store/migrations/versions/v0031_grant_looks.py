"""What ended grants left behind is looked at for as long as it is there, and that is noted once an epoch."""

import sqlalchemy as sa

from catalog.store.migrations.columns import create_table

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; what is looked at again is noted once more."""
    create_table(
        "grant_look",
        sa.Column("grant_id", sa.String(), sa.ForeignKey("capability_grant.id"), primary_key=True),
        sa.Column("machine", sa.String(), primary_key=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
    )
