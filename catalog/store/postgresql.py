"""PostgreSQL: a server, one gateway at a time, with the same promises as SQLite's file.

The one write connection holds a session-level advisory lock for as long as it lives, so that every write of this
process is fenced by the lock it was made under: a gateway that lost its connection, and with it the lock, cannot write
before it has the lock again. Nobody else writes, so READ COMMITTED is serial, and no transaction has to be repeated.
Reads are REPEATABLE READ and READ ONLY: one snapshot each.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlmodel import create_engine

from catalog.errors import InvalidValue, WrongState
from catalog.store.place import BUSY_TIMEOUT_MS, READERS, Engines, HeldElsewhere

CONNECT_TIMEOUT_S = 10
_LOCK = 0x43574159  # the class of our advisory locks; the schema's name is the rest, so that two may share a database
_TAKE = "SELECT pg_advisory_lock(%s, hashtext(current_schema()))"
# A server learns that a process died a moment after the process's successor was started.
_PATIENCE = "SET LOCAL lock_timeout = '2s'"
_HELD = """
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = :class AND objid = (hashtext(current_schema())::bigint & 4294967295)::oid
"""

_SAME_FOR_ALL = {
    # An answered request must survive a power cut, whatever the server's default is.
    "synchronous_commit": "on",
    "lock_timeout": f"{BUSY_TIMEOUT_MS}ms",
    # A dead peer's lock is let go within half a minute, not two hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_READING = {"default_transaction_isolation": r"repeatable\ read", "default_transaction_read_only": "on"}

# SQLSTATE classes and codes that a later try may not meet: connection, resources, operator, system, locks.
_PASSING_CLASSES = ("08", "53", "57", "58")
_PASSING = {"55P03", "40001", "40P01"}

# Pages and ranges compare text by its bytes, as SQLite does; a language's order would put "_" and "/" elsewhere.
_ORDER = """
    SELECT 'Z' < '_' AND '_' < 'a' AND 'order.z' < 'order/', pg_encoding_to_char(encoding)
    FROM pg_database WHERE datname = current_database()
"""


class PostgresqlSchema:
    """The Place that is one schema of a server's database: the first of the role's search path that exists."""

    def __init__(self, url: URL) -> None:
        """Take a URL of the ``postgresql`` family; the driver is ours to choose."""
        self._url = url.set(drivername="postgresql+psycopg")

    def exists(self) -> bool:
        """Return True: a database that is not there is an error, and no reason to make one."""
        return True

    @contextmanager
    def alone(self) -> Iterator[Engines]:
        """Take the advisory lock, and give the engines."""
        write = self._engine(_SAME_FOR_ALL, connections=1, writes=True)
        event.listen(write, "connect", _take_lock)
        read = self._engine(_SAME_FOR_ALL | _READING, connections=READERS)
        try:
            with self._answering(), write.connect() as connection:
                _demand_byte_order(connection)
            yield Engines(write=write, read=read)
        finally:
            write.dispose()
            read.dispose()

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """Give a connection that only reads."""
        with self._connected(_SAME_FOR_ALL | _READING) as connection:
            yield connection

    @contextmanager
    def rehearsing(self) -> Iterator[Connection]:
        """Give a connection in a transaction that is rolled back; tables may be made in it too."""
        with self._connected(_SAME_FOR_ALL) as connection:
            yield connection

    def is_open_elsewhere(self) -> bool:
        """Return whether another connection holds the advisory lock."""
        with self.looking() as connection:
            return bool(connection.execute(text(_HELD), {"class": _LOCK}).scalar_one())

    def is_passing(self, error: DBAPIError) -> bool:
        """Return whether the server or the network is the cause, or somebody else's lock."""
        state = getattr(error.orig, "sqlstate", None) or ""
        # What the client says by itself, that it could not connect or was cut off, has no SQLSTATE.
        cut_off = not state and isinstance(error.orig, psycopg.OperationalError)
        return cut_off or error.connection_invalidated or state.startswith(_PASSING_CLASSES) or state in _PASSING

    @contextmanager
    def _connected(self, settings: dict[str, str]) -> Iterator[Connection]:
        engine = self._engine(settings, connections=0)
        try:
            with self._answering():
                connection = engine.connect()
            with connection:
                _demand_byte_order(connection)
                yield connection
        finally:
            engine.dispose()

    def _engine(self, settings: dict[str, str], *, connections: int, writes: bool = False) -> Engine:
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        given = str(self._url.query.get("options", ""))
        # pool_pre_ping: a server that was restarted costs the next transaction a connection, not an error.
        pool: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_pre_ping": True}
        told = {"options": f"{given} {options}".strip(), "connect_timeout": CONNECT_TIMEOUT_S}
        if writes:
            # With several hosts in the URL this finds the primary; a standby would refuse every write.
            told["target_session_attrs"] = "read-write"
        return create_engine(
            self._url.difference_update_query(["options"]),
            connect_args=told,
            hide_parameters=True,
            **(pool if connections else {"poolclass": NullPool}),
        )

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Say in our words why the server cannot be used; its own text stays the operator's."""
        try:
            yield
        except DBAPIError as error:
            raise WrongState(
                "the server of database.url cannot be used",
                field="database.url",
                detail=str(error.orig),
                fix="postgresql://ROLE@HOST/DATABASE, a server that runs, and a role that may log in there",
            ) from error


def _take_lock(connection: psycopg.Connection, _record: object) -> None:
    where = f"{connection.info.dbname} at {connection.info.host}"
    try:
        with connection.transaction():
            connection.execute(_PATIENCE)
            connection.execute(_TAKE, (_LOCK,))
    except psycopg.errors.LockNotAvailable as error:
        connection.close()
        raise HeldElsewhere(where) from error


def _demand_byte_order(connection: Connection) -> None:
    ordered, encoding = connection.execute(text(_ORDER)).one()
    connection.rollback()
    if not ordered or encoding != "UTF8":
        raise InvalidValue(
            "the database of database.url must hold UTF8 and order text by its bytes",
            field="database.url",
            fix="createdb --template=template0 --encoding=UTF8 --locale=C NAME",
        )
