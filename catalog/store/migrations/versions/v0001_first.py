"""The first tables: principals, network, platforms, connections, grants, offers, machines, orders, messages."""

from typing import Any

import sqlalchemy as sa

from catalog.store.migrations.columns import create_table, one_of

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table, those that are referred to first."""
    for create in (_principals, _network, _platforms, _connections, _consent, _offering, _machines, _orders, _messages):
        create()


def _principals() -> None:
    create_table(
        "tenant",
        _column("id", sa.String(), primary_key=True),
        _column("name", sa.String(), unique=True),
    )
    create_table(
        "token",
        _column("id", sa.String(), primary_key=True),
        _column("digest", sa.String(), unique=True),
        _column("role", one_of("role", "admin", "tenant", "platform")),
        _column("name", sa.String()),
        _column("subject_id", sa.String()),
        _column("expires_at_s", sa.Float(), nullable=True),
        _column("revoked_at_s", sa.Float(), nullable=True),
    )
    create_table(
        "enrolment",
        _column("id", sa.String(), primary_key=True),
        _column("digest", sa.String(), unique=True),
        _column("platform_name", sa.String()),
        _column("endpoints", sa.JSON()),
        _column("expires_at_s", sa.Float()),
        _column("used_at_s", sa.Float(), nullable=True),
    )


def _network() -> None:
    create_table(
        "site",
        _column("id", sa.String(), primary_key=True),
        _column("name", sa.String(), unique=True),
        _column("region", sa.String()),
        _column("latitude", sa.Float(), nullable=True),
        _column("longitude", sa.Float(), nullable=True),
    )
    create_table(
        "relay",
        _column("id", sa.String(), primary_key=True),
        _column("name", sa.String(), unique=True),
        _column("site_id", sa.String(), sa.ForeignKey("site.id"), index=True),
        _column("host", sa.String()),
        _column("port", sa.Integer()),
        _column("user", sa.String()),
        _column("host_key", sa.String()),
        _column("addresses_from", sa.JSON()),
        _column("enabled", sa.Boolean()),
    )
    create_table(
        "sitelink",
        _column("id", sa.String(), primary_key=True),
        _column("source_id", sa.String(), sa.ForeignKey("site.id")),
        _column("target_id", sa.String(), sa.ForeignKey("site.id")),
        _column("both_ways", sa.Boolean()),
        _column("price_usd_per_gb", sa.Float(), nullable=True),
        sa.UniqueConstraint("source_id", "target_id"),
    )
    create_table(
        "weight_set",
        _column("name", sa.String(), primary_key=True),
        _column("values", sa.JSON()),
    )


def _platforms() -> None:
    create_table(
        "platform",
        _column("id", sa.String(), primary_key=True),
        _column("name", sa.String(), unique=True),
        _column("provider", sa.String()),
        _column("site_id", sa.String(), sa.ForeignKey("site.id"), index=True),
        _column("region", sa.String()),
        _column("account", sa.String()),
        _column("public_key", sa.String()),
        _column("options", sa.JSON()),
        _column("enabled", sa.Boolean()),
    )
    create_table(
        "endpoint",
        _column("id", sa.String(), primary_key=True),
        _column("platform_id", sa.String(), sa.ForeignKey("platform.id"), index=True),
        _column("purpose", one_of("purpose", "api", "connector")),
        _column("url", sa.String()),
        _column("dial_host", sa.String()),
        _column("dial_port", sa.Integer()),
        _column("dials_from", sa.JSON()),
        _column("ca_pem", sa.String(), nullable=True),
        _column("state", one_of("endpointstate", "proposed", "approved")),
        sa.UniqueConstraint("platform_id", "purpose"),
    )
    create_table(
        "sealedcredential",
        _column("id", sa.String(), primary_key=True),
        _column("platform_id", sa.String(), sa.ForeignKey("platform.id"), index=True),
        _column("name", sa.String()),
        _column("key_id", sa.String()),
        _column("sealed", sa.String()),
        sa.UniqueConstraint("platform_id", "name"),
    )


def _connections() -> None:
    create_table(
        "connection",
        _column("id", sa.String(), primary_key=True),
        _column("requester_id", sa.String(), sa.ForeignKey("platform.id"), index=True),
        _column("target_id", sa.String(), sa.ForeignKey("platform.id"), index=True),
        _column(
            "state",
            one_of(
                "connectionstate",
                "requested",
                "awaiting-consent",
                "routing",
                "tunnelling",
                "handshaking",
                "established",
                "lost",
                "failed",
                "closed",
            ),
            index=True,
        ),
        _column("consented", sa.Boolean()),
        _column("code", sa.String()),
        _column("reason", sa.String()),
        _column("route", sa.String()),
        _column("policy", sa.JSON()),
        _column("attempts", sa.Integer()),
    )
    create_table(
        "route_decision",
        _column("id", sa.Integer(), primary_key=True),
        _column("connection_id", sa.String(), sa.ForeignKey("connection.id"), index=True),
        _column("document", sa.JSON()),
    )
    create_table(
        "account_session",
        _column("id", sa.String(), primary_key=True),
        _column("connection_id", sa.String(), sa.ForeignKey("connection.id"), index=True),
        _column("leg", one_of("leg", "gateway", "transport", "target")),
        _column("account", sa.String()),
        _column("parent_id", sa.String(), nullable=True),
        _column("calls", sa.Integer()),
        _column("opened_at_s", sa.Float()),
        _column("ended_at_s", sa.Float(), nullable=True),
    )
    create_table(
        "step_record",
        _column("id", sa.Integer(), primary_key=True),
        _column("subject_id", sa.String(), index=True),
        _column("step", sa.String()),
        _column("outcome", sa.String()),
        _column("detail", sa.String()),
        _column("at_s", sa.Float()),
    )


def _consent() -> None:
    create_table(
        "capability_grant",
        _column("id", sa.String(), primary_key=True),
        _column("platform_id", sa.String(), sa.ForeignKey("platform.id"), index=True),
        _column("connection_id", sa.String(), sa.ForeignKey("connection.id")),
        _column("request_id", sa.String()),
        _column("capability", sa.String()),
        _column("verbs", sa.JSON()),
        _column("quota", sa.Integer(), nullable=True),
        _column("expires_at_s", sa.Float(), nullable=True),
        _column(
            "state",
            one_of("grantstate", "requested", "granted", "denied", "accepted", "refused", "revoked", "expired"),
            index=True,
        ),
        _column("evidence", sa.String()),
        _column("proofs", sa.JSON()),
        sa.UniqueConstraint("platform_id", "capability"),
    )
    create_table(
        "grant_rule",
        _column("id", sa.Integer(), primary_key=True),
        _column("platform", sa.String()),
        _column("capability", sa.String()),
        sa.UniqueConstraint("platform", "capability"),
    )


def _offering() -> None:
    create_table(
        "catalog_entry",
        _column("id", sa.String(), primary_key=True),
        _column("capability", sa.String(), unique=True),
        _column("title", sa.String()),
    )
    create_table(
        "offer",
        _column("id", sa.String(), primary_key=True),
        _column("entry_id", sa.String(), sa.ForeignKey("catalog_entry.id"), index=True),
        _column("platform_id", sa.String(), sa.ForeignKey("platform.id"), index=True),
        _column("grant_id", sa.String(), sa.ForeignKey("capability_grant.id")),
        _column("state", one_of("offerstate", "offered", "degraded", "withdrawn"), index=True),
        _column("reason", sa.String()),
        _column("facts", sa.JSON()),
        sa.UniqueConstraint("entry_id", "platform_id"),
    )
    create_table(
        "inventory_item",
        _column("id", sa.Integer(), primary_key=True),
        _column("platform_id", sa.String(), sa.ForeignKey("platform.id"), index=True),
        _column("kind", sa.String()),
        _column("cloud_id", sa.String()),
        _column("name", sa.String()),
        _column("facts", sa.JSON()),
        sa.UniqueConstraint("platform_id", "kind", "cloud_id"),
    )


def _machines() -> None:
    create_table(
        "pool",
        _column("id", sa.String(), primary_key=True),
        _column("name", sa.String(), unique=True),
        _column("offer_id", sa.String(), sa.ForeignKey("offer.id"), index=True),
        _column("size", sa.String()),
        _column("image", sa.String()),
        _column("idle_target", sa.Integer()),
        _column("idle_limit", sa.Integer()),
        _column("building_limit", sa.Integer()),
        _column("enabled", sa.Boolean()),
        _column("failures_in_a_row", sa.Integer()),
        _column("reason", sa.String()),
    )
    create_table(
        "machine",
        _column("id", sa.String(), primary_key=True),
        _column("platform_id", sa.String(), sa.ForeignKey("platform.id"), index=True),
        _column("offer_id", sa.String(), sa.ForeignKey("offer.id")),
        _column("pool_id", sa.String(), sa.ForeignKey("pool.id"), nullable=True, index=True),
        _column("order_id", sa.String(), nullable=True, index=True),
        _column("tenant_id", sa.String(), nullable=True, index=True),
        _column(
            "state", one_of("machinestate", "building", "idle", "in-use", "returned", "destroying", "gone"), index=True
        ),
        _column("name", sa.String()),
        _column("size", sa.String()),
        _column("image", sa.String()),
        _column("cloud_id", sa.String(), nullable=True),
        _column("addresses", sa.JSON()),
        _column("attempt", sa.Integer()),
        _column("reason", sa.String()),
    )


def _orders() -> None:
    create_table(
        "machine_order",
        _column("id", sa.String(), primary_key=True),
        _column("tenant_id", sa.String(), sa.ForeignKey("tenant.id"), index=True),
        _column("offer_id", sa.String(), sa.ForeignKey("offer.id")),
        _column("name", sa.String()),
        _column("size", sa.String()),
        _column("image", sa.String()),
        _column("state", one_of("orderstate", "placed", "creating", "fulfilled", "failed", "cancelled"), index=True),
        _column("machine_id", sa.String(), nullable=True),
        _column("served_from", sa.String()),
        _column("attempts", sa.Integer()),
        _column("code", sa.String()),
        _column("reason", sa.String()),
        _column("next_attempt_at_s", sa.Float(), nullable=True),
        _column("finished_at_s", sa.Float(), nullable=True),
    )
    create_table(
        "idempotency_record",
        _column("principal", sa.String(), primary_key=True),
        _column("key", sa.String(), primary_key=True),
        _column("request_hash", sa.String()),
        _column("status", sa.Integer()),
        _column("headers", sa.JSON()),
        _column("body", sa.JSON()),
    )


def _messages() -> None:
    create_table(
        "outbox_message",
        _column("id", sa.String(), primary_key=True),
        _column("topic", sa.String()),
        _column("body", sa.String()),
        _column("sent_at_s", sa.Float(), nullable=True, index=True),
    )
    create_table(
        "inbox_message",
        _column("id", sa.String(), primary_key=True),
    )


def _column(name: str, *parts: Any, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, *parts, nullable=nullable, **options)
