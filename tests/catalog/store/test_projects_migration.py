"""The migration that turns tenants into organisations and projects."""

import sqlite3
from pathlib import Path

from alembic import command
from sqlalchemy import create_engine, event

from catalog.store import schema
from catalog.store.database import migrate

_STAMPS = "1, 5.0, 6.0"
BEFORE = f"""
INSERT INTO tenant (version, created_at_s, updated_at_s, id, name) VALUES
    ({_STAMPS}, 'tenant_01A', 'acme'), ({_STAMPS}, 'tenant_01B', 'zenith');
INSERT INTO token (version, created_at_s, updated_at_s, id, digest, role, name, subject_id) VALUES
    ({_STAMPS}, 'token_1', 'd1', 'tenant', 'ci', 'tenant_01A'), ({_STAMPS}, 'token_2', 'd2', 'admin', 'root', ''),
    ({_STAMPS}, 'token_3', 'd3', 'platform', 'cloud', 'platform_01P');
INSERT INTO webhook (version, created_at_s, updated_at_s, id, role, subject_id, url, kind, state, reason, read_upto,
    key_id, sealed, old_key_id, old_sealed) VALUES
    ({_STAMPS}, 'webhook_1', 'tenant', 'tenant_01B', 'https://a', '', 'active', '', 0, 'k', 's', '', ''),
    ({_STAMPS}, 'webhook_2', 'admin', '', 'https://b', '', 'active', '', 0, 'k', 's', '', '');
INSERT INTO webhook_delivery (version, created_at_s, updated_at_s, id, webhook_id, seq, kind, state, attempts, reason)
    VALUES ({_STAMPS}, 1, 'webhook_1', 7, 'order.placed', 'pending', 0, '');
INSERT INTO offer (version, created_at_s, updated_at_s, id, entry_id, platform_id, grant_id, state, reason,
    facts) VALUES
    ({_STAMPS}, 'offer_1', 'entry_elsewhere', 'platform_01P', 'grant_elsewhere', 'offered', '', '{{}}');
INSERT INTO machine_order (version, created_at_s, updated_at_s, id, tenant_id, offer_id, name, size, image, state,
    served_from, attempts, code, reason, key_pair) VALUES
    ({_STAMPS}, 'order_1', 'tenant_01A', 'offer_1', 'web', 's1', 'i1', 'placed', 'pool', 2, 'c', 'r', 'kp');
INSERT INTO event (version, created_at_s, updated_at_s, seq, kind, subject_id, tenant_id, at_s, data) VALUES
    ({_STAMPS}, 1, 'order.placed', 'order_1', 'tenant_01A', 5.0, '{{}}'),
    ({_STAMPS}, 2, 'platform.enrolled', 'platform_01P', NULL, 5.0, '{{}}');
"""


def test_each_tenant_becomes_an_organisation_with_one_project(tmp_path: Path) -> None:
    """Names stay, what carried a tenant's id carries its project's, roles are renamed, and no reference dangles."""
    path = tmp_path / "old.db"
    _up_to(path, "0015")
    _run(path, BEFORE)
    migrate(f"sqlite:///{path}")
    assert _read(path, "SELECT id, name FROM organisation ORDER BY id") == [
        ("organisation_01A", "acme"),
        ("organisation_01B", "zenith"),
    ]
    assert _read(path, "SELECT id, organisation_id, name, updated_at_s FROM project ORDER BY id") == [
        ("project_01A", "organisation_01A", "acme", 6.0),
        ("project_01B", "organisation_01B", "zenith", 6.0),
    ]
    assert _read(path, "SELECT id, role, subject_id FROM token ORDER BY id") == [
        ("token_1", "member", "project_01A"),
        ("token_2", "admin", ""),
        ("token_3", "platform", "platform_01P"),
    ]
    assert _read(path, "SELECT id, audience, subject_id FROM webhook ORDER BY id") == [
        ("webhook_1", "project", "project_01B"),
        ("webhook_2", "gateway", ""),
    ]
    assert _read(path, "SELECT webhook_id, seq FROM webhook_delivery") == [("webhook_1", 7)]
    assert _read(path, "SELECT seq, project_id FROM event ORDER BY seq") == [(1, "project_01A"), (2, None)]
    kept = "project_id, offer_id, name, size, image, state, served_from, attempts, code, reason, key_pair, location"
    assert _read(path, f"SELECT {kept} FROM machine_order") == [
        ("project_01A", "offer_1", "web", "s1", "i1", "placed", "pool", 2, "c", "r", "kp", None)
    ]
    # What this little world left out is missed by its offer, and nothing else is.
    assert {dangling[0] for dangling in _read(path, "PRAGMA foreign_key_check")} == {"offer"}
    assert (
        _read(path, "SELECT name FROM sqlite_master WHERE sql LIKE '%tenant%' OR sql LIKE '%\\_new%' ESCAPE '\\'") == []
    )


def _up_to(path: Path, revision: str) -> None:
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=ON")

    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        command.upgrade(schema._config(connection), revision)
        connection.commit()
    engine.dispose()


def _run(path: Path, script: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(script)
    connection.close()


def _read(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
