"""What tests of several folders share: programs that are started once for a test process."""

from collections.abc import Iterator

import pytest

from tests.support import postgresql


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.PostgresqlServer]:
    """Return a private PostgreSQL server."""
    with postgresql.running() as server:
        yield server
