"""PostgreSQL: what is promised of SQLite's file holds of a server too, which may stop, or be taken over."""

import signal
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text

from catalog.errors import InvalidValue, WrongState
from catalog.model.ids import SiteId, new_id
from catalog.model.network import Site
from catalog.store import rows, schema
from catalog.store.database import StoreUnavailable, Tx, migrate, rehearse, schema_state, shown
from tests.support import postgresql
from tests.support.stores import Store, store_at


@pytest.fixture
def store(postgresql_server: postgresql.PostgresqlServer) -> Iterator[Store]:
    """Return an open database on the server that all tests share."""
    with store_at(postgresql_server.emptied()) as opened:
        yield opened


@pytest.fixture(scope="module")
def own_server() -> Iterator[postgresql.PostgresqlServer]:
    """Return a server that the tests of this module may stop."""
    with postgresql.running() as server:
        yield server


def site(name: str) -> Site:
    """Return a site that is not stored yet."""
    return Site(id=SiteId(new_id("site", 0)), name=name)


def test_a_reader_sees_one_moment(store: Store) -> None:
    """A snapshot does not change while others commit, and does not stop them."""

    def look_twice(tx: Tx) -> tuple[int, int]:
        before = len(rows.where(tx, Site))
        with psycopg.connect(store.url) as other:
            other.execute(
                "INSERT INTO site (version, created_at_s, updated_at_s, id, name, region) VALUES (1,0,0,'s','s','')"
            )
        return before, len(rows.where(tx, Site))

    assert store.read(look_twice) == (0, 0)
    assert store.read(lambda tx: len(rows.where(tx, Site))) == 1


@pytest.mark.parametrize(
    ("setting", "writing", "reading"),
    [
        ("synchronous_commit", "on", "on"),
        ("transaction_isolation", "read committed", "repeatable read"),
        ("transaction_read_only", "off", "on"),
        ("lock_timeout", "5s", "5s"),
    ],
)
def test_the_settings_that_promises_rest_on_are_in_force(
    store: Store, setting: str, writing: str, reading: str
) -> None:
    """Whatever the server's defaults: commits are durable, reads are one snapshot, and waits for locks end."""

    def held(tx: Tx) -> object:
        return tx.connection().execute(text(f"SHOW {setting}")).scalar_one()

    assert (store.write(held), store.read(held)) == (writing, reading)


def test_a_value_that_cannot_be_held_is_the_askers_mistake(store: Store) -> None:
    """A text with a NUL in it, which SQLite takes, is refused as invalid, and the next transaction is well."""
    with pytest.raises(InvalidValue) as refused:
        store.write(lambda tx: rows.insert(tx, site("fra\0canary"), 1.0))
    assert "canary" not in str(refused.value)
    with pytest.raises(InvalidValue):
        store.read(lambda tx: rows.first(tx, Site, name="\0"))
    assert store.write(lambda tx: rows.where(tx, Site)) == []


def test_a_lock_held_by_another_program_is_passing(store: Store) -> None:
    """When a foreign program holds a table, writing raises a retryable error without SQL or values in its text."""
    with psycopg.connect(store.url) as other:
        other.execute("LOCK TABLE site IN ACCESS EXCLUSIVE MODE")

        def impatient(tx: Tx) -> None:
            tx.connection().execute(text("SET LOCAL lock_timeout = '10ms'"))
            rows.insert(tx, site("fra"), 1.0)

        with pytest.raises(StoreUnavailable) as refused:
            store.write(impatient)
    assert refused.value.retryable
    assert "INSERT" not in str(refused.value)
    store.write(lambda tx: rows.insert(tx, site("fra"), 1.0))


def test_a_server_that_is_killed_costs_one_error_and_no_commit(own_server: postgresql.PostgresqlServer) -> None:
    """What was committed before the server died is there after it came back; in between both kinds say "again"."""
    with own_server.fresh() as url, store_at(url) as store:
        store.write(lambda tx: rows.insert(tx, site("fra"), 1.0))
        own_server.stop(signal.SIGQUIT)
        for run in (store.write, store.read):
            with pytest.raises(StoreUnavailable):
                run(lambda tx: rows.where(tx, Site))
        own_server.start()
        assert [each.name for each in store.write(lambda tx: rows.where(tx, Site))] == ["fra"]
        assert [each.name for each in store.read(lambda tx: rows.where(tx, Site))] == ["fra"]


def test_a_gateway_that_was_taken_over_writes_no_more(own_server: postgresql.PostgresqlServer) -> None:
    """A gateway whose connection was cut, and whose lock another has taken, is refused each write, not each read."""
    with own_server.fresh() as url, store_at(url) as first:
        first.write(lambda tx: rows.insert(tx, site("fra"), 1.0))
        own_server.run("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        with store_at(url) as second:
            with pytest.raises(StoreUnavailable, match="took over"):
                first.write(lambda tx: rows.insert(tx, site("sin"), 1.0))
            assert len(first.read(lambda tx: rows.where(tx, Site))) == 1
            second.write(lambda tx: rows.insert(tx, site("bom"), 1.0))
        first.write(lambda tx: rows.insert(tx, site("sin"), 1.0))
        assert {each.name for each in first.read(lambda tx: rows.where(tx, Site))} == {"fra", "sin", "bom"}


def test_a_language_that_orders_text_its_own_way_is_refused(postgresql_server: postgresql.PostgresqlServer) -> None:
    """Only databases that compare text by its bytes are opened; the error says how to make one."""
    with postgresql_server.fresh(locale="C.UTF-8") as url:
        migrate(url)
    statement = (
        "CREATE DATABASE swedish TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'sv' LOCALE 'C'"
    )
    postgresql_server.run(statement)
    try:
        with pytest.raises(InvalidValue, match="by its bytes") as refused:
            migrate(postgresql_server.url("swedish"))
        assert "createdb" in (refused.value.fix or "")
    finally:
        postgresql_server.run("DROP DATABASE swedish")


def test_a_server_that_is_not_there_names_the_setting(postgresql_server: postgresql.PostgresqlServer) -> None:
    """The error names the setting and repeats no password."""
    url = postgresql_server.url("nowhere").replace("@", ":canary@")
    with pytest.raises(WrongState, match=r"database\.url") as refused:
        schema_state(url)
    assert refused.value.field == "database.url"
    assert "canary" not in f"{refused.value} {refused.value.fix} {shown(url)}"


def test_an_empty_database_gets_its_tables_in_one_go(postgresql_server: postgresql.PostgresqlServer) -> None:
    """A rehearsal on an empty database sees this release's tables and leaves none; a migration makes them all."""
    with postgresql_server.fresh() as url:
        assert rehearse(url, lambda tx: rows.where(tx, Site)) == []
        assert schema_state(url) is schema.SchemaState.EMPTY
        migrate(url)
        assert schema_state(url) is schema.SchemaState.CURRENT


def test_two_schemas_of_one_database_are_two_gateways(postgresql_server: postgresql.PostgresqlServer) -> None:
    """Two gateways may share a database, each in a schema of its own; neither waits for the other's lock."""
    with postgresql_server.fresh() as url:
        with psycopg.connect(url) as admin:
            admin.execute("CREATE SCHEMA east")
            admin.execute("CREATE SCHEMA west")
        east, west = (f"{url}&options=-csearch_path%3D{name}" for name in ("east", "west"))
        with store_at(east) as one, store_at(west) as other:
            one.write(lambda tx: rows.insert(tx, site("fra"), 1.0))
            assert other.write(lambda tx: rows.where(tx, Site)) == []
