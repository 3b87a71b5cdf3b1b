"""What holds of a provisioner's records in a file holds of them on a server: these tests run on both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgresql import PostgresqlServer
from tests.support.records import FilePlace, Place, ServerPlace, server_place


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Return a place for records, of each kind in turn."""
    if request.param == "sqlite":
        yield FilePlace(tmp_path)
        return
    with server_place(request.getfixturevalue("postgresql_server")) as found:
        yield found


@pytest.fixture
def served(postgresql_server: PostgresqlServer) -> Iterator[ServerPlace]:
    """Return a place for records on a server."""
    with server_place(postgresql_server) as found:
        yield found
