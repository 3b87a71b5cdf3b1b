"""Organisations and projects: each tenant becomes an organisation with one project of the same name.

Tables that carried a tenant's id or role are made anew and filled: SQLite changes neither a reference nor a check in
place, and nothing that refers to them is left in the way. The audit log keeps the words in which it was written.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from catalog.store.migrations.columns import BIG, create_table, one_of

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_ID = "'project_' || substr({column}, 8)"  # tenant_01J… is project_01J… now
_STAMPS = ("version", "created_at_s", "updated_at_s")
_ROLES = ("admin", "operator", "auditor", "platform", "owner", "member", "viewer")


def upgrade() -> None:
    """Make the tables, move everything over, and drop what it came from."""
    _tenants()
    _orders()
    _tokens()
    _webhooks()
    _plain_columns()
    op.drop_table("tenant")


def _tenants() -> None:
    create_table(
        "organisation",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
    )
    create_table(
        "project",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("organisation_id", sa.String(), sa.ForeignKey("organisation.id"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.UniqueConstraint("organisation_id", "name"),
    )
    op.create_index("ix_project_organisation_id", "project", ["organisation_id"])
    owner = "'organisation_' || substr(id, 8)"
    _fill("organisation", "tenant", ("name",), id=owner)
    _fill("project", "tenant", ("name",), id=_ID.format(column="id"), organisation_id=owner)


def _orders() -> None:
    states = one_of("orderstate", "placed", "creating", "fulfilled", "failed", "cancelled")
    texts = ("name", "size", "image", "served_from", "code", "reason")
    perhaps = ("machine_id", "location", "key_pair")
    create_table(
        "machine_order_new",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("project_id", sa.String(), sa.ForeignKey("project.id"), nullable=False),
        sa.Column("offer_id", sa.String(), sa.ForeignKey("offer.id"), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in texts),
        *(sa.Column(name, sa.String(), nullable=True) for name in perhaps),
        sa.Column("state", states, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at_s", sa.Float(), nullable=True),
        sa.Column("finished_at_s", sa.Float(), nullable=True),
        sa.Column("price", sa.JSON(), nullable=True),
    )
    kept = ("id", "offer_id", *texts, *perhaps, "state", "attempts", "next_attempt_at_s", "finished_at_s", "price")
    _fill("machine_order_new", "machine_order", kept, project_id=_ID.format(column="tenant_id"))
    _replace("machine_order", "project_id", "state")


def _tokens() -> None:
    create_table(
        "token_new",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("digest", sa.String(), nullable=False, unique=True),
        sa.Column("role", one_of("role", *_ROLES), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("expires_at_s", sa.Float(), nullable=True),
        sa.Column("revoked_at_s", sa.Float(), nullable=True),
    )
    kept = ("id", "digest", "name", "expires_at_s", "revoked_at_s")
    role = "CASE role WHEN 'tenant' THEN 'member' ELSE role END"
    _fill("token_new", "token", kept, role=role, subject_id=_subject())
    _replace("token")


def _webhooks() -> None:
    create_table(
        "webhook_new",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("audience", one_of("audience", "gateway", "platform", "project"), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("subject_id", "url", "kind", "reason")),
        sa.Column("state", one_of("webhookstate", "active", "disabled"), nullable=False),
        sa.Column("read_upto", BIG, nullable=False),
        sa.Column("failing_since_s", sa.Float(), nullable=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("key_id", "sealed", "old_key_id", "old_sealed")),
        sa.Column("old_until_s", sa.Float(), nullable=True),
    )
    kept = ("id", "url", "kind", "reason", "state", "read_upto", "failing_since_s")
    secrets = ("key_id", "sealed", "old_key_id", "old_sealed", "old_until_s")
    audience = "CASE role WHEN 'tenant' THEN 'project' WHEN 'admin' THEN 'gateway' ELSE role END"
    _fill("webhook_new", "webhook", (*kept, *secrets), audience=audience, subject_id=_subject())
    create_table(
        "webhook_delivery_new",
        sa.Column("id", BIG, primary_key=True),
        sa.Column("webhook_id", sa.String(), sa.ForeignKey("webhook_new.id"), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", one_of("deliverystate", "pending", "delivered", "failed"), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at_s", sa.Float(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("took_ms", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("tried_at_s", sa.Float(), nullable=True),
        sa.UniqueConstraint("webhook_id", "seq"),
    )
    told = ("id", "webhook_id", "seq", "kind", "state", "attempts", "due_at_s", "status", "took_ms", "reason")
    _fill("webhook_delivery_new", "webhook_delivery", (*told, "tried_at_s"))
    # The deliveries first: they refer to the webhooks, and the new ones follow the new name.
    op.drop_table("webhook_delivery")
    _replace("webhook", "subject_id", "state")
    op.rename_table("webhook_delivery_new", "webhook_delivery")
    for column in ("webhook_id", "seq", "state", "due_at_s"):
        op.create_index(f"ix_webhook_delivery_{column}", "webhook_delivery", [column])


def _plain_columns() -> None:
    """Rename the columns that refer to nothing, and what stands in them."""
    for table in ("machine", "event"):
        op.drop_index(f"ix_{table}_tenant_id", table)
        op.alter_column(table, "tenant_id", new_column_name="project_id")
        op.execute(
            f"UPDATE {table} SET project_id = {_ID.format(column='project_id')} "  # noqa: S608  our own names
            "WHERE project_id IS NOT NULL"
        )
        op.create_index(f"ix_{table}_project_id", table, ["project_id"])


def _subject() -> str:
    return f"CASE role WHEN 'tenant' THEN {_ID.format(column='subject_id')} ELSE subject_id END"


def _fill(target: str, source: str, kept: Sequence[str], **made: str) -> None:
    """Copy the rows of ``source``, with what is ``made`` from expressions over them."""
    columns = {**{name: name for name in (*_STAMPS, *kept)}, **made}
    op.execute(
        f"INSERT INTO {target} ({', '.join(columns)}) "  # noqa: S608  our own names
        f"SELECT {', '.join(columns.values())} FROM {source}"
    )


def _replace(name: str, *indexed: str) -> None:
    """Put the new table in the place of the old one, with its indexes."""
    op.drop_table(name)
    op.rename_table(f"{name}_new", name)
    for column in indexed:
        op.create_index(f"ix_{name}_{column}", name, [column])
