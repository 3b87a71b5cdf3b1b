"""A search finds in memory what a task has read before."""

from pathlib import Path

from sqlalchemy import event

from catalog.model.ids import OfferId
from catalog.model.offering import Offer, OfferState
from catalog.search.find import Found, find
from catalog.search.index import SearchIndex
from catalog.search.query import read
from catalog.store import rows
from catalog.store.database import Tx
from gateway.background.searching import AT_ONCE, search_work
from tests.support.markets import NOW_S, add_market
from tests.support.stores import Store, opened_store

PLATFORMS = range(2 * AT_ONCE)  # each with two offers: more than one transaction loads


def searched(store: Store, index: SearchIndex) -> tuple[Found, int]:
    """Return what a search finds, and how many statements it took that read lists of the inventory."""

    def work(tx: Tx) -> tuple[Found, int]:
        asked: list[str] = []
        connection = tx.connection()

        def note(*told: object) -> None:
            asked.append(str(told[2]))

        event.listen(connection, "before_cursor_execute", note)
        found = find(tx, index, read({"kind": "size", "sort": "price"}), now_s=NOW_S, limit=3)
        event.remove(connection, "before_cursor_execute", note)
        return found, sum("inventory_item.platform_id = " in each for each in asked)

    return store.read(work)


def test_a_search_after_a_start_reads_no_inventory(tmp_path: Path) -> None:
    """All offers are loaded by one run, in parts; what a change ended is loaded by the next, and nothing else is."""
    with opened_store(tmp_path) as store:
        store.write(lambda tx: add_market(tx, PLATFORMS, sizes=4, images=2))
        cold, statements = searched(store, SearchIndex())
        assert statements > len(PLATFORMS)
        index = SearchIndex()
        task = search_work(store.database, store.clock, index)
        store.run(task.run_once())
        warm, statements = searched(store, index)
        assert statements == 0
        assert [hit.standing.id for hit in warm.hits] == [hit.standing.id for hit in cold.hits]
        cheapest = store.read(lambda tx: rows.by_id(tx, Offer, OfferId("offer_machine_000")))
        store.write(lambda tx: rows.update(tx, cheapest, {"state": OfferState.WITHDRAWN}, NOW_S))
        store.run(task.run_once())
        after, statements = searched(store, index)
        assert (statements, "offer_machine_000" in {hit.standing.id for hit in after.hits}) == (0, False)
