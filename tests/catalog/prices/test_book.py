"""The price book: all or nothing, no two prices at once, history stays, unknown stays unknown."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.model.platform import Platform
from catalog.model.price import Price
from catalog.prices import book
from catalog.prices.lines import ListRefused, PriceLine
from catalog.prices.ports import PublishedPrice, PublishedPrices
from catalog.store import prices, rows
from tests.support.stores import Store, add_platform


def line(amount: str, begins_s: float, ends_s: float | None = None, **changes: object) -> PriceLine:
    """Return a price of the size s1 at the provider of the tests."""
    told: dict[str, object] = {
        "line": int(begins_s),
        "provider": "simulated",
        "item": "s1",
        "unit": "hour",
        "amount": Decimal(amount),
        "currency": "USD",
        "source": "list",
        "valid_from_s": begins_s,
        "valid_to_s": ends_s,
    }
    if "platform" in changes:
        told["provider"] = ""
    return PriceLine(**{**told, **changes})  # type: ignore[arg-type]


def taken(store: Store, *lines: PriceLine) -> tuple[int, int, int]:
    """Import the lines and return what became of them: added, ended, unchanged."""
    done = store.write(lambda tx: book.import_lines(tx, lines, store.now_s))
    return done.added, done.ended, done.unchanged


def spans(store: Store) -> list[tuple[str, float, float | None]]:
    """Return what the book holds: amount, from, to."""
    held = store.read(lambda tx: rows.where(tx, Price))
    return sorted((price.amount, price.valid_from_s, price.valid_to_s) for price in held)


def cost(store: Store, platform: Platform, at_s: float) -> str | None:
    """Return the amount that holds for s1 at that moment."""
    price = store.read(lambda tx: book.prices_at(tx, platform, at_s).of("s1", "small"))
    return price.amount if price else None


def test_a_newer_price_ends_the_older_one_and_history_stays(store: Store) -> None:
    """1 from 10 on, then 2 from 20 on: at 9 nothing is known, at 10 and 19 it is 1, at 20 it is 2."""
    platform = add_platform(store)
    assert taken(store, line("1", 10.0)) == (1, 0, 0)
    assert taken(store, line("2", 20.0)) == (1, 1, 0)
    assert spans(store) == [("1", 10.0, 20.0), ("2", 20.0, None)]
    assert [cost(store, platform, at_s) for at_s in (9.0, 10.0, 19.0, 20.0, 1e9)] == [None, "1", "1", "2", "2"]


def test_an_older_list_that_comes_late_fits_in_between(store: Store) -> None:
    """Known are 1 from 10 and 3 from 30; a list from 20 ends the first and ends itself where the last begins."""
    taken(store, line("1", 10.0), line("3", 30.0))
    assert taken(store, line("2", 20.0)) == (1, 1, 0)
    assert spans(store) == [("1", 10.0, 20.0), ("2", 20.0, 30.0), ("3", 30.0, None)]


def test_a_list_that_is_given_again_changes_nothing(store: Store) -> None:
    """The same two lines, in the other order, are known."""
    lines = (line("1", 10.0), line("2", 20.0))
    taken(store, *lines)
    before = spans(store)
    assert taken(store, *reversed(lines)) == (0, 0, 2)
    assert spans(store) == before


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(line("9", 15.0), id="begins before another ends"),
        pytest.param(line("9", 5.0, 12.0), id="ends after another begins"),
        pytest.param(line("9", 10.0), id="begins with another"),
    ],
)
def test_overlapping_prices_are_refused_and_nothing_of_the_list_is_taken(store: Store, late: PriceLine) -> None:
    """Beside a price from 10 to 20, said so, each of these is refused by its line; a good line goes with it."""
    taken(store, line("1", 10.0, 20.0))
    with pytest.raises(ListRefused) as caught:
        taken(store, line("7", 30.0), late)
    assert [fault["field"] for fault in caught.value.faults] == [f"line {late.line}, valid_from"]
    assert spans(store) == [("1", 10.0, 20.0)]


class Counted(float):
    """A moment that counts how often it is compared with another."""

    compared = 0

    def __lt__(self, other: float) -> bool:
        Counted.compared += 1
        return float(self) < other

    def __le__(self, other: float) -> bool:
        Counted.compared += 1
        return float(self) <= other

    def __gt__(self, other: float) -> bool:
        Counted.compared += 1
        return float(self) > other


def test_many_prices_of_one_key_are_not_each_compared_with_all(store: Store) -> None:
    """512 prices of one item, latest first: some n log n comparisons (9 for each), and not 512 for each."""
    count = 512
    history = [line(str(number), Counted(number)) for number in range(count, 0, -1)]
    assert taken(store, *history) == (count, 0, 0)
    assert Counted.compared < 40 * count
    assert spans(store) == sorted((str(at), float(at), None if at == count else at + 1.0) for at in range(1, count + 1))


def test_an_unknown_platform_is_named_by_its_line(store: Store) -> None:
    """Nothing is taken, the good line included."""
    with pytest.raises(ListRefused, match="no such platform"):
        taken(store, line("1", 10.0), line("1", 11.0, platform="nowhere"))
    assert spans(store) == []


def test_the_nearest_word_counts(store: Store) -> None:
    """A platform's own price is before its provider's in its region, that before all regions'; hours before months."""
    platform = add_platform(store, region="eu")
    expected = []
    for amount, changes in (
        ("4", {}),
        ("3", {"region": "eu"}),
        ("730", {"platform": platform.name, "unit": "month"}),
        ("2", {"platform": platform.id}),
    ):
        taken(store, line(amount, 10.0, **changes))
        expected.append(cost(store, platform, 10.0))
    assert expected == ["4", "3", "730", "2"]
    taken(store, line("5", 10.0, item="s2", region="us"), line("6", 10.0, item="small"))
    found = store.read(lambda tx: book.prices_at(tx, platform, 10.0))
    assert found.of("s2", "other") is None
    named = found.of("unlisted", "small")
    assert named is not None
    assert (named.amount, book.hourly(named), book.hourly(None)) == ("6", 6.0, None)


