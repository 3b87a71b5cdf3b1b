"""Events are told to webhooks, each telling with its log."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# 2 thousand million are soon reached by what is counted for ever; SQLite's integers are as large as they need to be.
_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _row() -> list["sa.Column[object]"]:
    return [
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at_s", sa.Float(), nullable=False),
        sa.Column("updated_at_s", sa.Float(), nullable=False),
    ]


def _one_of(name: str, *values: str) -> "sa.Enum":
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "webhook",
        *_row(),
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("role", _one_of("role", "admin", "tenant", "platform"), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False, index=True),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", _one_of("webhookstate", "active", "disabled"), nullable=False, index=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("read_upto", _BIG, nullable=False),
        sa.Column("failing_since_s", sa.Float(), nullable=True),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("old_key_id", sa.String(), nullable=False),
        sa.Column("old_sealed", sa.String(), nullable=False),
        sa.Column("old_until_s", sa.Float(), nullable=True),
    )
    op.create_table(
        "webhook_delivery",
        *_row(),
        sa.Column("id", _BIG, primary_key=True),
        sa.Column("webhook_id", sa.String(), sa.ForeignKey("webhook.id"), nullable=False, index=True),
        sa.Column("seq", _BIG, nullable=False, index=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", _one_of("deliverystate", "pending", "delivered", "failed"), nullable=False, index=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at_s", sa.Float(), nullable=True, index=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("took_ms", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("tried_at_s", sa.Float(), nullable=True),
        sa.UniqueConstraint("webhook_id", "seq"),
    )
