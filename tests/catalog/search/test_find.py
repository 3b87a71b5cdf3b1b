"""What a search finds, held against the plainest way to find it: look at every row."""

import asyncio
import base64
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from catalog import allowance, consent, publish
from catalog.clouds import CloudSize
from catalog.errors import InvalidValue
from catalog.model.consent import Grant
from catalog.model.ids import PlatformId
from catalog.model.machine import Machine
from catalog.model.offering import InventoryItem, Offer
from catalog.model.price import Price
from catalog.prices import book, lines
from catalog.search.find import Found, find
from catalog.search.index import SearchIndex
from catalog.search.query import read
from catalog.search.told import told
from catalog.store import prices, rows, serials
from catalog.store.database import Tx
from tests.support.markets import NOW_S
from tests.support.stores import Store

Row = Mapping[str, Any]


def found(store: Store, query: Mapping[str, str], *, index: SearchIndex | None = None, **more: Any) -> Found:
    """Search."""
    asked = {"now_s": NOW_S, "limit": 10_000, **more}
    return store.read(lambda tx: find(tx, index or SearchIndex(), read(query), **asked))


def ids(store: Store, query: Mapping[str, str], **more: Any) -> list[str]:
    """Return the ids of what is found, in order."""
    return [told(hit, NOW_S)["id"] for hit in found(store, query, **more).hits]


def everything(store: Store) -> list[Row]:
    """Return every row there is, as it is told."""
    return [told(hit, NOW_S) for hit in found(store, {}).hits]


def at_least(name: str, least: float) -> Callable[[Row], bool]:
    """Return a test for a number that is known and large enough."""
    return lambda row: row[name] is not None and row[name] >= least


def reached_within(limit: float) -> Callable[[Row], bool]:
    """Return a test for a platform that was measured and is near."""
    return lambda row: row["reachability"] is not None and row["reachability"]["rtt_ms"] <= limit


def costs_at_most(limit: float) -> Callable[[Row], bool]:
    """Return a test for a known price in euros."""
    return lambda row: row["price"] is not None and row["price"]["per_hour"] <= limit


FILTERS: dict[tuple[str, str], Callable[[Row], bool]] = {
    ("kind", "size"): lambda row: row["kind"] == "size",
    ("kind", "image,offer"): lambda row: row["kind"] in {"image", "offer"},
    ("capability", "machine"): lambda row: row["capability"] == "machine",
    ("platform", "cloud-001,cloud-004"): lambda row: row["platform"] in {"cloud-001", "cloud-004"},
    ("platform", "platform_002"): lambda row: row["platform"] == "cloud-002",
    ("provider", "ec2"): lambda row: row["provider"] == "ec2",
    ("region", "fra-0,sin-1"): lambda row: row["region"] in {"fra-0", "sin-1"},
    ("country", "de,JP"): lambda row: row["country"] in {"DE", "JP"},
    ("continent", "Asia"): lambda row: row["country"] in {"SG", "JP"},
    ("architecture", "arm64"): lambda row: row["architecture"] == "arm64",
    ("vcpu_min", "8"): at_least("vcpu", 8),
    ("vcpu_max", "8"): lambda row: row["vcpu"] is not None and row["vcpu"] <= 8,
    ("memory_gib_min", "16"): at_least("memory_gib", 16),
    ("disk_gib_min", "40"): at_least("disk_gib", 40),
    ("gpu_min", "1"): at_least("gpu_count", 1),
    ("rtt_max_ms", "10"): reached_within(10),
    ("price_max", "0.05"): costs_at_most(0.05),
    # Every platform has debian 12 for x86_64: sizes of that architecture fit, and the images themselves.
    ("os", "debian 12"): lambda row: row["os_family"] == "debian" or (
        row["kind"] == "size" and row["architecture"] == "x86_64"
    ),
    ("os", "debian 11"): lambda _row: False,
    ("text", "cloud 4xlarge"): lambda row: ".4xlarge" in row["name"],
    ("text", "ubu"): lambda row: row["name"].startswith("ubuntu"),
    ("text", "fra"): lambda row: row["region"].startswith("fra"),
    ("state", "degraded"): lambda _row: False,
}  # fmt: skip


