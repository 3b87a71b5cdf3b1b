"""SQLite's file: immediate transactions, durable commits, nobody else's eyes."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from catalog.model.ids import SiteId, new_id
from catalog.model.network import Site
from catalog.store import rows, schema
from catalog.store.database import StoreUnavailable, Tx
from tests.support.stores import Store, opened_store


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Store]:
    """Return a fresh database in a file."""
    with opened_store(tmp_path) as opened:
        yield opened


def site(name: str) -> Site:
    """Return a site that is not stored yet."""
    return Site(id=SiteId(new_id("site", 0)), name=name)


def test_a_write_transaction_is_immediate(file: Store) -> None:
    """A foreign writer cannot slip between a transaction's read and its write: it is locked out from the start."""

    def read_then_write(tx: Tx) -> None:
        tx.connection().execute(text("SELECT count(*) FROM site"))
        other = sqlite3.connect(file.path, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
        rows.insert(tx, site("fra"), 1.0)

    file.write(read_then_write)


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)],
)
def test_the_settings_that_durability_rests_on_are_in_force(file: Store, pragma: str, value: object) -> None:
    """Both kinds of transaction run with WAL, synchronous=FULL (2), foreign keys and a bounded wait for locks."""
    for run in (file.write, file.read):
        assert run(lambda tx: tx.connection().execute(text(f"PRAGMA {pragma}")).scalar_one()) == value


def test_a_reader_sees_one_moment(file: Store) -> None:
    """A snapshot does not change while others commit, and does not stop them."""

    def look_twice(tx: Tx) -> tuple[int, int]:
        before = len(rows.where(tx, Site))
        other = sqlite3.connect(file.path)
        with other:
            other.execute(
                "INSERT INTO site (version, created_at_s, updated_at_s, id, name, region) VALUES (1,0,0,'s','s','')"
            )
        other.close()
        return before, len(rows.where(tx, Site))

    assert file.read(look_twice) == (0, 0)
    assert file.read(lambda tx: len(rows.where(tx, Site))) == 1


def test_a_lock_held_by_another_program_is_passing(file: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a foreign program holds the file, writing raises a retryable error without SQL or values in its text."""
    monkeypatch.setattr("catalog.store.sqlite.BUSY_TIMEOUT_MS", 1)
    file.database._write_engine.dispose()  # so that the next connection waits one millisecond, not five seconds
    other = sqlite3.connect(file.path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable) as refused:
        file.write(lambda tx: rows.insert(tx, site("fra"), 1.0))
    assert refused.value.retryable
    assert "INSERT" not in str(refused.value)
    other.rollback()
    other.close()
    file.write(lambda tx: rows.insert(tx, site("fra"), 1.0))


def test_only_the_owner_can_read_the_files(file: Store) -> None:
    """The database, its log and its lock are private whatever the umask says."""
    files = list(file.path.parent.glob("crossway.db*"))
    assert len(files) >= 3
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_enum_columns_refuse_words_that_are_no_states(file: Store) -> None:
    """The migrated tables hold the CHECKs: a state that the models do not know is refused by the database itself."""
    for table, kept in schema.metadata().tables.items():
        checks = {c.name for c in kept.constraints if type(c).__name__ == "CheckConstraint"}
        sql = file.read(
            lambda tx, table=table: (
                tx.connection()
                .execute(text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": table})
                .scalar_one()
            )
        )
        assert sql.count("CHECK (") == len(checks), table
