"""How well platforms are reached: kept when it is news, told with its age, unknown where it was not measured."""

import dataclasses

from catalog import reachability
from catalog.model.reachability import Reachability, is_stale
from catalog.reachability import Reach
from catalog.search.find import find
from catalog.search.index import SearchIndex
from catalog.search.query import read
from catalog.search.told import told
from catalog.store import rows
from tests.support.markets import NOW_S, add_market
from tests.support.stores import Store, add_platform

FIRST = Reach(route="fra-1", rtt_ms=20.0, loss_ratio=0.0, preference=87.0, measured_at_s=100.0)


def test_only_news_is_written(store: Store) -> None:
    """20 ms, 21 ms 15 s later: the same. 40 ms, another route, or a minute later: written, with its own date."""
    platform = add_platform(store).id

    def kept(at_s: float, **changes: object) -> bool:
        reach = dataclasses.replace(FIRST, measured_at_s=at_s, **changes)  # type: ignore[arg-type]
        return store.write(lambda tx: reachability.keep(tx, platform, reach, at_s))

    assert kept(100.0)
    assert not kept(115.0, rtt_ms=21.0)
    assert kept(130.0, rtt_ms=40.0)
    assert kept(131.0, rtt_ms=40.0, route="direct")
    assert not kept(190.0, rtt_ms=40.0, route="direct")
    assert kept(191.0, rtt_ms=40.0, route="direct")
    assert kept(192.0, rtt_ms=None, loss_ratio=1.0, preference=0.0, route="direct")
    row = store.read(lambda tx: rows.by_id(tx, Reachability, platform))
    assert (row.rtt_ms, row.loss_ratio, row.measured_at_s) == (None, 1.0, 192.0)


def test_what_is_stale_is_told_and_counts_as_unknown(store: Store) -> None:
    """cloud-001 is 5 ms away. Five minutes on that holds; a second later it is told as stale and counts no more."""
    store.write(lambda tx: add_market(tx, range(2), sizes=2, images=1))
    index, query = SearchIndex(), read({"rtt_max_ms": "10", "kind": "size"})
    for later_s, found in ((300.0, 2), (301.0, 0)):
        assert store.read(lambda tx, at_s=NOW_S + later_s: find(tx, index, query, now_s=at_s).total) == found  # type: ignore[misc]
    at_s = NOW_S + 301
    every = store.read(lambda tx: find(tx, index, read({"kind": "size"}), now_s=at_s)).hits
    rows_ = {row["id"]: row for row in (told(hit, at_s) for hit in every)}
    near, unmeasured = rows_["offer_machine_001/s1"], rows_["offer_machine_000/s1"]
    assert (near["reachability"]["rtt_ms"], near["reachability"]["stale"]) == (5.0, True)
    assert unmeasured["reachability"] is None
    for row in (near, unmeasured):
        assert [term["value"] for term in row["terms"] if term["name"] == "reachability"] == [None]
    assert is_stale(NOW_S, at_s)