def asked(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the search with what belongs to its parts."""
    return {**parts, **({"currency": "EUR"} if "price_max" in parts else {})}


@pytest.mark.parametrize(("name", "value"), [pytest.param(*key, id=f"{key[0]}={key[1]}") for key in FILTERS])
def test_each_filter_finds_exactly_what_it_says(market: Store, name: str, value: str) -> None:
    """The same rows as looking at every one, and the total says how many."""
    expected = {row["id"] for row in everything(market) if FILTERS[name, value](row)}
    result = found(market, asked({name: value}))
    assert {told(hit, NOW_S)["id"] for hit in result.hits} == expected
    assert result.total == len(expected)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.sets(st.sampled_from(sorted(FILTERS)), max_size=4))
def test_filters_together_find_what_all_let_through_and_facets_leave_their_own_out(
    market: Store, chosen: set[tuple[str, str]]
) -> None:
    """Any four filters: the rows that pass all; the facet of a field counts the rows that pass all the others."""
    parts = dict(sorted(chosen))
    rows_ = everything(market)
    tests = {name: FILTERS[name, value] for name, value in parts.items()}
    result = found(market, asked(parts))
    expected = {row["id"] for row in rows_ if all(passes(row) for passes in tests.values())}
    assert {told(hit, NOW_S)["id"] for hit in result.hits} == expected
    for facet, field in (("provider", "provider"), ("country", "country"), ("kind", "kind"), ("architecture",) * 2):
        others = [passes for name, passes in tests.items() if name != facet]
        counts: dict[str, int] = {}
        for row in rows_:
            if row[field] and all(passes(row) for passes in others):
                counts[row[field]] = counts.get(row[field], 0) + 1
        assert result.facets[facet] == counts


def test_every_term_of_the_ranking_is_told_and_adds_up(market: Store) -> None:
    """cloud-001, size s1: 2 vCPU for 0.0202 an hour, arm64, quota 101, preference 100 * 2^(-1/20) = 96.59.

    Price 0.1/0.1202 = 0.83195; fit (2/2 + 4/8)/2 = 0.75 (s1 has 8 GiB, 4 are asked for); room 101: 101/102 = 0.99020;
    weights 2, 1, 1, 1 make (1.66389 + 0.75 + 0.99020 + 0.96594)/5 = 0.87401.
    """
    query = {"vcpu_min": "2", "memory_gib_min": "4", "platform": "cloud-001", "weights": "price=2"}
    (hit,) = [hit for hit in found(market, query).hits if hit.item and hit.item.cloud_id == "s1"]
    terms = {term.name: term for term in hit.terms}
    values = {name: round(term.value or 0, 5) for name, term in terms.items()}
    assert values == {"price": 0.83195, "fit": 0.75, "availability": 0.9902, "reachability": 0.96594}
    assert round(hit.score, 5) == 0.87401
    assert math.isclose(sum(term.points for term in hit.terms), hit.score)
    assert math.isclose(sum(term.share for term in hit.terms), 1)
    assert round(terms["price"].share, 4) == round(2 * 0.83195 / 5 / 0.87401, 4)


def test_what_is_unknown_is_told_as_unknown_earns_nothing_and_comes_last(market: Store) -> None:
    """s10 has no price, cloud-003 was not measured: null and not 0; sorted by price either way, they come last."""
    rows_ = everything(market)
    (row,) = [row for row in rows_ if row["platform"] == "cloud-003" and row["item"] == "s10"]
    assert (row["price"], row["reachability"]) == (None, None)
    assert {term["name"]: (term["value"], term["points"]) for term in row["terms"]}["price"] == (None, 0.0)
    for sort in ("price", "-price"):
        prices = [told(hit, NOW_S)["price"] for hit in found(market, {"kind": "size", "sort": sort}).hits]
        known = [price["per_hour"] for price in prices if price]
        assert prices[len(known) :] == [None] * (len(prices) - len(known))
        assert known == sorted(known, reverse=sort == "-price")


def test_a_price_in_another_currency_is_not_compared(market: Store) -> None:
    """In dollars nothing here has a price to compare, so a limit finds nothing; euros are told all the same."""
    assert ids(market, {"price_max": "1000", "currency": "USD"}) == []
    hit = next(hit for hit in found(market, {"currency": "USD", "kind": "size"}).hits if hit.price is not None)
    assert [term.value for term in hit.terms if term.name == "price"] == [None]
    assert found(market, {}).currency == "EUR"


def test_the_usual_currency_is_that_of_what_is_seen(market: Store) -> None:
    """Five platforms of euros are for others, the sixth is priced in dollars: its project is answered in dollars."""

    def change(tx: Tx) -> None:
        for grant in rows.where(tx, Grant):
            whose = "acme/us" if grant.platform_id == "platform_005" else "acme/eu"
            rows.update(tx, grant, {"scope": {"projects": [whose]}}, NOW_S)
        for price in rows.where(tx, Price, platform_id="platform_005"):
            rows.update(tx, price, {"currency": "USD"}, NOW_S)
        serials.bump(tx, prices.subject_of(PlatformId("platform_005"), "", ""))

    market.write(change)
    query = {"kind": "size", "sort": "price"}
    dollars, euros = (found(market, query, whose=["p", f"acme/{name}"]) for name in ("us", "eu"))
    assert (dollars.currency, euros.currency, found(market, query).currency) == ("USD", "EUR", "EUR")
    amounts = [float(hit.price.amount) for hit in dollars.hits if hit.price is not None]
    assert amounts == sorted(amounts)
    assert {term.value is None for term in dollars.hits[0].terms if term.name == "price"} == {False}


def test_pages_hold_everything_once_though_rows_come_between(market: Store) -> None:
    """Pages of seven, a new image after each: what was there is seen once, in the order of one page."""
    index, before = SearchIndex(), ids(market, {"sort": "rank"})
    seen: list[str] = []
    token = None
    for number in range(100):
        result = found(market, {"sort": "rank"}, index=index, limit=7, token=token)
        seen += [told(hit, NOW_S)["id"] for hit in result.hits]
        token = result.next_token
        if token is None:
            break
        item = InventoryItem(platform_id=PlatformId("platform_005"), kind="image", cloud_id=f"new{number}", name="new")
        market.write(lambda tx, item=item: (rows.insert(tx, item, NOW_S), serials.bump(tx, item.platform_id)))  # type: ignore[misc]
    assert len(set(seen)) == len(seen)
    assert [id_ for id_ in seen if "new" not in id_] == before


def forged(place: str) -> str:
    """Return a token of the usual order that goes on after the JSON value ``place``."""
    return base64.urlsafe_b64encode(f'["rank", true, {place}, 0]'.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        *("x", "eyJ9", "W10", "WyJwcmljZSIsdHJ1ZSwwLDBd"),
        pytest.param(forged("1" + "0" * 400), id="no float"),
        pytest.param(forged("9" * 5000), id="no integer"),
        pytest.param(forged("[" * 20_000), id="deep"),
        pytest.param(forged('"1"'), id="a text"),
    ],
)
def test_a_token_that_this_search_did_not_give_is_refused(market: Store, token: str) -> None:
    """Nonsense, the token of another order, and what no place in an order can be."""
    with pytest.raises(InvalidValue):
        found(market, {}, token=token)


def test_a_copy_is_used_only_while_it_is_true(market: Store) -> None:
    """One index, each change seen by the next search: inventory, price, label, reachability, suspension, withdrawal."""
    index = SearchIndex()
    platform = PlatformId("platform_000")
    query = {"platform": "cloud-000", "kind": "size"}
    assert len(ids(market, query, index=index)) == 16
    sizes = [CloudSize(cloud_id="s1", name="grand", vcpu=1, memory_mib=1024, disk_gib=None)]
    market.write(lambda tx: publish.store_inventory(tx, platform, "size", sizes, NOW_S))
    (hit,) = found(market, {**query, "text": "grand"}, index=index).hits
    assert hit.price is not None
    text = "platform,item,unit,amount,currency,source,valid_from\ncloud-000,s1,hour,7,EUR,new,2027-01-15T09:00:00Z\n"
    listed = lines.read(text, lines.ListFormat.CSV, source="", now_s=NOW_S)
    market.write(lambda tx: book.import_lines(tx, listed, NOW_S))
    began_s = listed[0].valid_from_s
    assert began_s > NOW_S
    amounts = []
    for at_s in (NOW_S, began_s - 1, began_s, began_s + 1):
        (hit,) = found(market, query, index=index, now_s=at_s).hits
        assert hit.price is not None
        amounts.append(hit.price.amount)
    assert amounts == ["0.02", "0.02", "7", "7"]
    offer = market.read(lambda tx: rows.by_id(tx, Offer, "offer_machine_000"))
    market.write(lambda tx: rows.update(tx, offer, {"labels": {"tier": "gold"}}, NOW_S))
    assert len(ids(market, {"label": "tier=gold"}, index=index)) == 1
    assert ids(market, {"label": "tier=silver"}, index=index) == []
    market.write(lambda tx: consent.revoke(tx, "grant_machine_000", NOW_S))
    assert ids(market, query, index=index) == []


def loaded(store: Store, index: SearchIndex, now_s: float = NOW_S) -> set[str]:
    """Search, and return of which platforms the inventory was read for it."""

    def work(tx: Tx) -> set[str]:
        of: set[str] = set()

        def note(_connection: Any, _cursor: Any, statement: str, told: Any, *_rest: Any) -> None:
            if "inventory_item.platform_id = " in statement:
                of.update(
                    each for each in (told.values() if isinstance(told, dict) else told) if "platform_" in str(each)
                )

        event.listen(tx.connection(), "before_cursor_execute", note)
        find(tx, index, read({}), now_s=now_s)
        event.remove(tx.connection(), "before_cursor_execute", note)
        return of

    return store.read(work)


@pytest.mark.parametrize(
    ("whose", "numbers"),
    [
        pytest.param("cloud-003,,", {3}, id="of a platform"),
        pytest.param(",ec2,gru-0", {3}, id="of a provider in a region"),
        pytest.param(",ec2,", {1, 3, 5}, id="of a provider"),
        pytest.param(",elsewhere,", set(), id="of nobody here"),
    ],
)
def test_a_price_reads_anew_only_where_it_counts(market: Store, whose: str, numbers: set[int]) -> None:
    """Once when it is taken into the book, again when it begins and when it ends; and no other platform's rows."""
    index = SearchIndex()
    assert len(loaded(market, index)) == 6
    assert loaded(market, index) == set()
    text = (
        "platform,provider,region,item,unit,amount,currency,source,valid_from,valid_to\n"
        f"{whose},s9,hour,7,EUR,new,2027-01-15T09:00:00Z,2027-01-15T10:00:00Z\n"
    )
    (line,) = listed = lines.read(text, lines.ListFormat.CSV, source="", now_s=NOW_S)
    assert line.valid_to_s is not None
    expected = {f"platform_{number:03}" for number in numbers}
    market.write(lambda tx: book.import_lines(tx, listed, NOW_S))
    for at_s in (NOW_S, line.valid_from_s, line.valid_to_s):
        assert loaded(market, index, at_s) == expected
        assert loaded(market, index, at_s) == set()
    (price,) = market.read(lambda tx: rows.where(tx, Price, source="new"))
    market.write(lambda tx: book.remove(tx, price))
    assert loaded(market, index, line.valid_to_s) == expected


def test_an_older_transaction_sees_its_own_moment(market: Store) -> None:
    """A copy made by a newer transaction is not shown to one that began before."""
    index = SearchIndex()
    before = ids(market, {"platform": "cloud-000"}, index=index)

    def older(tx: Any) -> tuple[int, int]:
        first = find(tx, index, read({"platform": "cloud-000"}), now_s=NOW_S).total
        return first, first

    sizes = [CloudSize(cloud_id="s1", name="only", vcpu=1, memory_mib=1024, disk_gib=None)]
    market.write(lambda tx: publish.store_inventory(tx, PlatformId("platform_000"), "size", sizes, NOW_S))
    assert len(ids(market, {"platform": "cloud-000"}, index=index)) == len(before) - 15
    assert market.read(older) == (len(before) - 15,) * 2


def test_a_search_waits_for_no_other_that_loads(market: Store) -> None:
    """One search is held in the middle of its loading until another, with the same index, has found everything."""
    index, totals = SearchIndex(), list[int]()

    async def story() -> None:
        loop = asyncio.get_running_loop()

        def search(tx: Tx) -> int:
            return find(tx, index, read({}), now_s=NOW_S).total

        def held_up(tx: Tx) -> int:
            def meanwhile(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
                if "FROM inventory_item" in statement and not totals:
                    totals.append(-1)
                    totals[0] = asyncio.run_coroutine_threadsafe(market.database.read(search), loop).result(30)

            event.listen(tx.connection(), "before_cursor_execute", meanwhile)
            return search(tx)

        totals.append(await market.database.read(held_up))

    market.run(story())
    assert totals[0] == totals[1] > 0


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        pytest.param({"sizes": ["s1", "m*"]}, 7, id="sizes by id and by name"),
        pytest.param({"regions": ["sin-*"]}, 0, id="another region"),
        pytest.param({"regions": ["fra-?"]}, 16, id="its region"),
    ],
)
def test_what_is_outside_the_scope_of_its_grant_is_not_found(
    market: Store, scope: dict[str, list[str]], left: int
) -> None:
    """s1 is not one of the m sizes (s0, s3, …, s15): 6 + 1 are left; a region that is not granted leaves nothing."""
    index = SearchIndex()
    query = {"platform": "cloud-000", "kind": "size"}
    assert len(ids(market, query, index=index)) == 16
    grant = market.read(lambda tx: rows.by_id(tx, Grant, "grant_machine_000"))
    market.write(lambda tx: rows.update(tx, grant, {"scope": scope}, NOW_S))
    assert len(ids(market, query, index=index)) == left


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({"quota": 5}, id="machines"),
        pytest.param({"cores": 40}, id="cores"),
        pytest.param({"memory_gib": 99, "quota": None}, id="memory"),
        pytest.param({"quota": None}, id="none"),
        pytest.param({"quota": 1}, id="full"),
    ],
)
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
def test_room_is_what_the_grant_would_admit(market: Store, limits: dict[str, int | None], *, is_known: bool) -> None:
    """For every size of a platform with a machine: as many as ``allowance.room`` says, which orders are held to."""
    grant = market.read(lambda tx: rows.by_id(tx, Grant, "grant_machine_001"))
    market.write(lambda tx: rows.update(tx, grant, limits, NOW_S))
    weights: dict[str, Any] = {"vcpu": 4, "memory_mib": 8192} if is_known else {}
    place: dict[str, Any] = {
        "platform_id": "platform_001",
        "offer_id": "offer_machine_001",
        "size": "s2",
        "image": "i1",
    }
    machine = Machine(id="machine_x", name="x", **place, **weights)  # type: ignore[arg-type]
    market.write(lambda tx: rows.insert(tx, machine, NOW_S))
    hits = found(market, {"platform": "cloud-001", "kind": "size"}).hits
    for hit in hits:
        assert hit.item is not None
        size = hit.item.cloud_id
        held = market.read(lambda tx: rows.by_id(tx, Grant, "grant_machine_001"))
        admitted, _ = market.read(lambda tx, held=held, size=size: allowance.room(tx, held, size))  # type: ignore[misc]
        assert (size, hit.room) == (size, admitted)


