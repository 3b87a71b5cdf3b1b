"""The event log as its readers see it: whose events, from where on, and what is not kept any more."""

import pytest

from catalog import connections, events
from catalog.access import Principal
from catalog.errors import EventsForgotten, InvalidValue
from catalog.model.access import Role
from catalog.model.event import Event
from catalog.model.ids import PlatformId, ProjectId, TokenId
from catalog.store import events as log
from catalog.store.telling import Telling
from catalog.tokens import issue_token
from tests.support.stores import Store, add_platform

LIMIT = 1000


def who(role: Role, subject: str = "") -> Principal:
    """Return a principal."""
    return Principal(role=role, subject_id=subject, token_id=TokenId("token_1"), name="who")


def seen(store: Store, principal: Principal, *, since: int = 0, kind: str | None = None) -> list[Event]:
    """Return what the principal reads."""
    reader = events.reader(principal, kind=kind)
    return list(store.read(lambda tx: events.read(tx, reader, since=since, limit=LIMIT)).events)


def test_everybody_reads_what_concerns_them_and_admins_all(store: Store) -> None:
    """A connection concerns both platforms; a project's event its members alone; nobody sees another's."""
    first, second, third = (add_platform(store, name) for name in ("one", "two", "three"))
    store.write(lambda tx: connections.request(tx, requester=first.id, target=second.id, policy={}, now_s=1.0))

    def orders(tx: object) -> None:
        for project in ("project_a", "project_b"):
            about = Telling(noun="order", standing="placed", subject_id=f"o-{project}", project_id=ProjectId(project))
            log.append(tx, about, "order.placed", {}, 1.0)  # type: ignore[arg-type]

    store.write(orders)

    def kinds(role: Role, subject: str) -> set[str]:
        return {event.kind.partition(".")[0] for event in seen(store, who(role, subject))}

    assert kinds(Role.PLATFORM, first.id) == {"platform", "endpoint", "connection"}
    assert kinds(Role.PLATFORM, second.id) == {"platform", "endpoint", "connection"}
    assert kinds(Role.PLATFORM, third.id) == {"platform", "endpoint"}
    assert [event.subject_id for event in seen(store, who(Role.MEMBER, "project_a"))] == ["o-project_a"]
    everything = seen(store, who(Role.ADMIN))
    assert [event.seq for event in everything] == list(range(1, len(everything) + 1))
    # A token is nobody's business but the admins': whoever holds a stolen one is not told.
    assert "token" in {event.kind.partition(".")[0] for event in everything}


def test_a_noun_is_all_its_kinds_and_no_other_noun_s(store: Store) -> None:
    """``order`` takes order.placed and order.failed, not orders.x or order-book.x; a full kind takes itself."""

    def write(tx: object) -> None:
        for kind in ("order.placed", "order.failed", "orders.placed", "order-book.placed"):
            about = Telling(noun="x", standing="y", subject_id="s", platform_id=PlatformId("p"))
            log.append(tx, about, kind, {}, 1.0)  # type: ignore[arg-type]

    store.write(write)
    assert [each.kind for each in seen(store, who(Role.ADMIN), kind="order")] == ["order.placed", "order.failed"]
    assert [each.kind for each in seen(store, who(Role.ADMIN), kind="order.failed")] == ["order.failed"]


def test_going_on_from_the_number_read_up_to_misses_nothing(store: Store) -> None:
    """A reader for whom nothing was written advances too: its number is the newest, not its last event's."""
    for _ in range(3):
        store.write(lambda tx: issue_token(tx, role=Role.ADMIN, name="x", now_s=1.0))
    nobody = events.reader(who(Role.MEMBER, "project_a"))
    batch = store.read(lambda tx: events.read(tx, nobody, since=1, limit=LIMIT))
    assert (list(batch.events), batch.upto) == ([], 3)
    full = store.read(lambda tx: events.read(tx, events.reader(who(Role.ADMIN)), since=0, limit=2))
    assert ([event.seq for event in full.events], full.upto) == ([1, 2], 2)


def test_what_is_forgotten_is_told_with_what_to_do(store: Store) -> None:
    """A reader that stands before the oldest kept event is refused; one that stands just before it is not."""
    for at_s in (1.0, 2.0, 100.0):
        store.write(lambda tx, at_s=at_s: issue_token(tx, role=Role.ADMIN, name="x", now_s=at_s))
    assert store.write(lambda tx: events.forget(tx, 100.0, kept_s=50.0)) == 2
    admin = who(Role.ADMIN)
    with pytest.raises(EventsForgotten, match="events after 1") as refused:
        seen(store, admin, since=1)
    assert "since=3" in str(refused.value.fix)
    assert [event.seq for event in seen(store, admin, since=2)] == [3]
    assert store.read(events.before_oldest) == 2
    with pytest.raises(InvalidValue):
        seen(store, admin, since=4)
