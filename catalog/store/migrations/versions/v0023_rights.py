"""What a platform's account can do, as it was last proved."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import create_table

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_STATES = ("held", "proposed", "lost", "absent")


def upgrade() -> None:
    """Make the table; the next proofs fill it."""
    create_table(
        "account_right",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("capability", sa.String(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(*_STATES, name="rightstate", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("proved_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("platform_id", "capability"),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"]),
    )
    op.create_index("ix_account_right_platform_id", "account_right", ["platform_id"])
    op.create_index("ix_account_right_state", "account_right", ["state"])
