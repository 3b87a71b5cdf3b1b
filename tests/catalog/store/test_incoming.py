"""Lists on their way in: unseen until they are whole, compared by the database, and forgotten when left."""

from catalog import listed
from catalog.clouds import CloudItem
from catalog.model.ids import PlatformId
from catalog.model.offering import IncomingItem, InventoryItem
from catalog.store import incoming, rows, tidy
from tests.support.stores import Store, add_platform


def put(store: Store, sync_id: str, *names: str) -> None:
    """Put the images of these names away."""
    items = [CloudItem(cloud_id=f"i-{name}", name=name, facts={"owner": 'with "quotes" and \\'}) for name in names]
    for batch in listed.listing("simulated", "image", items).batches:
        store.write(lambda tx, batch=batch: incoming.put(tx, sync_id, batch, store.now_s))  # type: ignore[misc]


def taken(store: Store, platform: PlatformId, sync_id: str) -> incoming.Changed:
    """Take the list over."""
    return store.write(lambda tx: incoming.take_over(tx, platform, "image", sync_id, store.now_s))


def known(store: Store) -> dict[str, int]:
    """Return name and version of the inventory."""
    return {item.name: item.version for item in store.read(lambda tx: rows.where(tx, InventoryItem))}


def test_nothing_is_seen_before_it_is_taken_over(store: Store) -> None:
    """Two batches are no inventory; in one step they are, and nothing of them is left where they came in."""
    platform = add_platform(store).id
    put(store, "one", "debian-12", "debian-13")
    put(store, "one", "ubuntu-24.04")
    assert known(store) == {}
    assert taken(store, platform, "one") == incoming.Changed(added=3, altered=0, removed=0)
    assert known(store) == {"debian-12": 1, "debian-13": 1, "ubuntu-24.04": 1}
    assert store.read(lambda tx: rows.where(tx, IncomingItem)) == []
    held = store.read(lambda tx: rows.where(tx, InventoryItem, name="ubuntu-24.04"))[0]
    assert (held.os_family, held.os_version, held.vcpu) == ("ubuntu", "24.04", None)
    assert held.facts == {"owner": 'with "quotes" and \\'}


def test_what_is_equal_is_not_written(store: Store) -> None:
    """Of four rows one goes, one comes, one is renamed under its id, and two keep version and time."""
    platform = add_platform(store).id
    put(store, "one", "a", "b", "c", "d")
    taken(store, platform, "one")
    before = {item.name: item.updated_at_s for item in store.read(lambda tx: rows.where(tx, InventoryItem))}
    store.clock.advance(10)
    put(store, "two", "a", "b", "e")
    renamed = listed.listing("simulated", "image", [CloudItem(cloud_id="i-c", name="c2")]).batches[0]
    store.write(lambda tx: incoming.put(tx, "two", renamed, store.now_s))
    assert taken(store, platform, "two") == incoming.Changed(added=1, altered=1, removed=1)
    assert known(store) == {"a": 1, "b": 1, "c2": 2, "e": 1}
    after = {item.name: item.updated_at_s for item in store.read(lambda tx: rows.where(tx, InventoryItem))}
    assert (after["a"], after["c2"]) == (before["a"], before["a"] + 10)


def test_lists_do_not_mix(store: Store) -> None:
    """Two lists that come in at once are taken over each for itself, and touch no other platform or kind."""
    mumbai, delhi = add_platform(store).id, add_platform(store, "delhi").id
    put(store, "one", "a")
    put(store, "two", "b")
    assert taken(store, mumbai, "one").total == 1
    assert taken(store, delhi, "two").total == 1
    assert known(store) == {"a": 1, "b": 1}
    assert store.write(lambda tx: incoming.take_over(tx, mumbai, "volume", "none", store.now_s)).total == 0
    assert known(store) == {"a": 1, "b": 1}


def test_a_list_that_was_left_is_forgotten(store: Store) -> None:
    """What nobody took over within an hour is tidied away; what is coming in now stays."""
    put(store, "left", "a")
    store.clock.advance(tidy.LISTS_KEPT_S + 1)
    put(store, "coming", "b")
    store.write(lambda tx: tidy.tidy(tx, store.now_s))
    assert {item.sync_id for item in store.read(lambda tx: rows.where(tx, IncomingItem))} == {"coming"}
