"""A small market in a real database."""

import pytest

from tests.support.markets import add_market
from tests.support.stores import Store


@pytest.fixture
def market(store: Store) -> Store:
    """Return a database of each kind in turn, with 6 platforms of 16 sizes and 8 images each."""
    store.write(lambda tx: add_market(tx, range(6), sizes=16, images=8))
    return store
