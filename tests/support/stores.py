"""A real database in a temporary directory, driven from plain tests, and the rows that most of them start from."""

import asyncio
import functools
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import inspect, text

from catalog import enrolments, network, platforms
from catalog.errors import SealBroken
from catalog.model.connection import Connection
from catalog.model.ids import ConnectionId, PlatformId, new_id
from catalog.model.platform import Platform
from catalog.secrets import Sealer, Secret
from catalog.store import rows
from catalog.store.database import Database, Tx, migrate
from tests.support.clocks import ManualClock

T = TypeVar("T")

CANARY = "canary-7f3a-do-not-show"
PUBLIC_KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJDpLyHXwzOZ7mIsPJzd7pkUyMBkn9KSdPLoVRBnSTxZ"


class MemoryKeys:
    """A KeyProvider whose keys a test adds and takes away."""

    def __init__(self) -> None:
        self.keys = {"k1": b"1" * 32}

    def current(self) -> tuple[str, bytes]:
        """Return the newest."""
        return next(reversed(self.keys.items()))

    def by_id(self, key_id: str) -> bytes:
        """Return the key, or raise as a provider must."""
        if key_id not in self.keys:
            raise SealBroken("no such key")
        return self.keys[key_id]


class Store:
    """A Database for tests that are not coroutines; ``now_s`` is its clock's moment."""

    def __init__(
        self, runner: asyncio.Runner, database: Database, clock: ManualClock, url: str, closing: AsyncExitStack
    ) -> None:
        self._runner = runner
        self.database = database
        self.clock = clock
        self.url = url
        self._closing = closing
        self.keys = MemoryKeys()
        self.sealer = Sealer(self.keys)

    @property
    def path(self) -> Path:
        """Return the file of a SQLite database."""
        return Path(self.url.removeprefix("sqlite:///"))

    def close(self) -> None:
        """Close the database; may be repeated."""
        self._runner.run(self._closing.aclose())

    def at_rest(self) -> bytes:
        """Return everything that a thief of the disk would read: files of SQLite, every row of PostgreSQL."""
        if self.url.startswith("sqlite"):
            return b"".join(file.read_bytes() for file in sorted(self.path.parent.iterdir()) if file.is_file())

        def rows_of_all(tx: Tx) -> bytes:
            connection = tx.connection()
            names = inspect(connection).get_table_names()
            found = (connection.execute(text(f'SELECT * FROM "{name}"')).all() for name in names)
            return "".join(repr(tuple(row)) for table in found for row in table).encode()

        return self.read(rows_of_all)

    @property
    def now_s(self) -> float:
        """Return the clock's present moment."""
        return self.clock.now_s()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on the database's own event loop and return its result."""
        return self._runner.run(work)

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` in a transaction of its own."""
        return self._runner.run(self.database.write(work))

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` on a snapshot."""
        return self._runner.run(self.database.read(work))


@functools.cache
def _migrated() -> bytes:
    """Return a database as the migrations make it from nothing; made once, because it costs a tenth of a second."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "empty.db"
        migrate(f"sqlite:///{path}")
        return path.read_bytes()


@contextmanager
def opened_store(directory: Path) -> Iterator[Store]:
    """Open the SQLite file in ``directory``, a fresh one if it is not there, until the block ends."""
    path = directory / "crossway.db"
    if not path.exists():
        path.touch(0o600)
        path.write_bytes(_migrated())
    with store_at(f"sqlite:///{path}") as store:
        yield store


@contextmanager
def store_at(url: str) -> Iterator[Store]:
    """Open the database at ``url`` until the block ends."""
    clock = ManualClock()
    with asyncio.Runner() as runner:
        closing = AsyncExitStack()
        database = runner.run(closing.enter_async_context(Database.open(url, clock=clock)))
        store = Store(runner, database, clock, url, closing)
        try:
            yield store
        finally:
            store.close()


def enrolment_request(name: str = "mumbai", **changes: object) -> platforms.EnrolmentRequest:
    """Return a valid request with ``changes``."""
    told: dict[str, object] = {
        "name": name,
        "provider": "simulated",
        "site": "bom",
        "account": "primary",
        "secret": Secret(CANARY),
        "api_url": "https://api.example.org:8443/v3",
        "connector_url": "https://connector.example.org",
        "public_key": PUBLIC_KEY,
    }
    return platforms.EnrolmentRequest(**{**told, **changes})  # type: ignore[arg-type]


def add_platform(store: Store, name: str = "mumbai", **changes: object) -> Platform:
    """Enrol a platform at site ``bom`` whose two endpoints an admin approved."""

    def work(tx: Tx) -> Platform:
        now_s = store.now_s
        if not rows.where(tx, network.Site, name="bom"):
            network.add_site(tx, name="bom", now_s=now_s)
        approved = [
            {"purpose": "api", "url": "https://api.example.org:8443/v3", "dial": "10.0.0.5:8443"},
            {"purpose": "connector", "url": "https://connector.example.org", "dial": "10.0.0.6:443"},
        ]
        _, token = enrolments.create_enrolment(tx, platform_name=name, endpoints=approved, now_s=now_s)
        platform, _ = platforms.enrol(
            tx,
            token_text=token,
            request=enrolment_request(name, **changes),
            sealer=store.sealer,
            known_providers=("simulated",),
            now_s=now_s,
        )
        return platform

    return store.write(work)


def add_connection(store: Store, platform_id: PlatformId) -> ConnectionId:
    """Insert a connection of the platform to itself, as a grant refers to one."""
    connection = Connection(
        id=ConnectionId(new_id("connection", store.now_s)),
        requester_id=platform_id,
        target_id=platform_id,
        consented=True,
    )
    return store.write(lambda tx: rows.insert(tx, connection, store.now_s)).id
