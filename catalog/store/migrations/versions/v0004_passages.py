"""Passages, and the calls in them."""

import sqlalchemy as sa

from catalog.store.migrations.columns import BIG, create_table

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables."""
    create_table(
        "passage",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("token_id", sa.String(), nullable=True, index=True),
        sa.Column("principal", sa.String(), nullable=False, index=True),
        sa.Column("principal_name", sa.String(), nullable=False),
        sa.Column("platform_id", sa.String(), sa.ForeignKey("platform.id"), nullable=False, index=True),
        sa.Column("connection_id", sa.String(), sa.ForeignKey("connection.id"), nullable=False, index=True),
        sa.Column(
            "kind",
            sa.Enum("http", "stream", name="passagekind", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("opened_at_s", sa.Float(), nullable=False),
        sa.Column("expires_at_s", sa.Float(), nullable=False),
        sa.Column("ended_at_s", sa.Float(), nullable=True, index=True),
        sa.Column("end_reason", sa.String(), nullable=False),
        *(sa.Column(name, BIG, nullable=False) for name in ("calls", "bytes_in", "bytes_out")),
    )
    create_table(
        "passage_call",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("passage_id", sa.String(), sa.ForeignKey("passage.id"), nullable=False, index=True),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("capability", sa.String(), nullable=False),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("at_s", sa.Float(), nullable=False),
    )
