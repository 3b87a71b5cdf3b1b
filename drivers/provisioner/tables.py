"""The tables of the provisioner's records, and the SQLite file that they live in unless a server has them."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    inspect,
    update,
)

from catalog.errors import WrongState

BUSY_TIMEOUT_MS = 5_000

METADATA = MetaData()
JOBS = Table(
    "job",
    METADATA,
    # Its column bears the name from when machines were all there was: to rename it would lock out earlier releases.
    Column("machine", String, primary_key=True, key="subject"),
    Column("platform", String, nullable=False),
    Column("order", String),
    Column("name", String, nullable=False),
    Column("size", String, nullable=False),
    Column("image", String, nullable=False),
    Column("location", String),
    Column("key_pair", String),
    Column("network", String),
    Column("tags", JSON, nullable=False),
    Column("wanted", Boolean, nullable=False),
    Column("asked_attempt", Integer, nullable=False),
    Column("deadline_at_s", Float, nullable=False),
    Column("phase", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("cloud_id", String),
    Column("made_at_s", Float),
    Column("create_begun_at_s", Float),
    Column("unsure_until_s", Float),
    Column("failure", JSON(none_as_null=True)),
    Column("failed_at_s", Float),
    Column("troubles", Integer, nullable=False),
    Column("due_at_s", Float),
    Column("fence", Integer, nullable=False),
    Column("lease_until_s", Float, nullable=False),
    Column("written_at_s", Float),
    Column("epoch", Integer),
    Column("kind", String),
    Column("capability", String),
    Column("size_gib", Integer),
    Column("parent", String),
    Column("options", JSON),
    Column("told", String),
    Index("ix_job_due", "due_at_s"),
)
INBOX = Table("inbox", METADATA, Column("id", String, primary_key=True), Column("at_s", Float, nullable=False))
OUTBOX = Table(
    "outbox",
    METADATA,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("body", String, nullable=False),
    Column("sent_at_s", Float),
    # Which of the processes that share the tables wrote it, and when: that one sends it, as long as it lives.
    Column("by", String),
    Column("written_at_s", Float),
    Index("ix_outbox_unsent", "sent_at_s", "seq"),
)
# Below which epoch of its grant a platform's work is refused. For machines "platform" holds the platform alone, for
# other capabilities PLATFORM/CAPABILITY.
ENDED = Table(
    "ended_epoch",
    METADATA,
    Column("platform", String, primary_key=True),
    Column("below", Integer, nullable=False),
)
# What this release added to files of earlier ones; in those its values are null.
ASSET_COLUMNS = ("kind", "capability", "size_gib", "parent", "options")
_ADDED = {
    JOBS: ("key_pair", "network", "written_at_s", "epoch", "told", *ASSET_COLUMNS),
    OUTBOX: ("by", "written_at_s"),
}


def make_ready(tx: Connection, schema: str | None = None) -> None:
    """Make what is missing of the tables; ``schema``: where the engine has them instead of in the default one."""
    METADATA.create_all(tx)
    for table, added in _ADDED.items():
        present = {each["name"] for each in inspect(tx).get_columns(table.name, schema=schema)}
        where = table.name if schema is None else f"{schema}.{table.name}"
        for name in added:
            if name not in present:
                kind = table.c[name].type.compile(tx.dialect)
                tx.exec_driver_sql(f'ALTER TABLE {where} ADD COLUMN "{name}" {kind}')


def void_leases(tx: Connection) -> None:
    """Void every lease: whoever held one is gone. Only for whoever has the tables alone."""
    tx.execute(update(JOBS).values(lease_until_s=0.0))


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the file at ``path``, readable for us alone, while the block lasts. Raises WrongState if another does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WrongState(
                f"another process has the provisioner's records open ({path})",
                field="provision.database_url",
                fix="stop the other process, or name a PostgreSQL database there: its records take any number",
            ) from error
        # SQLite would make it readable for others; what it holds beside it (WAL) takes over its mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        yield
    finally:
        os.close(lock)


def engine_of(path: Path) -> Engine:
    """Return an engine of one connection on which every transaction is a write that survives a power cut."""
    engine = create_engine(f"sqlite:///{path}", pool_size=1, max_overflow=0, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
