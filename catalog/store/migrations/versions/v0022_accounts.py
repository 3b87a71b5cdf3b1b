"""Accounts, their memberships and log-ins; tokens may act for an account and be limited to some permissions."""

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import create_table, one_of

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_ROLES = ("admin", "operator", "auditor", "platform", "owner", "member", "viewer", "guest")


def upgrade() -> None:
    """Make the tables; tokens are made anew, since a column that must be filled becomes one that need not be."""
    _accounts()
    _logins()
    _tokens()


def _accounts() -> None:
    create_table(
        "account",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("kind", one_of("accountkind", "user", "service"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False, unique=True),
        sa.Column("project_id", sa.String(), sa.ForeignKey("project.id"), nullable=True, index=True),
        sa.Column("gateway_role", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("password", sa.String(), nullable=False),
        sa.Column("password_at_s", sa.Float(), nullable=True),
        sa.Column("external_id", sa.String(), nullable=True, unique=True),
    )
    create_table(
        "membership",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("account.id"), nullable=False, index=True),
        sa.Column("project_id", sa.String(), sa.ForeignKey("project.id"), nullable=True, index=True),
        sa.Column("organisation_id", sa.String(), sa.ForeignKey("organisation.id"), nullable=True, index=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.UniqueConstraint("account_id", "project_id"),
        sa.UniqueConstraint("account_id", "organisation_id"),
    )


def _logins() -> None:
    create_table(
        "login",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("digest", sa.String(), nullable=False, unique=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("account.id"), nullable=False, index=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("way", "address", "agent", "end_reason")),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("used_at_s", "idle_s", "expires_at_s")),
        sa.Column("ended_at_s", sa.Float(), nullable=True),
    )


def _tokens() -> None:
    create_table(
        "token_new",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("digest", sa.String(), nullable=False, unique=True),
        sa.Column("role", one_of("role", *_ROLES), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), sa.ForeignKey("account.id"), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=True),
        *(sa.Column(name, sa.Float(), nullable=True) for name in ("expires_at_s", "revoked_at_s", "used_at_s")),
    )
    kept = "version, created_at_s, updated_at_s, id, digest, role, name, subject_id, expires_at_s, revoked_at_s"
    op.execute(f"INSERT INTO token_new ({kept}) SELECT {kept} FROM token")  # noqa: S608  our own names
    op.drop_table("token")
    op.rename_table("token_new", "token")
    op.create_index("ix_token_account_id", "token", ["account_id"])
