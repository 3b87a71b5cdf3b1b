"""One database, opened by one process: short transactions on threads of their own.

Writes run one after another on a single thread, and nobody else writes meanwhile: what a transaction read is still
true when it writes. Reads run beside them on a few threads, each on one consistent snapshot that refuses writes. A
transaction never waits for anything but the database: read, work outside, then write, guarded by a version, state or
lease. How SQLite and PostgreSQL each keep these promises: ``catalog.store.sqlite``, ``catalog.store.postgresql``.

A part with tables of its own (the queue, the provisioner) gives them a MetaData of its own and calls
``ensure_tables`` once at its start; the tables of ``catalog.model`` come from the migrations.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, FromClause, MetaData
from sqlalchemy.dialects import postgresql as postgresql_dialect
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError
from sqlmodel import Session

from catalog.errors import CatalogError, InvalidValue, WrongState
from catalog.messages.bell import Bell
from catalog.ports import Clock
from catalog.store import events, schema
from catalog.store.place import READERS, Engines, HeldElsewhere, Place
from catalog.store.postgresql import PostgresqlSchema
from catalog.store.sqlite import SqliteFile

T = TypeVar("T")
Tx = Session


class StoreUnavailable(CatalogError):
    """The database cannot be used now (disk full, server away, locked by another program).

    Nothing was written, unless the server went away between the commit and its answer: whoever repeats a POST with the
    same Idempotency-Key finds out without harm.
    """

    code = "store-unavailable"
    retryable = True


class Database:
    """The open database. Rows that leave a transaction stay readable; they never load anything later."""

    def __init__(self, place: Place, engines: Engines, clock: Clock) -> None:
        """Prepare threads for the engines of ``place``; use ``Database.open`` instead."""
        self.clock = clock
        self.told = Bell()  # rings after each commit that appended to the event log
        self._place = place
        self._write_engine = engines.write
        self._read_engine = engines.read
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, clock: Clock) -> AsyncIterator[Self]:
        """Open the database at ``url`` for this process alone; an empty one gets its tables.

        ``sqlite:///path`` or ``postgresql://role@host/name``. Raises WrongState, naming the setting ``database.url``,
        when another process has it open, its server cannot be reached or its tables belong to another release, and
        InvalidValue for a URL that is not understood.
        """
        place = _place(url)
        async with AsyncExitStack() as stack:
            database = cls(place, stack.enter_context(_alone(place)), clock)
            stack.callback(database._close)
            await database._on_writer(database._make_ready)
            yield database

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` in the one write transaction of its moment and return its result after the commit.

        Whatever ``work`` raises rolls everything back and leaves unchanged. Durable on return.
        A caller that is cancelled cannot know whether its work was committed. ``work`` may run only once.
        Raises StoreUnavailable when the disk is full, the server is away or another program holds what we need, and
        InvalidValue for a value that the database cannot hold.
        """
        loop = asyncio.get_running_loop()

        def told() -> None:
            # From the writer's thread and not after the await: a cancelled caller's commit is news all the same.
            loop.call_soon_threadsafe(self.told.ring)

        return await self._on_writer(lambda: self._in_transaction(self._write_engine, work, told))

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` on a consistent snapshot of what was committed, and return its result; writing raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._in_transaction, self._read_engine, work)

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

    def _in_transaction(self, engine: Engine, work: Callable[[Tx], T], told: Callable[[], None] | None = None) -> T:
        try:
            with Session(engine, expire_on_commit=False) as tx:
                result = work(tx)
                # Also after a read: a change that was made there by mistake fails here instead of vanishing.
                tx.commit()
                if told is not None and events.TOLD in tx.info:
                    told()
                return result
        except HeldElsewhere as error:
            raise StoreUnavailable("another gateway took over the database", detail=str(error)) from error
        except DataError as error:
            raise InvalidValue("a value is not one that the database can hold", detail=str(error.orig)) from error
        except DBAPIError as error:
            if self._place.is_passing(error):
                raise StoreUnavailable("the database cannot be used now", detail=str(error.orig)) from error
            raise
        except StopIteration as error:
            # A future cannot carry StopIteration: the caller would wait for ever.
            raise RuntimeError("a transaction's work raised StopIteration") from error


_FIXES = {
    schema.SchemaState.OLDER: "back it up, then bring it up to date with: crossway migrate",
    schema.SchemaState.NEWER: "start the newer release that wrote it",
}


def migrate(url: str) -> None:
    """Bring the tables at ``url`` up to this release. Raises WrongState while another process has it open."""
    with _alone(_place(url)) as engines, engines.write.begin() as connection:
        schema.migrate(connection)


def schema_state(url: str) -> schema.SchemaState:
    """Return how the tables at ``url`` stand to this release; creates nothing."""
    place = _place(url)
    if not place.exists():
        return schema.SchemaState.EMPTY
    with place.looking() as connection:
        return schema.state(connection)


def is_open_elsewhere(url: str) -> bool:
    """Return whether another process has the database at ``url`` open now; creates nothing."""
    return _place(url).is_open_elsewhere()


def rehearse(url: str, work: Callable[[Tx], T]) -> T:
    """Run ``work`` on what is there, let nothing of it stay, and return the result: what would come of it.

    Changes and creates nothing, and may be called while another process has the database open. A database that does
    not exist yet counts as an empty one. Raises what ``work`` raises, and WrongState for tables of another release.
    """
    with _place(url).rehearsing() as connection, connection.begin() as rehearsal:
        try:
            _make_current(connection)
            with Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as tx:
                result = work(tx)
                tx.commit()  # what a real commit would refuse is refused here too
                return result
        finally:
            rehearsal.rollback()


def shown(url: str) -> str:
    """Return ``url`` as it may be printed: without a password."""
    return make_url(url).render_as_string(hide_password=True)


def insert_new(tx: Tx, table: FromClause | type[Any]) -> sqlite_dialect.Insert | postgresql_dialect.Insert:
    """Return an insert into ``table`` that leaves a row alone which is there already, for ``values`` to be added."""
    dialect = postgresql_dialect if tx.get_bind().dialect.name == "postgresql" else sqlite_dialect
    made: sqlite_dialect.Insert | postgresql_dialect.Insert = dialect.insert(table)
    return made.on_conflict_do_nothing()


def _make_current(connection: Connection) -> None:
    state = schema.state(connection)
    if state is schema.SchemaState.EMPTY:
        schema.migrate(connection)
    elif state is not schema.SchemaState.CURRENT:
        raise WrongState(
            f"the tables of database.url are {state.value} than this program", field="database.url", fix=_FIXES[state]
        )


def _place(url: str) -> Place:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _bad_url() from error
    if not parsed.database or parsed.database == ":memory:":
        raise _bad_url()
    match parsed.get_backend_name():
        case "sqlite":
            return SqliteFile(Path(parsed.database).absolute())
        case "postgresql":
            return PostgresqlSchema(parsed)
        case _:
            raise _bad_url()


@contextmanager
def _alone(place: Place) -> Iterator[Engines]:
    try:
        with place.alone() as engines:
            yield engines
    except HeldElsewhere as error:
        raise WrongState(
            f"another process has the database of database.url open ({error})",
            field="database.url",
            fix="stop the other process, or give this one a database of its own",
        ) from error


def _bad_url() -> InvalidValue:
    # The URL itself stays out of the text: it may hold a password.
    return InvalidValue(
        "database.url is not the URL of a database that this release can use",
        field="database.url",
        fix="sqlite:////var/lib/crossway/crossway.db, or postgresql://crossway@db.example.org/crossway",
    )
