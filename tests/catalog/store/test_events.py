"""The event log in the database: every move is told with its change, numbers have no gaps, a commit is news."""

import pytest

from catalog import passages
from catalog.errors import AlreadyExists, WrongState
from catalog.model.access import Role
from catalog.model.connection import CONNECTION_TRANSITIONS, Connection, ConnectionEvent
from catalog.model.event import Event
from catalog.model.ids import ConnectionId, PassageId
from catalog.model.passage import Passage, PassageKind
from catalog.model.platform import Platform
from catalog.platforms import retire
from catalog.store import events, rows
from catalog.store.database import Tx
from catalog.tokens import issue_token
from tests.support.ordering import a_project
from tests.support.stores import Store, add_connection, add_platform


def told(store: Store, after: int = 0) -> list[Event]:
    """Return the events after a number."""
    return list(store.read(lambda tx: events.after(tx, after, upto=10**6, limit=1000)))


def kinds(store: Store, after: int = 0) -> list[str]:
    """Return the kinds of the events after a number."""
    return [event.kind for event in told(store, after)]


def newest(store: Store) -> int:
    """Return the newest number."""
    return store.read(events.newest)


def test_a_row_that_is_followed_is_told_of_when_it_is_made(store: Store) -> None:
    """Enrolling tells of the platform, its endpoints and its token, numbered 1, 2, 3, …; its site is nobody's news."""
    platform = add_platform(store)
    assert kinds(store) == ["platform.enrolled", "endpoint.approved", "endpoint.approved", "token.issued"]
    assert [event.seq for event in told(store)] == [1, 2, 3, 4]
    assert [event.platform_id for event in told(store)] == [platform.id] * 3 + [None]


def test_every_move_along_a_table_is_told_with_where_it_came_from(store: Store) -> None:
    """The event names the new state, the old one and what led there, also when it leads back to the same state."""
    connection = add_connection(store, add_platform(store).id)
    before = newest(store)

    def move(tx: Tx) -> None:
        row = rows.by_id(tx, Connection, connection)
        for event in (ConnectionEvent.BEGIN, ConnectionEvent.RETRY):
            rows.move(tx, row, CONNECTION_TRANSITIONS, event, 5.0)

    store.write(move)
    begun, again = told(store, before)
    assert (begun.kind, begun.data["before"], begun.data["by"]) == ("connection.routing", "requested", "begin")
    assert (again.kind, again.data["before"], again.data["by"]) == ("connection.routing", "routing", "retry")
    assert (begun.subject_id, begun.at_s) == (connection, 5.0)


def test_what_is_not_committed_is_not_told_and_leaves_no_gap(store: Store) -> None:
    """After a transaction that failed, and one whose savepoint did, the next number is the next one."""
    connection = add_connection(store, add_platform(store).id)
    before = newest(store)

    def fail(tx: Tx) -> None:
        rows.move(tx, rows.by_id(tx, Connection, connection), CONNECTION_TRANSITIONS, ConnectionEvent.BEGIN, 5.0)
        raise AlreadyExists("no")

    with pytest.raises(AlreadyExists):
        store.write(fail)
    with pytest.raises(WrongState):
        store.write(
            lambda tx: rows.move(
                tx, rows.by_id(tx, Connection, connection), CONNECTION_TRANSITIONS, ConnectionEvent.LOSE, 5.0
            )
        )
    assert told(store, before) == []
    store.write(
        lambda tx: rows.move(
            tx, rows.by_id(tx, Connection, connection), CONNECTION_TRANSITIONS, ConnectionEvent.BEGIN, 5.0
        )
    )
    assert [event.seq for event in told(store, before)] == [before + 1]


def test_an_update_that_changes_no_fact_is_silent(store: Store) -> None:
    """A row that is written anew as it was is no news; one that stands elsewhere now is."""
    platform = add_platform(store)
    before = newest(store)
    store.write(lambda tx: rows.update(tx, rows.by_id(tx, Platform, platform.id), {"region": "x"}, 5.0))
    assert kinds(store, before) == []
    store.write(lambda tx: retire(tx, platform.id, 5.0))
    assert kinds(store, before) == ["token.revoked", "platform.retired"]


def test_statements_that_change_many_rows_tell_of_each(store: Store) -> None:
    """All open passages end at once: each is told, once."""
    platform = add_platform(store)
    connection = add_connection(store, platform.id)

    def open_two(tx: Tx) -> None:
        for number in (1, 2):
            passage = Passage(
                id=PassageId(f"passage_{number}"),
                principal="admin",
                platform_id=platform.id,
                connection_id=ConnectionId(connection),
                kind=PassageKind.HTTP,
                purpose="aws",
                opened_at_s=1.0,
                expires_at_s=2.0,
            )
            rows.insert(tx, passage, 1.0)

    store.write(open_two)
    before = newest(store)
    assert store.write(lambda tx: passages.end_all(tx, "restart", 3.0)) == 2
    assert store.write(lambda tx: passages.end_all(tx, "restart", 3.0)) == 0
    assert [(event.kind, event.subject_id) for event in told(store, before)] == [
        ("passage.ended", "passage_1"),
        ("passage.ended", "passage_2"),
    ]


def test_a_commit_with_news_rings_and_one_without_does_not(store: Store) -> None:
    """Who waits for news is woken by the commit itself, whoever made it; a silent commit wakes nobody."""

    async def story() -> None:
        database = store.database
        ticket = database.told.ticket()
        await database.write(lambda tx: a_project(tx, 1.0))
        assert not ticket.is_set()
        await database.write(lambda tx: issue_token(tx, role=Role.ADMIN, name="x", now_s=1.0))
        await ticket.wait()

    store._runner.run(story())


def test_forgetting_takes_the_oldest_and_never_makes_a_hole(store: Store) -> None:
    """What is older goes, up to the newest that is too old, and numbers go on from where they were."""
    for at_s in (1.0, 9.0, 2.0, 10.0):
        store.write(lambda tx, at_s=at_s: issue_token(tx, role=Role.ADMIN, name="x", now_s=at_s))
    assert store.write(lambda tx: events.forget(tx, 5.0)) == 3
    assert [event.seq for event in told(store)] == [4]
    assert store.write(lambda tx: events.forget(tx, 50.0)) == 1
    assert (store.read(events.oldest), newest(store)) == (5, 4)
    store.write(lambda tx: issue_token(tx, role=Role.ADMIN, name="x", now_s=60.0))
    assert [event.seq for event in told(store)] == [5]
