"""Every test of the catalog that needs a database gets a real one of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.consenting import Talk, begin_talk
from tests.support.postgresql import PostgresqlServer
from tests.support.stores import Store, opened_store, store_at


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Return a fresh database, of each kind in turn."""
    if request.param == "sqlite":
        with opened_store(tmp_path) as opened:
            yield opened
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    with store_at(server.emptied()) as opened:
        yield opened


@pytest.fixture
def talk(store: Store) -> Talk:
    """Return a platform that nobody has asked yet."""
    return begin_talk(store)
