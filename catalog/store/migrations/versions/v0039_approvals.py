"""Orders wait for those who must approve them."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.checks import allow
from catalog.store.migrations.columns import create_table, one_of

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

_ORDER_STATES = ("placed", "creating", "fulfilled", "failed", "cancelled")


def upgrade() -> None:
    """Make the tables; nobody knows who placed the orders that are there."""
    allow("machine_order", "orderstate", "state", _ORDER_STATES, ("placed", "awaiting-approval", *_ORDER_STATES[1:]))
    op.add_column("machine_order", sa.Column("ordered_by", sa.String(), nullable=False, server_default=""))
    create_table(
        "approval_rule",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("holder_id", sa.String(), nullable=False, index=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("over", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("offers", sa.JSON(), nullable=False),
        sa.Column("platforms", sa.JSON(), nullable=False),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("approvers", sa.JSON(), nullable=False),
        sa.Column("allows_own", sa.Boolean(), nullable=False),
        sa.Column("wait_s", sa.Float(), nullable=False),
        sa.Column("set_by_admin", sa.Boolean(), nullable=False),
    )
    create_table(
        "approval",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("order_id", sa.String(), sa.ForeignKey("machine_order.id"), nullable=False, index=True),
        sa.Column("project_id", sa.String(), sa.ForeignKey("project.id"), nullable=False),
        sa.Column("offer_id", sa.String(), sa.ForeignKey("offer.id"), nullable=False),
        sa.Column(
            "state",
            one_of("approvalstate", "waiting", "approved", "denied", "timed-out", "withdrawn", "superseded"),
            nullable=False,
        ),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("price", sa.JSON(), nullable=True),
        sa.Column("vcpu", sa.Float(), nullable=True),
        sa.Column("memory_mib", sa.Integer(), nullable=True),
        sa.Column("votes", sa.Integer(), nullable=False),
        sa.Column("expires_at_s", sa.Float(), nullable=False),
        sa.Column("judged_at_s", sa.Float(), nullable=False),
        sa.Column("ended_at_s", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
    )
    op.create_index("ix_approval_reserved", "approval", ["project_id", "state", "vcpu", "memory_mib"])
    op.create_index("ix_approval_waiting", "approval", ["state", "expires_at_s"])
    create_table(
        "approval_vote",
        sa.Column("approval_id", sa.String(), sa.ForeignKey("approval.id"), primary_key=True),
        sa.Column("approver", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("verdict", one_of("verdict", "approve", "deny"), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
    )
