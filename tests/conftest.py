"""What tests of several folders share: programs that are started once for a test process."""

from collections.abc import Iterator

import pytest

from tests.support import postgresql, rabbitmq


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.PostgresqlServer]:
    """Return a private PostgreSQL server."""
    with postgresql.running() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[rabbitmq.RabbitmqServer]:
    """Return a private broker."""
    with rabbitmq.running() as server:
        yield server
