"""Grants can be suspended, and every version of their terms is kept."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.checks import allow
from catalog.store.migrations.columns import create_table

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_STATES = ("requested", "granted", "denied", "accepted", "refused", "revoked", "expired")


def upgrade() -> None:
    """Widen the check of the states, add the column and the table."""
    op.add_column("capability_grant", sa.Column("suspended_by", sa.JSON(), nullable=False, server_default="[]"))
    allow("capability_grant", "grantstate", "state", _STATES, (*_STATES, "suspended"))
    create_table(
        "grant_terms",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("grant_id", sa.String(), sa.ForeignKey("capability_grant.id"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.String(), nullable=False),
        sa.Column("given_at_s", sa.Float(), nullable=False),
        sa.Column("superseded_at_s", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.UniqueConstraint("grant_id", "number"),
    )
    op.create_index("ix_grant_terms_grant_id", "grant_terms", ["grant_id"])
