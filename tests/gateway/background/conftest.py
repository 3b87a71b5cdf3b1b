"""The connection machinery for the tasks that work through it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.connecting import Connecting, connecting


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Connecting]:
    """Return the machinery over a fresh database; the gateway may dial the platform directly."""
    with connecting(tmp_path) as made:
        yield made
