"""A small market in a real database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.markets import add_market
from tests.support.stores import Store, opened_store


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Store]:
    """Return a store with 6 platforms of 16 sizes and 8 images each."""
    with opened_store(tmp_path) as store:
        store.write(lambda tx: add_market(tx, platforms=6, sizes=16, images=8))
        yield store
