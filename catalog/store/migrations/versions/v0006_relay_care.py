"""Relays have a caretaker and a way to log in; what they were last found to hold is remembered."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import create_table

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table; the relays declared before show the gateway's raw key and have no caretaker."""
    op.add_column("relay", sa.Column("caretaker", sa.String(), nullable=False, server_default=""))
    op.add_column("relay", sa.Column("login", sa.String(), nullable=False, server_default="key"))
    op.add_column("relay", sa.Column("next_login", sa.String(), nullable=False, server_default=""))
    for name in ("also_permitted", "more_host_keys"):
        op.add_column("relay", sa.Column(name, sa.JSON(), nullable=False, server_default="[]"))
    create_table(
        "relaycare",
        sa.Column("id", sa.String(), sa.ForeignKey("relay.id"), primary_key=True),
        sa.Column("addresses", sa.JSON(), nullable=False),
        sa.Column("keys", sa.JSON(), nullable=False),
        sa.Column("written_at_s", sa.Float(), nullable=True),
        sa.Column("checked_at_s", sa.Float(), nullable=True),
        sa.Column("drifted_at_s", sa.Float(), nullable=True),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
    )
