"""The provisioner's records on PostgreSQL: any number of processes work them off, in a schema of their own.

A job is taken by one of them (``SKIP LOCKED``) under a lease that ends by itself, by the server's clock: no process
knows which of the others live, nor what their hosts' clocks show. What a lost connection cut off is done again, as
often as it takes: every unit of work may be repeated, and without its records a provisioner can do nothing.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Self, TypeVar

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, extract, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from catalog.errors import InvalidValue, WrongState
from catalog.ports import Clock
from catalog.secrets import Secret
from drivers.provisioner.records import SqlRecords, Work
from drivers.provisioner.tables import make_ready

log = logging.getLogger(__name__)

T = TypeVar("T")

SCHEMA: Final = "provisioner"
CONNECTIONS: Final = 4  # of a process, whatever it does: servers run out of them
CONNECT_TIMEOUT_S: Final = 10
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 3.0
LEFT_AFTER_S: Final = 10.0  # whoever wrote a result sends it at once; after that anybody does
FIELD: Final = "provision.database_url"
_SETTINGS: Final = {
    # What was written must survive a power cut, whatever the server's default is: a create may follow it.
    "synchronous_commit": "on",
    "lock_timeout": "5s",
    # A process that is held up in the middle of a transaction holds up the others for no longer than that.
    "idle_in_transaction_session_timeout": "5s",
    # A dead peer's locks are let go within half a minute, not two hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_ONE_AT_A_TIME: Final = text("SELECT pg_advisory_xact_lock(hashtext('crossway'), hashtext(:schema))")
_IS_THERE: Final = text("SELECT 1 FROM pg_namespace WHERE nspname = :schema")
_NOW: Final = select(extract("epoch", func.now()))
# SQLSTATE classes and codes that a later try may not meet: connection, resources, operator, system, locks.
_PASSING_CLASSES: Final = ("08", "53", "57", "58")
_PASSING: Final = {"55P03", "40001", "40P01"}


class ServerClock:
    """The server's time between two looks at it: the host's clock, moved by what it was off at the last one."""

    def __init__(self, clock: Clock) -> None:
        """``clock`` is the host's; it may be wrong, as long as it goes on."""
        self._clock = clock
        self._off_s = 0.0

    def now_s(self) -> float:
        """Return seconds since the Unix epoch, as the server would."""
        return self._clock.now_s() + self._off_s

    def look(self, tx: Connection) -> float:
        """Ask the server, and return its time."""
        # Read before asking: the time that the answer takes makes us late for nothing, only early.
        here_s = self._clock.now_s()
        there_s = float(tx.execute(_NOW).scalar_one())
        self._off_s = there_s - here_s
        return there_s


class PostgresqlRecords(SqlRecords):
    """Records that any number of processes hold at once. ``clock`` is the server's: whoever writes here goes by it."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Prepare the threads; use ``open``."""
        super().__init__(engine, threads=CONNECTIONS)
        self.clock = ServerClock(clock)
        self._name = secrets.token_hex(8)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, clock: Clock, *, password: Secret | None = None) -> AsyncIterator[Self]:
        """Open the records in the database at ``url``, and make what is missing of them; ``clock`` is the host's.

        Raises InvalidValue for a URL that is not PostgreSQL's, WrongState when the server cannot be used.
        """
        records = cls(_engine(url, password), clock)
        try:
            with _answering():
                await asyncio.get_running_loop().run_in_executor(
                    records._threads, records._in_transaction, records._make_ready
                )
            yield records
        finally:
            records._close()

    def _make_ready(self, tx: Connection) -> None:
        tx.execute(_ONE_AT_A_TIME, {"schema": SCHEMA})
        # Asked first: whoever may not make one is refused even where it is there.
        if tx.execute(_IS_THERE, {"schema": SCHEMA}).first() is None:
            tx.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
        make_ready(tx, SCHEMA)
        self.clock.look(tx)

    def _now_s(self, tx: Connection, now_s: float) -> float:  # noqa: ARG002  # a host's, which another's never meets
        return self.clock.look(tx)

    def _left_before_s(self, tx: Connection) -> float:
        return self.clock.look(tx) - LEFT_AFTER_S

    async def _run(self, work: Work[T]) -> T:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                result = await super()._run(work)
            except DBAPIError as error:
                if not _is_passing(error):
                    raise
                if pause_s == FIRST_PAUSE_S:
                    log.warning("the provisioner's records do not answer", extra={"reason": str(error.orig)})
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                return result


def check(url: str, *, password: Secret | None = None) -> None:
    """Raise InvalidValue or WrongState if records could not be opened there; changes nothing."""
    engine = _engine(url, password)
    try:
        with _answering(), engine.connect() as connection:
            connection.execute(_IS_THERE, {"schema": SCHEMA})
    finally:
        engine.dispose()


def _engine(url: str, password: Secret | None) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _bad_url() from error
    if parsed.get_backend_name() != "postgresql" or not parsed.database:
        raise _bad_url()
    return create_engine(
        parsed.set(drivername="postgresql+psycopg").difference_update_query(["options"]),
        connect_args=_connecting(parsed, password),
        execution_options={"schema_translate_map": {None: SCHEMA}},
        hide_parameters=True,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_pre_ping=True,
    )


def _connecting(url: URL, password: Secret | None) -> dict[str, Any]:
    given = str(url.query.get("options", ""))
    options = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
    told = {
        "options": f"{given} {options}".strip(),
        "connect_timeout": CONNECT_TIMEOUT_S,
        # With several hosts in the URL this finds the primary; a standby would refuse every write.
        "target_session_attrs": "read-write",
    }
    return told if password is None else {**told, "password": password.reveal()}


@contextmanager
def _answering() -> Iterator[None]:
    """Say in our words why the server cannot be used; its own text stays the operator's."""
    try:
        yield
    except DBAPIError as error:
        raise WrongState(
            f"the server of {FIELD} cannot be used",
            field=FIELD,
            detail=str(error.orig),
            fix=f"a server that runs, and a role that may log in and owns the schema {SCHEMA}: config/roles.sql",
        ) from error


def _is_passing(error: DBAPIError) -> bool:
    """Return whether the server or the network is the cause, or somebody else's lock."""
    state = getattr(error.orig, "sqlstate", None) or ""
    # What the client says by itself, that it could not connect or was cut off, has no SQLSTATE.
    cut_off = not state and isinstance(error.orig, psycopg.OperationalError)
    return cut_off or error.connection_invalidated or state.startswith(_PASSING_CLASSES) or state in _PASSING


def _bad_url() -> InvalidValue:
    # The URL itself stays out of the text: it may hold a password.
    return InvalidValue(
        f"{FIELD} is not the URL of a PostgreSQL database",
        field=FIELD,
        fix="postgresql://crossway_provisioner@db.example.org/crossway",
    )
