"""SQLite: one file beside a lock file, one process at a time.

Writes begin with ``BEGIN IMMEDIATE``: a deferred transaction that turns into a write fails at once with SQLITE_BUSY
under load, and a busy timeout does not help.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool
from sqlmodel import create_engine

from catalog.store.place import BUSY_TIMEOUT_MS, READERS, Engines, HeldElsewhere

# What the disk or another program does to us; every other error is our own mistake and stays one.
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
}


class SqliteFile:
    """The Place that is one file."""

    def __init__(self, path: Path) -> None:
        """Take the file's absolute path; whatever is missing is made when it is opened."""
        self._path = path

    def exists(self) -> bool:
        """Return whether the file is there."""
        return self._path.exists()

    @contextmanager
    def alone(self) -> Iterator[Engines]:
        """Hold the lock file and give the engines."""
        with self._locked():
            write = _engine(self._path, begin="BEGIN IMMEDIATE", connections=1)
            read = _engine(self._path, begin="BEGIN", connections=READERS, read_only=True)
            try:
                yield Engines(write=write, read=read)
            finally:
                write.dispose()
                read.dispose()

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """Give a connection to the file."""
        engine = _engine(self._path, begin="BEGIN", connections=1)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    @contextmanager
    def rehearsing(self) -> Iterator[Connection]:
        """Give a connection to a copy in memory; a file that does not exist counts as an empty one."""
        engine = create_engine("sqlite://", poolclass=StaticPool, hide_parameters=True)
        _begin_with(engine, "BEGIN IMMEDIATE")
        try:
            self._copy(engine)
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def is_open_elsewhere(self) -> bool:
        """Return whether somebody holds the lock file."""
        try:
            lock = os.open(f"{self._path}.lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def is_passing(self, error: DBAPIError) -> bool:
        """Return whether the disk is full, or the file locked by another program, or the like."""
        extended: int = getattr(error.orig, "sqlite_errorcode", 0)
        return extended & 0xFF in _PASSING

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock file beside the database: two gateways' timers and tunnels would work against each other."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # The files hold sealed credentials and token digests: nobody else's business, whatever the umask.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HeldElsewhere(str(self._path)) from error
            yield
        finally:
            os.close(lock)  # releases the lock; the file stays, because removing it would race with the next opener

    def _copy(self, engine: Engine) -> None:
        if not self._path.exists():
            return
        # Without a log nobody has the file open; "immutable" then keeps SQLite from making a log just to read.
        quiet = "" if Path(f"{self._path}-wal").exists() else "&immutable=1"
        address = f"file:{quote(str(self._path))}?mode=ro{quiet}"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as source:
            copy = engine.raw_connection()
            try:
                source.backup(cast("sqlite3.Connection", copy.driver_connection))  # SQLite's, by the URL above
            finally:
                copy.close()


def _engine(path: Path, *, begin: str, connections: int, read_only: bool = False) -> Engine:
    # hide_parameters: an error's text must not carry the values, which may be secret.
    engine = create_engine(f"sqlite:///{path}", pool_size=connections, max_overflow=0, hide_parameters=True)
    _begin_with(engine, begin, read_only=read_only)
    return engine


def _begin_with(engine: Engine, begin: str, *, read_only: bool = False) -> None:
    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN is deferred and comes too late; we emit ours
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            # An answered request must survive a power cut: NORMAL syncs only at checkpoints.
            "synchronous=FULL",
            "foreign_keys=ON",
            f"query_only={'ON' if read_only else 'OFF'}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)
