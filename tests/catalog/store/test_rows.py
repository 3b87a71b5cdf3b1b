"""Inserting, finding, changing, moving and deleting rows of any table."""

import pytest

from catalog.errors import AlreadyExists, InvalidValue, NotFound, Stale, WrongState
from catalog.model.connection import CONNECTION_TRANSITIONS, Connection, ConnectionEvent, ConnectionState
from catalog.model.ids import LinkId, SiteId, new_id
from catalog.model.network import Site, SiteLink
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.stores import Store, add_connection, add_platform


def add(store: Store, name: str, **facts: str) -> Site:
    """Insert a site."""
    row = Site(id=SiteId(new_id("site", store.now_s)), name=name, **facts)
    return store.write(lambda tx: rows.insert(tx, row, store.now_s))


def test_a_second_row_with_the_same_name_is_refused_by_field(store: Store) -> None:
    """AlreadyExists names the field, and the transaction goes on: what came before and after it is kept."""
    add(store, "fra")

    def work(tx: Tx) -> str | None:
        rows.insert(tx, Site(id=SiteId("a"), name="ams"), 1.0)
        with pytest.raises(AlreadyExists) as refused:
            rows.insert(tx, Site(id=SiteId("b"), name="fra"), 1.0)
        rows.insert(tx, Site(id=SiteId("c"), name="cdg"), 1.0)
        return refused.value.field

    assert store.write(work) == "name"
    assert {site.name for site in store.read(lambda tx: rows.where(tx, Site))} == {"fra", "ams", "cdg"}


def test_a_reference_to_nothing_is_refused(store: Store) -> None:
    """A link between sites that do not exist is an InvalidValue, not an accident of the database."""
    link = SiteLink(id=LinkId("l"), source_id=SiteId("x"), target_id=SiteId("y"))
    with pytest.raises(InvalidValue, match="site link refers to something"):
        store.write(lambda tx: rows.insert(tx, link, 1.0))


def test_a_change_bumps_the_version_and_refuses_a_stale_one(store: Store) -> None:
    """The second of two changes based on the same version is Stale and changes nothing; the row given is refreshed."""
    site = add(store, "fra")
    changed = store.write(lambda tx: rows.update(tx, rows.by_id(tx, Site, site.id), {"region": "eu"}, 5.0, 1))
    assert (changed.version, changed.region, changed.updated_at_s) == (2, "eu", 5.0)
    with pytest.raises(Stale):
        store.write(lambda tx: rows.update(tx, site, {"region": "us"}, 6.0))
    with pytest.raises(Stale):
        store.write(lambda tx: rows.delete(tx, site))
    assert store.read(lambda tx: rows.by_id(tx, Site, site.id)).region == "eu"


def test_a_change_is_seen_by_every_holder_in_the_transaction(store: Store) -> None:
    """Changing a row that came from an earlier transaction also shows in the one that this transaction holds."""
    site = add(store, "fra")

    def work(tx: Tx) -> tuple[str, str, str]:
        held = rows.by_id(tx, Site, site.id)
        rows.update(tx, site, {"region": "eu"}, 5.0)
        return held.region, site.region, rows.by_id(tx, Site, site.id).region

    assert store.write(work) == ("eu", "eu", "eu")


def test_changing_what_is_gone_is_not_found(store: Store) -> None:
    """A row that was deleted is neither changed nor made again."""
    site = add(store, "fra")
    store.write(lambda tx: rows.delete(tx, rows.by_id(tx, Site, site.id)))
    with pytest.raises(NotFound):
        store.write(lambda tx: rows.update(tx, site, {"region": "eu"}, 5.0))
    with pytest.raises(NotFound, match="there is no site 'fra'"):
        store.read(lambda tx: rows.by_name_or_id(tx, Site, "fra"))


def test_what_others_refer_to_is_not_deleted(store: Store) -> None:
    """Deleting a site that a link refers to is WrongState, and the site stays."""
    source, target = add(store, "fra"), add(store, "ams")
    link = SiteLink(id=LinkId("l"), source_id=source.id, target_id=target.id)
    store.write(lambda tx: rows.insert(tx, link, 1.0))
    with pytest.raises(WrongState, match="still in use"):
        store.write(lambda tx: rows.delete(tx, source))
    assert store.read(lambda tx: rows.by_name_or_id(tx, Site, "fra")).id == source.id


def test_an_id_wins_over_a_name(store: Store) -> None:
    """When one row's name is another's id, the text means the id."""
    first = add(store, "fra")
    add(store, first.id)
    assert store.read(lambda tx: rows.by_name_or_id(tx, Site, first.id)).id == first.id


def test_moving_is_guarded_by_state(store: Store) -> None:
    """A row that another transaction moved on is not moved from its old state; a forbidden event changes nothing."""
    connection_id = add_connection(store, add_platform(store).id)
    old = store.read(lambda tx: rows.by_id(tx, Connection, connection_id))

    def moved(row: Connection, event: ConnectionEvent, now_s: float) -> Connection:
        return store.write(lambda tx: rows.move(tx, row, CONNECTION_TRANSITIONS, event, now_s))

    current = moved(store.read(lambda tx: rows.by_id(tx, Connection, old.id)), ConnectionEvent.BEGIN, 5.0)
    with pytest.raises(WrongState, match="no longer in state 'requested'"):
        moved(old, ConnectionEvent.CLOSE, 6.0)
    with pytest.raises(WrongState, match="'begin' is not possible in state 'routing'"):
        moved(current, ConnectionEvent.BEGIN, 7.0)
    kept = store.read(lambda tx: rows.by_id(tx, Connection, old.id))
    assert (kept.state, kept.version, kept.updated_at_s) == (ConnectionState.ROUTING, 2, 5.0)


def test_a_move_carries_changes_along(store: Store) -> None:
    """State and changes are one statement, and the row given holds both afterwards."""
    connection_id = add_connection(store, add_platform(store).id)

    def work(tx: Tx) -> Connection:
        held = rows.by_id(tx, Connection, connection_id)
        rows.move(tx, held, CONNECTION_TRANSITIONS, ConnectionEvent.FAIL, 5.0, {"code": "no-route"})
        return held

    failed = store.write(work)
    assert (failed.state, failed.code, failed.version) == (ConnectionState.FAILED, "no-route", 2)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({"region": "eu"}, {"fra", "ams"}),
        ({"region": ("eu", "asia")}, {"fra", "ams", "sin"}),
        ({"region": ()}, set()),
        ({"latitude": None, "region": "eu"}, {"fra", "ams"}),
    ],
)
def test_where_takes_values_collections_and_none(store: Store, wanted: dict[str, object], names: set[str]) -> None:
    """A value must be equal, of a collection one must be, and None means empty."""
    for name, region in (("fra", "eu"), ("ams", "eu"), ("sin", "asia"), ("iad", "us")):
        add(store, name, region=region)
    assert {site.name for site in store.read(lambda tx: rows.where(tx, Site, **wanted))} == names


def test_any_number_of_values_is_looked_for(store: Store) -> None:
    """Forty thousand are more than a statement may have of parameters: the rows of the first and the last are found."""
    wanted = [f"site-{number:05}" for number in range(40_000)]
    for name in ("other", wanted[-1], wanted[0]):
        add(store, name)
    found = store.read(lambda tx: rows.in_parts(tx, Site, "name", [*wanted, wanted[0]]))
    assert sorted(site.name for site in found) == [wanted[0], wanted[-1]]
    assert store.read(lambda tx: rows.in_parts(tx, Site, "name", ())) == []
