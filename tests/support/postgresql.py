"""A private PostgreSQL server: its own data folder, reached through a socket there, stopped by its own pid."""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from catalog.store.database import migrate

PROGRAMS = Path("/usr/lib/postgresql")
STARTED_IN_S = 60.0
ADMIN = "crossway_tests"
MIGRATED = "migrated"
# Nothing of a test's database has to outlive the machine.
_SMALL = {"shared_buffers": "32MB", "max_connections": "100"}
_FAST = {"fsync": "off", "full_page_writes": "off"}


class PostgresqlServer:
    """A running server that makes databases."""

    def __init__(self, folder: Path, *, is_durable: bool) -> None:
        """Take the folder of its socket and data; use ``running`` instead."""
        self._options = _SMALL if is_durable else _SMALL | _FAST
        self._folder = folder
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, name: str) -> str:
        """Return the URL of the database ``name``."""
        return f"postgresql://{ADMIN}@/{name}?host={self._folder}"

    @contextmanager
    def fresh(self, template: str = "template0", locale: str = "C") -> Iterator[str]:
        """Give the URL of an empty database, or of a copy of ``template``, that is dropped when the block ends."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8' LOCALE '{locale}' STRATEGY FILE_COPY")
        try:
            yield self.url(name)
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def emptied(self) -> str:
        """Return the URL of a database with this release's tables and nothing in them: the same one each time.

        Emptying it costs a tenth of making another.
        """
        with psycopg.connect(self.url(MIGRATED), autocommit=True) as connection:
            found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            tables = {name for (name,) in found} - {"alembic_version", "log_head"}
            emptying = [sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for name in sorted(tables)]
            begun = sql.SQL("UPDATE log_head SET seq = 0, digest = ''")
            apart = sql.SQL("SET session_replication_role = replica")  # whoever refers to whom: all of it goes
            connection.execute(sql.SQL(";").join([apart, *emptying, begun]))
        return self.url(MIGRATED)

    def run(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement as the server's superuser, outside any transaction, and return what it found."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    def demand_password(self, role: str) -> None:
        """Let ``role`` in with its password only."""
        rules = self._folder / "data" / "pg_hba.conf"
        rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
        self.run("SELECT pg_reload_conf()")

    @property
    def is_up(self) -> bool:
        """Return whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server on its folder, and wait until it answers."""
        options = [part for name, value in self._options.items() for part in ("-c", f"{name}={value}")]
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", self._folder / "data", "-h", "", "-k", self._folder, *options],
                stdout=log,
                stderr=log,
                **_as_somebody(),
            )
        end = time.monotonic() + STARTED_IN_S
        while True:
            try:
                self.run("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self._folder / "log").read_text()) from None
                time.sleep(0.02)  # the server has no other way to say that it is ready
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends every connection first, SIGQUIT is what a power cut looks like."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(STARTED_IN_S)
            self._process = None


@contextmanager
def running(*, is_durable: bool = False) -> Iterator[PostgresqlServer]:
    """Run a server of its own until the block ends; its database ``MIGRATED`` has this release's tables.

    One that ``is_durable`` writes through to the disk, as one in production does.
    """
    folder = Path(tempfile.mkdtemp(prefix="crossway-pg-"))
    server = PostgresqlServer(folder, is_durable=is_durable)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        command = [_program("initdb"), "-D", folder / "data", "-U", ADMIN, "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run([*command, "--no-sync"], check=True, capture_output=True, **_as_somebody())
        server.start()
        with contextlib.ExitStack() as stack:
            stack.callback(server.stop)
            server.run(f"CREATE DATABASE {MIGRATED} TEMPLATE template0")
            migrate(server.url(MIGRATED))
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> Path:
    found = sorted(PROGRAMS.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: .ci/setup-system test")
    return found[-1]


def _as_somebody() -> dict[str, str]:
    # The server refuses to run as root.
    return {"user": "postgres", "group": "postgres", "cwd": "/"} if os.geteuid() == 0 else {"cwd": "/"}
