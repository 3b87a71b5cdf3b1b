"""One database, opened by one process: short transactions on threads of their own.

Writes run one after another on a single thread, each in ``BEGIN IMMEDIATE`` … ``COMMIT``: on SQLite a deferred
transaction that turns into a write fails at once with SQLITE_BUSY under load, and a busy timeout does not help.
Reads run beside them on a few threads, each on one consistent snapshot that refuses writes. A transaction never
waits for anything but the disk: read, work outside, then write, guarded by a version, state or lease.

A part with tables of its own (the queue, the provisioner) gives them a MetaData of its own and calls
``ensure_tables`` once at its start; the tables of ``catalog.model`` come from the migrations.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote

from sqlalchemy import Connection, Engine, MetaData, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import StaticPool
from sqlmodel import Session, create_engine

from catalog.errors import CatalogError, InvalidValue, WrongState
from catalog.messages.bell import Bell
from catalog.ports import Clock
from catalog.store import events, schema

T = TypeVar("T")
Tx = Session

READERS = 4
BUSY_TIMEOUT_MS = 5_000  # only a foreign program (a backup, sqlite3 by hand) can make us wait at all
# What the disk or another program does to us; every other OperationalError is our own mistake and stays one.
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
}


class StoreUnavailable(CatalogError):
    """The database cannot be used now (disk full, locked by another program); nothing was written."""

    code = "store-unavailable"
    retryable = True


class Database:
    """The open database. Rows that leave a transaction stay readable; they never load anything later."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Prepare engines and threads for the SQLite file at ``path``; use ``Database.open`` instead."""
        self.clock = clock
        self.told = Bell()  # rings after each commit that appended to the event log
        self._write_engine = _engine(path, begin="BEGIN IMMEDIATE", connections=1)
        self._read_engine = _engine(path, begin="BEGIN", connections=READERS, read_only=True)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, clock: Clock) -> AsyncIterator[Self]:
        """Open the database at ``url`` (``sqlite:///path``) for this process alone; an empty one gets its tables.

        Raises WrongState, naming the setting ``database.url``, when another process has it open or its tables
        belong to another release, and InvalidValue for a URL that is not understood.
        """
        path = _path(url)
        async with AsyncExitStack() as stack:
            stack.enter_context(_alone(path))
            database = cls(path, clock)
            stack.callback(database._close)
            await database._on_writer(database._make_ready)
            yield database

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` in the one write transaction of its moment and return its result after the commit.

        Whatever ``work`` raises rolls everything back and leaves unchanged. Durable on return (synchronous=FULL).
        A caller that is cancelled cannot know whether its work was committed. ``work`` may run only once.
        Raises StoreUnavailable when the disk is full or the file is locked by another program.
        """
        loop = asyncio.get_running_loop()

        def told() -> None:
            # From the writer's thread and not after the await: a cancelled caller's commit is news all the same.
            loop.call_soon_threadsafe(self.told.ring)

        return await self._on_writer(lambda: _in_transaction(self._write_engine, work, told))

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` on a consistent snapshot of what was committed, and return its result; writing raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, _in_transaction, self._read_engine, work)

    async def ensure_tables(self, metadata: MetaData) -> None:
        """Create the tables of ``metadata`` that are missing; for parts that keep tables of their own."""
        await self.write(lambda tx: metadata.create_all(tx.connection()))

    async def _on_writer(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    def _make_ready(self) -> None:
        with self._write_engine.begin() as connection:
            _make_current(connection)

    def _close(self) -> None:
        # Blocks for the transactions already begun: milliseconds, and nothing may be cut in the middle.
        for executor in (self._writer, self._readers):
            executor.shutdown(cancel_futures=True)
        for engine in (self._write_engine, self._read_engine):
            engine.dispose()


_FIXES = {
    schema.SchemaState.OLDER: "back it up, then bring it up to date with: crossway migrate",
    schema.SchemaState.NEWER: "start the newer release that wrote it",
}


def migrate(url: str) -> None:
    """Bring the tables at ``url`` up to this release. Raises WrongState while another process has it open."""
    path = _path(url)
    with _alone(path), _one_engine(path) as engine, engine.begin() as connection:
        schema.migrate(connection)


def schema_state(url: str) -> schema.SchemaState:
    """Return how the tables at ``url`` stand to this release; creates nothing."""
    path = _path(url)
    if not path.exists():
        return schema.SchemaState.EMPTY
    with _one_engine(path) as engine, engine.connect() as connection:
        return schema.state(connection)


def is_open_elsewhere(url: str) -> bool:
    """Return whether another process has the database at ``url`` open now; creates nothing."""
    try:
        lock = os.open(f"{_path(url)}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def rehearse(url: str, work: Callable[[Tx], T]) -> T:
    """Run ``work`` on a copy in memory, forget the copy, and return the result: what would come of it.

    Changes and creates nothing, and may be called while another process has the database open. A database that does
    not exist yet counts as an empty one. Raises what ``work`` raises, and WrongState for tables of another release.
    """
    engine = create_engine("sqlite://", poolclass=StaticPool, hide_parameters=True)
    _begin_with(engine, "BEGIN IMMEDIATE")
    try:
        _copy(_path(url), engine)
        with engine.begin() as connection:
            _make_current(connection)
        return _in_transaction(engine, work)
    finally:
        engine.dispose()


def _copy(path: Path, engine: Engine) -> None:
    if not path.exists():
        return
    # Without a log nobody has the file open; "immutable" then keeps SQLite from making a log just to read.
    quiet = "" if Path(f"{path}-wal").exists() else "&immutable=1"
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro{quiet}", uri=True)) as source:
        copy = engine.raw_connection()
        try:
            source.backup(cast("sqlite3.Connection", copy.driver_connection))  # SQLite's, by the URL above
        finally:
            copy.close()


def _make_current(connection: Connection) -> None:
    state = schema.state(connection)
    if state is schema.SchemaState.EMPTY:
        schema.migrate(connection)
    elif state is not schema.SchemaState.CURRENT:
        raise WrongState(
            f"the tables of database.url are {state.value} than this program", field="database.url", fix=_FIXES[state]
        )


def _path(url: str) -> Path:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _bad_url() from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise _bad_url()
    return Path(parsed.database).absolute()


def _bad_url() -> InvalidValue:
    # The URL itself stays out of the text: other databases' URLs hold passwords.
    return InvalidValue(
        "database.url is not the URL of a database that this release can use",
        field="database.url",
        fix="sqlite:////var/lib/crossway/crossway.db",
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock file beside ``path``: two gateways' timers and tunnels would work against each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The files hold sealed credentials and token digests: nobody else's business, whatever the umask.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WrongState(
                f"another process has the database of database.url open ({path})",
                field="database.url",
                fix="stop the other process, or give this one a database of its own",
            ) from error
        yield
    finally:
        os.close(lock)  # releases the lock; the file stays, because removing it would race with the next opener


@contextmanager
def _one_engine(path: Path) -> Iterator[Engine]:
    engine = _engine(path, begin="BEGIN IMMEDIATE", connections=1)
    try:
        yield engine
    finally:
        engine.dispose()


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


def _in_transaction(engine: Engine, work: Callable[[Tx], T], told: Callable[[], None] | None = None) -> T:
    try:
        with Session(engine, expire_on_commit=False) as tx:
            result = work(tx)
            # Also after a read: a change that was made there by mistake fails here instead of vanishing.
            tx.commit()
            if told is not None and events.TOLD in tx.info:
                told()
            return result
    except OperationalError as error:
        if _sqlite_code(error) in _PASSING:
            raise StoreUnavailable("the database cannot be used now", detail=str(error.orig)) from error
        raise
    except StopIteration as error:
        # A future cannot carry StopIteration: the caller would wait for ever.
        raise RuntimeError("a transaction's work raised StopIteration") from error


def _sqlite_code(error: OperationalError) -> int:
    extended: int = getattr(error.orig, "sqlite_errorcode", 0)
    return extended & 0xFF
