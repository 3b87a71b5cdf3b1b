"""Passages as the catalog keeps them: who may open one, what makes it be over, what is counted."""

import pytest

from catalog import passages
from catalog.access import Principal
from catalog.errors import Denied, InvalidValue, WrongState
from catalog.model.access import Role
from catalog.model.connection import Connection, ConnectionState
from catalog.model.ids import ConnectionId, PlatformId, TokenId, new_id
from catalog.model.passage import Passage, PassageKind
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.tokens import issue_token, revoke_token
from tests.support.stores import Store, add_platform

DAY_S = 86_400.0


def connected(store: Store, requester: PlatformId, target: PlatformId, state: ConnectionState) -> ConnectionId:
    """Insert a connection of the pair in ``state``."""
    row = Connection(
        id=ConnectionId(new_id("connection", store.now_s)),
        requester_id=requester,
        target_id=target,
        consented=True,
        state=state,
    )
    return store.write(lambda tx: rows.insert(tx, row, store.now_s)).id


def principal(store: Store, role: Role, subject: str = "") -> Principal:
    """Return a principal with a token of its own."""
    if role is Role.MEMBER:
        return Principal(role=role, subject_id="project_1", token_id=TokenId("token_1"), name="tenant")
    token, _ = store.write(lambda tx: issue_token(tx, role=role, name="who", subject_id=subject, now_s=store.now_s))
    return Principal(role=role, subject_id=subject, token_id=token.id, name="who")


def opened(store: Store, who: Principal, platform: PlatformId, *, ttl_s: float = 60, purpose: str = "aws") -> Passage:
    """Open an ``http`` passage."""
    return store.write(
        lambda tx: passages.open_passage(
            tx,
            principal=who,
            platform_id=platform,
            kind=PassageKind.HTTP,
            purpose=purpose,
            ttl_s=ttl_s,
            now_s=store.now_s,
        )
    )


def over(store: Store, passage: Passage) -> str | None:
    """Return why the passage is over."""
    return store.read(lambda tx: passages.why_over(tx, passage.id, store.now_s))


def test_an_owner_passes_over_the_connection_it_asked_for_and_an_admin_over_any(store: Store) -> None:
    """The passage is bound to the connection that was used; a stranger has none, a tenant never may."""
    mine, theirs, third = (add_platform(store, name).id for name in ("mine", "theirs", "third"))
    pair = connected(store, mine, theirs, ConnectionState.ESTABLISHED)
    own = connected(store, theirs, theirs, ConnectionState.ESTABLISHED)

    assert opened(store, principal(store, Role.PLATFORM, mine), theirs).connection_id == pair
    assert opened(store, principal(store, Role.PLATFORM, theirs), theirs).connection_id == own
    assert opened(store, principal(store, Role.ADMIN), theirs).connection_id in {pair, own}
    for stranger in (principal(store, Role.PLATFORM, third), principal(store, Role.MEMBER)):
        with pytest.raises((Denied, WrongState)):
            opened(store, stranger, theirs)
    # What was granted to one direction says nothing of the other.
    with pytest.raises(WrongState):
        opened(store, principal(store, Role.PLATFORM, theirs), mine)


def test_nothing_opens_before_the_connection_stands(store: Store) -> None:
    """A connection that is still being routed, or none at all for an admin, is a WrongState that says what to do."""
    platform = add_platform(store).id
    with pytest.raises(WrongState):
        opened(store, principal(store, Role.ADMIN), platform)
    connected(store, platform, platform, ConnectionState.ROUTING)
    with pytest.raises(WrongState) as refused:
        opened(store, principal(store, Role.PLATFORM, platform), platform)
    assert refused.value.fix


@pytest.mark.parametrize(
    ("ttl_s", "purpose", "field"),
    [
        pytest.param(0, "aws", "ttl_s", id="no time"),
        pytest.param(DAY_S, "aws", "ttl_s", id="a day"),
        pytest.param(float("nan"), "aws", "ttl_s", id="not a number"),
        pytest.param(60, "a\nb", "purpose", id="two lines"),
    ],
)
def test_what_cannot_be_is_refused(store: Store, ttl_s: float, purpose: str, field: str) -> None:
    """A lifetime outside (0, 12 h] and a purpose with control characters are InvalidValue and name the field."""
    platform = add_platform(store).id
    connected(store, platform, platform, ConnectionState.ESTABLISHED)
    with pytest.raises(InvalidValue) as refused:
        opened(store, principal(store, Role.ADMIN), platform, ttl_s=ttl_s, purpose=purpose)
    assert refused.value.field == field