def test_words_follow_the_inventory(market: Store) -> None:
    """A name that changed is found by the new word and not by the old one; one that is gone by none."""
    held = market.read(lambda tx: rows.where(tx, InventoryItem, platform_id="platform_000", cloud_id="i0"))[0]
    assert len(ids(market, {"text": "debian", "platform": "cloud-000"})) == 2
    market.write(lambda tx: rows.update(tx, held, {"name": "Bespoke_Image.v7", "os_family": None}, NOW_S))
    assert [each for each in ids(market, {"text": "bespoke image v7"}) if each.endswith("/i0")]
    assert len(ids(market, {"text": "debian", "platform": "cloud-000"})) == 1
    market.write(lambda tx: rows.delete(tx, rows.by_id(tx, InventoryItem, held.id)))
    assert ids(market, {"text": "bespoke"}) == []


@pytest.mark.parametrize("text", ["Zürich", "ZÜRICH", "zurich 4xlarge"])
def test_words_have_letters_of_any_script(market: Store, text: str) -> None:
    """A label and a size's name of more than ASCII are found in large and small letters, and without accents."""
    offer = market.read(lambda tx: rows.by_id(tx, Offer, "offer_machine_000"))
    size = market.read(lambda tx: rows.where(tx, InventoryItem, platform_id="platform_001", cloud_id="s2"))[0]
    market.write(lambda tx: rows.update(tx, offer, {"labels": {"city": "Zürich"}}, NOW_S))
    market.write(lambda tx: rows.update(tx, size, {"name": "Zürich.4xlarge"}, NOW_S))
    there = [row for row in everything(market) if row["offer"] == "offer_machine_000" or "Zürich" in row["name"]]
    expected = {row["id"] for row in there if "4xlarge" not in text or ".4xlarge" in row["name"]}
    assert set(ids(market, {"text": text})) == expected != set()


def test_letters_that_a_database_takes_for_signs_are_no_error(market: Store) -> None:
    """New Tai Lue's vowels became letters after FTS5's tables were made."""
    assert ids(market, {"text": "q\u19b0q \u1cf2q"}) == []
