"""Lists by pages."""

from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import InvalidValue
from catalog.model.ids import SiteId
from catalog.model.network import Site
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import Page, page
from tests.support.stores import Store, opened_store


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Return one empty database for all of a property's examples."""
    with opened_store(tmp_path_factory.mktemp("paging")) as opened:
        yield opened


def fill(store: Store, count: int) -> None:
    """Insert ``count`` sites, every third in the region "eu"."""

    def work(tx: Tx) -> None:
        for number in range(count):
            site = Site(id=SiteId(f"site_{number:04}"), name=f"s{number}", region="eu" if number % 3 == 0 else "us")
            rows.insert(tx, site, 1.0)

    store.write(work)


def walk(store: Store, limit: int, **conditions: object) -> list[Page[Site]]:
    """Return all pages of the list."""
    pages: list[Page[Site]] = []
    token: str | None = None
    while not pages or token:
        pages.append(store.read(partial(page, kind=Site, limit=limit, token=token, **conditions)))
        token = pages[-1].next_token
    return pages


@pytest.mark.parametrize(("count", "limit", "sizes"), [(0, 5, [0]), (5, 5, [5]), (6, 5, [5, 1]), (10, 5, [5, 5])])
def test_pages_hold_every_row_once(store: Store, count: int, limit: int, sizes: list[int]) -> None:
    """Pages are full but the last, follow the ids, and the last one leads nowhere, also when it is exactly full."""
    fill(store, count)
    pages = walk(store, limit)
    assert [len(page.items) for page in pages] == sizes
    assert [site.id for page in pages for site in page.items] == [f"site_{number:04}" for number in range(count)]


@pytest.mark.parametrize(("count", "limit", "sizes"), [(0, 5, [0]), (6, 5, [5, 1]), (10, 5, [5, 5])])
def test_pages_run_backwards_too(store: Store, count: int, limit: int, sizes: list[int]) -> None:
    """Newest first, every row comes once, in the reverse of the order of ids, and a newer row disturbs nothing."""
    fill(store, count)
    first = store.read(lambda tx: page(tx, Site, limit=limit, newest_first=True))
    store.write(lambda tx: rows.insert(tx, Site(id=SiteId("site_9999"), name="newest"), 2.0))
    pages = [first]
    while token := pages[-1].next_token:
        pages.append(store.read(partial(page, kind=Site, limit=limit, token=token, newest_first=True)))
    assert [len(each.items) for each in pages] == sizes
    seen = [site.id for each in pages for site in each.items]
    assert seen == [f"site_{number:04}" for number in reversed(range(count))]


def test_pages_keep_to_their_conditions(store: Store) -> None:
    """Of 30 sites 10 are in "eu"; by pages of 4 exactly those come. ``either`` needs one of its columns only."""
    fill(store, 30)
    found = [site.region for each in walk(store, 4, where={"region": "eu"}) for site in each.items]
    assert found == ["eu"] * 10
    either = [site.name for each in walk(store, 4, either={"name": "s1", "id": "site_0002"}) for site in each.items]
    assert either == ["s1", "s2"]


def test_rows_that_come_and_go_neither_repeat_nor_hide_others(store: Store) -> None:
    """A row deleted and one added between two pages change nothing for the rows that were there all the time."""
    fill(store, 6)
    first = store.read(lambda tx: page(tx, Site, limit=3))
    store.write(lambda tx: rows.delete(tx, first.items[1]))
    fill_one = Site(id=SiteId("site_0001b"), name="late")
    store.write(lambda tx: rows.insert(tx, fill_one, 2.0))
    second = store.read(lambda tx: page(tx, Site, limit=3, token=first.next_token))
    assert [site.id for site in second.items] == ["site_0003", "site_0004", "site_0005"]


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_limit_out_of_range_is_refused(store: Store, limit: int) -> None:
    """A page holds 1 to 200 items."""
    with pytest.raises(InvalidValue) as refused:
        store.read(lambda tx: page(tx, Site, limit=limit))
    assert refused.value.field == "limit"


@settings(max_examples=200, deadline=None)
@given(token=st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_a_made_up_token_is_refused(shared: Store, token: str) -> None:
    """Whatever text is given as a token, it is either one that the list gave or an InvalidValue naming the field."""
    with pytest.raises(InvalidValue) as refused:
        shared.read(lambda tx: page(tx, Site, limit=1, token=token))
    assert refused.value.field == "page_token"
