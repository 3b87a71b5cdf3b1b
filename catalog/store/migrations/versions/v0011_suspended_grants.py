"""Grants can be suspended, and every version of their terms is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_BEFORE = "'revoked', 'expired')"
_AFTER = "'revoked', 'expired', 'suspended')"


def upgrade() -> None:
    """Widen the check of the states, add the column and the table."""
    op.add_column("capability_grant", sa.Column("suspended_by", sa.JSON(), nullable=False, server_default="[]"))
    _allow_suspended()
    op.create_table(
        "grant_terms",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at_s", sa.Float(), nullable=False),
        sa.Column("updated_at_s", sa.Float(), nullable=False),
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


def _allow_suspended() -> None:
    # Offers refer to grants, so the table cannot be made anew with foreign keys on; a check does not affect what is
    # stored, and for such SQLite describes exactly this: edit the table's text and count the schema's version up.
    bind = op.get_bind()
    version = int(bind.execute(sa.text("PRAGMA schema_version")).scalar_one())
    bind.execute(sa.text("PRAGMA writable_schema = ON"))
    bind.execute(
        sa.text("UPDATE sqlite_master SET sql = replace(sql, :before, :after) WHERE name = 'capability_grant'"),
        {"before": _BEFORE, "after": _AFTER},
    )
    bind.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))
    bind.execute(sa.text("PRAGMA writable_schema = OFF"))