def test_a_seed_fills_gaps_only(store: Store) -> None:
    """What the book knows of an item is not touched by a list that came with the software, whatever its date."""
    platform = add_platform(store)
    taken(store, line("1", 10.0))
    listed = [
        PublishedPrice(region="", size=size, per_hour=Decimal(amount), currency="USD")
        for size, amount in (("s1", "8"), ("s2", "9"))
    ]
    told = PublishedPrices(source="x 1", as_of_s=5.0, prices=listed)
    for added in (1, 0):
        done = store.write(lambda tx: book.seed(tx, told, provider="simulated", now_s=50.0))
        assert (done.added, done.ended, done.unchanged) == (added, 0, 2 - added)
    assert cost(store, platform, 50.0) == "1"


def test_the_next_change_is_known(store: Store) -> None:
    """Beginnings and ends both count; after the last there is none."""
    taken(store, line("1", 10.0, 20.0), line("2", 30.0))
    found = [store.read(lambda tx, at_s=at_s: prices.next_changes_s(tx, at_s)) for at_s in (5.0, 10.0, 20.0, 30.0)]  # type: ignore[misc]
    assert [[*each.values()] for each in found] == [[10.0], [20.0], [30.0], []]


MOMENTS = st.integers(0, 8).map(float)
LISTS = st.lists(
    st.lists(st.tuples(st.integers(1, 3), MOMENTS, st.one_of(st.none(), MOMENTS)), min_size=1, max_size=3), max_size=5
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=LISTS)
def test_at_no_moment_a_key_has_two_prices(store: Store, lists: list[list[tuple[int, float, float | None]]]) -> None:
    """Whatever lists come in whatever order, taken or refused: no two prices of a key hold at once, none is empty."""
    store.write(lambda tx: [rows.delete(tx, price) for price in rows.where(tx, Price)])
    for number, told in enumerate(lists):
        lines = [
            line(str(amount), begin, end, source=str(number))
            for amount, begin, end in told
            if end is None or end > begin
        ]
        try:
            taken(store, *lines)
        except ListRefused:
            continue
    held = sorted((begin, end) for _, begin, end in spans(store))
    assert all(end is None or end > begin for begin, end in held)
    assert all(end is not None and end <= following for (_, end), (following, _) in pairwise(held))