def test_each_of_five_things_ends_a_passage(store: Store) -> None:
    """Closing, time, the token, the platform and the connection each end a passage; a tunnel being rebuilt does not."""
    platform = add_platform(store).id
    connection = connected(store, platform, platform, ConnectionState.ESTABLISHED)
    admin, owner = principal(store, Role.ADMIN), principal(store, Role.PLATFORM, platform)
    short, closed, by_token = (opened(store, who, platform, ttl_s=60) for who in (admin, admin, owner))
    lasting = opened(store, admin, platform, ttl_s=600)
    every = (short, closed, by_token, lasting)
    assert [over(store, each) for each in every] == [None] * 4

    store.write(lambda tx: passages.end(tx, closed.id, "enough", store.now_s))
    store.write(lambda tx: revoke_token(tx, owner.token_id, store.now_s))
    assert over(store, closed) == "enough"
    assert "token" in str(over(store, by_token))
    store.clock.advance(60)
    assert "time" in str(over(store, short))

    row = store.read(lambda tx: rows.by_id(tx, Connection, connection))
    store.write(lambda tx: rows.update(tx, row, {"state": ConnectionState.ROUTING}, store.now_s))
    assert over(store, lasting) is None
    store.write(lambda tx: rows.update(tx, row, {"state": ConnectionState.CLOSED}, store.now_s))
    assert "connection" in str(over(store, lasting))
    retired = store.read(lambda tx: rows.by_id(tx, Platform, platform))
    store.write(lambda tx: rows.update(tx, retired, {"enabled": False}, store.now_s))
    assert "retired" in str(over(store, lasting))


def test_the_first_reason_stays_and_counting_goes_on(store: Store) -> None:
    """Ending twice keeps the first reason; what was counted meanwhile is added, also after the end."""
    platform = add_platform(store).id
    connected(store, platform, platform, ConnectionState.ESTABLISHED)
    passage = opened(store, principal(store, Role.ADMIN), platform)
    store.write(lambda tx: passages.end(tx, passage.id, "first", store.now_s))
    store.write(lambda tx: passages.end(tx, passage.id, "second", store.now_s))
    for usage in (passages.Usage(calls=2, bytes_in=3), passages.Usage(bytes_in=4, bytes_out=5)):
        store.write(lambda tx, usage=usage: passages.count(tx, passage.id, usage, store.now_s))
    seen = store.read(lambda tx: rows.by_id(tx, Passage, passage.id))
    assert (seen.end_reason, seen.calls, seen.bytes_in, seen.bytes_out) == ("first", 2, 7, 5)


def test_nothing_stays_open_after_a_restart(store: Store) -> None:
    """end_all ends what is open and leaves alone what ended before."""
    platform = add_platform(store).id
    connected(store, platform, platform, ConnectionState.ESTABLISHED)
    before, after = (opened(store, principal(store, Role.ADMIN), platform) for _ in range(2))
    store.write(lambda tx: passages.end(tx, before.id, "done", store.now_s))
    assert store.write(lambda tx: passages.end_all(tx, "restart", store.now_s)) == 1
    assert over(store, before) == "done"
    assert over(store, after) == "restart"


def test_calls_are_kept_in_printable_words_with_their_answer(store: Store) -> None:
    """A call is kept when it is asked for, gets its status later, and never holds a control character."""
    platform = add_platform(store).id
    connected(store, platform, platform, ConnectionState.ESTABLISHED)
    passage = opened(store, principal(store, Role.ADMIN), platform)
    first = store.write(
        lambda tx: passages.record_call(
            tx, passage.id, "ec2 DescribeInstances", "machine:list", store.now_s, refused=False, status=None
        )
    )
    store.write(
        lambda tx: passages.record_call(tx, passage.id, "GET /\r\n\x1b[2J", "", store.now_s, refused=True, status=403)
    )
    store.write(lambda tx: passages.record_answer(tx, first.id or 0, 200, store.now_s))
    newest, oldest = store.read(lambda tx: passages.calls(tx, passage.id))
    assert (oldest.what, oldest.status, oldest.refused) == ("ec2 DescribeInstances", 200, False)
    assert (newest.what, newest.status, newest.refused) == ("GET /???[2J", 403, True)


def test_who_may_see_a_passage(store: Store) -> None:
    """Its opener, the owner of the platform it leads into, and admins; nobody else."""
    mine, theirs, third = (add_platform(store, name).id for name in ("mine", "theirs", "third"))
    connected(store, mine, theirs, ConnectionState.ESTABLISHED)
    passage = opened(store, principal(store, Role.PLATFORM, mine), theirs)
    seen = {
        name: passages.may_see(principal(store, role, subject), passage)
        for name, role, subject in (
            ("opener", Role.PLATFORM, mine),
            ("target", Role.PLATFORM, theirs),
            ("admin", Role.ADMIN, ""),
            ("third", Role.PLATFORM, third),
            ("tenant", Role.MEMBER, ""),
        )
    }
    assert seen == {"opener": True, "target": True, "admin": True, "third": False, "tenant": False}
