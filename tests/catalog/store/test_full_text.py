"""Words of inventory: the same on every database, in any script."""

import sys
import unicodedata

import pytest
from sqlmodel import col, select

from catalog.model.ids import PlatformId
from catalog.model.offering import InventoryItem
from catalog.store import full_text, rows
from catalog.store.database import Tx
from tests.support.markets import NOW_S
from tests.support.stores import Store, add_platform

_MANY = ("CJK UNIFIED", "HANGUL SYLLABLE", "EGYPTIAN", "TANGUT", "CUNEIFORM", "ANATOLIAN", "KHITAN", "NUSHU")


@pytest.fixture
def platform(store: Store) -> PlatformId:
    """Return a platform without any inventory."""
    return add_platform(store).id


def put(store: Store, platform: PlatformId, *names: str) -> None:
    """Make an image of every name."""

    def work(tx: Tx) -> None:
        for place, name in enumerate(names):
            item = InventoryItem(platform_id=platform, kind="image", cloud_id=f"i{place}", name=name)
            rows.insert(tx, item, NOW_S)

    store.write(work)


def found(store: Store, text: str) -> set[str]:
    """Return the names of the images that hold, for each word of ``text``, one that begins with it."""

    def work(tx: Tx) -> set[str]:
        ids = full_text.beginning_with(tx, full_text.words_of(text))
        return set(tx.exec(select(InventoryItem.name).where(col(InventoryItem.id).in_(ids))))

    return store.read(work)


def letters() -> list[str]:
    """Return every letter and digit beyond ASCII; of the scripts with thousands of them, one of a hundred."""
    every = (chr(code) for code in range(128, sys.maxunicode + 1))
    return [
        each
        for each in every
        if each.isalnum() and not (unicodedata.name(each, "").startswith(_MANY) and ord(each) % 100)
    ]


def test_whatever_letters_a_name_has_it_is_found_by_them(store: Store, platform: PlatformId) -> None:
    """Every letter there is, within a word and alone, a hundred to a name: all words of a name find it."""
    every = letters()
    parts = [every[begin : begin + 100] for begin in range(0, len(every), 100)]
    names = [" ".join(f"a{each}b {each}" for each in part) for part in parts]
    put(store, platform, *names)
    assert [name for name in names if name not in found(store, name)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("zürich", {"Zürich-Süd", "zurich"}, id="small"),
        pytest.param("ZÜRICH SÜ", {"Zürich-Süd"}, id="capital, and a beginning"),
        pytest.param("Zu\u0308rich", {"Zürich-Süd", "zurich"}, id="two characters for one letter"),
        pytest.param("zuri", {"Zürich-Süd", "zurich"}, id="no accent"),
        pytest.param("київ", {"КИЇВ.v2"}, id="Cyrillic"),
        pytest.param("ΟΔΌΣ", {"οδός"}, id="a sigma at the end"),
        pytest.param("rich", set(), id="no part of a word"),
        pytest.param("istan", {"İstanbul"}, id="a capital with a dot"),
    ],
)
def test_words_beyond_ascii(store: Store, platform: PlatformId, text: str, expected: set[str]) -> None:
    """Large and small are alike in every script; the accents of Latin letters say nothing."""
    put(store, platform, "Zürich-Süd", "zurich", "КИЇВ.v2", "οδός", "İstanbul")
    assert found(store, text) == expected


def test_a_name_of_one_long_word_is_kept_and_found(store: Store, platform: PlatformId) -> None:
    """Of 4,000 letters of two bytes each, it is found by as many as can be asked for."""
    put(store, platform, "ü" * 4_000)
    assert found(store, "ü" * 256) == {"ü" * 4_000}
    assert found(store, "ü" * 255 + "x") == set()


def test_words_made_anew_are_those_of_the_inventory(store: Store, platform: PlatformId) -> None:
    """As the migration does it: what was there before is found after, and what comes later too."""
    put(store, platform, "Zürich")

    def again(tx: Tx) -> None:
        full_text.remove(tx.connection())
        full_text.create(tx.connection())

    store.write(again)
    assert found(store, "zürich") == {"Zürich"}
    item = store.read(lambda tx: rows.where(tx, InventoryItem, platform_id=platform))[0]
    store.write(lambda tx: rows.update(tx, item, {"name": "Genève"}, NOW_S))
    assert (found(store, "zürich"), found(store, "genève")) == (set(), {"Genève"})
