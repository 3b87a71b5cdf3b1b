"""Events are told to webhooks, each telling with its log."""

import sqlalchemy as sa

from catalog.store.migrations.columns import BIG, create_table, one_of

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "webhook",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("role", one_of("role", "admin", "tenant", "platform"), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False, index=True),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", one_of("webhookstate", "active", "disabled"), nullable=False, index=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("read_upto", BIG, nullable=False),
        sa.Column("failing_since_s", sa.Float(), nullable=True),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("old_key_id", sa.String(), nullable=False),
        sa.Column("old_sealed", sa.String(), nullable=False),
        sa.Column("old_until_s", sa.Float(), nullable=True),
    )
    create_table(
        "webhook_delivery",
        sa.Column("id", BIG, primary_key=True),
        sa.Column("webhook_id", sa.String(), sa.ForeignKey("webhook.id"), nullable=False, index=True),
        sa.Column("seq", BIG, nullable=False, index=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", one_of("deliverystate", "pending", "delivered", "failed"), nullable=False, index=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at_s", sa.Float(), nullable=True, index=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("took_ms", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("tried_at_s", sa.Float(), nullable=True),
        sa.UniqueConstraint("webhook_id", "seq"),
    )
