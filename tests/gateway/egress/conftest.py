"""The connection machinery, behind which a provisioner calls clouds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.connecting import Connecting, connecting


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Connecting]:
    """Return the machinery over a fresh database, with everything accepted that is granted."""
    with connecting(tmp_path) as made:
        made.accept_everything()
        yield made
