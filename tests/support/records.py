"""Where a test keeps a provisioner's records: a file, or a server whose time stands still until the test moves it."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import psycopg

from drivers.provisioner.records import SqliteRecords, SqlRecords
from drivers.provisioner.shared_records import PostgresqlRecords
from tests.support.clocks import ManualClock
from tests.support.postgresql import PostgresqlServer

# Found before the server's own: the search path of whoever comes by the URL below names its schema first.
_STOPPED = """
    CREATE SCHEMA stopped;
    CREATE TABLE stopped.clock (now_s double precision NOT NULL);
    CREATE FUNCTION stopped.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT to_timestamp(now_s) FROM stopped.clock';
"""


class Place(Protocol):
    """Records that are opened as often as a test likes, and the clock that they go by."""

    clock: ManualClock

    def open(self) -> AbstractAsyncContextManager[SqlRecords]:
        """Open them, as a process does that starts."""
        ...


class FilePlace:
    """A file in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self._folder = folder

    def open(self) -> AbstractAsyncContextManager[SqlRecords]:
        """Open it, which only one may at a time."""
        return SqliteRecords.open(self._folder / "p.sqlite3")


class ServerPlace:
    """The database at ``url``."""

    def __init__(self, url: str, clock: ManualClock) -> None:
        self.url = url
        self.clock = clock

    def open(self, *, ahead_s: float = 0.0) -> AbstractAsyncContextManager[PostgresqlRecords]:
        """Open it as a process whose host's clock is ``ahead_s`` of the server's."""
        return PostgresqlRecords.open(self.url, AheadClock(self.clock, ahead_s))


class AheadClock:
    """A host's clock that is wrong by so much."""

    def __init__(self, clock: ManualClock, ahead_s: float) -> None:
        self._clock = clock
        self._ahead_s = ahead_s

    def now_s(self) -> float:
        """Return what it shows."""
        return self._clock.now_s() + self._ahead_s


class ServedClock(ManualClock):
    """A clock that a server goes by as well."""

    def __init__(self, connection: psycopg.Connection) -> None:
        super().__init__()
        self._connection = connection
        self._connection.execute("INSERT INTO stopped.clock VALUES (%s)", (self.now_s(),))

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, here and there."""
        super().advance(seconds)
        self._connection.execute("UPDATE stopped.clock SET now_s = %s", (self.now_s(),))


@contextmanager
def server_place(server: PostgresqlServer) -> Iterator[ServerPlace]:
    """Give an empty database of ``server`` in which time stands still."""
    with server.fresh() as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_STOPPED.encode())
        yield ServerPlace(f"{url}&options=-csearch_path%3Dstopped,pg_catalog,public", ServedClock(connection))
