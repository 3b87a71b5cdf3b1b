"""Connections: consent, states, sessions, decisions and steps."""

from typing import Any

import pytest

from catalog import connections
from catalog.errors import AlreadyExists, Denied, InvalidValue, NotFound, WrongState
from catalog.model.connection import CONNECTION_TRANSITIONS, Connection, ConnectionEvent, ConnectionState, Leg
from catalog.model.ids import ConnectionId, PlatformId
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.stores import Store, add_platform

_S, _E = ConnectionState, ConnectionEvent
UP = (_E.BEGIN, _E.ROUTED, _E.TUNNELLED, _E.ESTABLISH)


def ask(store: Store, requester: Platform, target: Platform, **policy: Any) -> Connection:
    """Request a connection."""
    return store.write(
        lambda tx: connections.request(tx, requester=requester.id, target=target.id, policy=policy, now_s=store.now_s)
    )


def move(store: Store, connection_id: ConnectionId, *events: ConnectionEvent, **told: str) -> Connection:
    """Take the connection along all ``events``."""

    def work(tx: Tx) -> Connection:
        for event in events:
            moved = connections.move(tx, connection_id, event, store.now_s, **told)
        return moved

    return store.write(work)


def open_sessions(store: Store, connection: Connection) -> None:
    """Open the three sessions."""
    store.write(
        lambda tx: connections.open_sessions(
            tx, connection, gateway_account="g", transport_account="t", target_account="p", now_s=store.now_s
        )
    )


def test_a_platforms_own_connection_needs_nobody_elses_word(store: Store) -> None:
    """When requester and target are one it is REQUESTED, consented, and can begin."""
    platform = add_platform(store)
    connection = ask(store, platform, platform, direct_allowed=True, avoid=["bom"])
    assert (connection.state, connection.consented) == (_S.REQUESTED, True)
    assert connection.policy == {"direct_allowed": True, "avoid": ["bom"]}
    assert move(store, connection.id, _E.BEGIN).state is _S.ROUTING


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        pytest.param({"speed": 1}, "policy", id="no such field"),
        pytest.param({"avoid": ["sin", "eu"], "require": ["eu"]}, "policy.require", id="avoided and required"),
        pytest.param({"require": ["eu"], "relay_limit": 0}, "policy.require", id="required of no relay"),
        pytest.param({"price_limit_usd_per_gb": 0.0}, "policy.price_limit_usd_per_gb", id="limit without bulk"),
        pytest.param(
            {"price_limit_usd_per_gb": 0.1, "profile": "interactive"},
            "policy.price_limit_usd_per_gb",
            id="limit for interactive",
        ),
    ],
)
def test_a_policy_that_no_network_can_satisfy_is_refused(store: Store, policy: dict[str, Any], field: str) -> None:
    """What contradicts itself is refused with the field and a fix, and no connection is made."""
    platform = add_platform(store)
    with pytest.raises(InvalidValue) as refused:
        ask(store, platform, platform, **policy)
    assert refused.value.field == field
    assert refused.value.fix
    assert store.read(lambda tx: rows.where(tx, Connection)) == []


@pytest.mark.parametrize("name", ["avoid", "require"])
def test_a_word_that_calls_no_relay_is_named(store: Store, name: str) -> None:
    """Misspelt, what is avoided would be gone over in silence: nothing is asked for, and the word is told."""
    platform = add_platform(store)
    with pytest.raises(InvalidValue, match="'bmo'") as refused:
        ask(store, platform, platform, **{name: ["bom", "bmo"]})
    assert (refused.value.field, store.read(lambda tx: rows.where(tx, Connection))) == (f"policy.{name}", [])


def test_a_bulk_connection_may_have_a_price_limit(store: Store) -> None:
    """A free route is a limit too; without the limit the profile needs nothing, and null is no limit."""
    platforms = [add_platform(store, name) for name in ("mumbai", "delhi", "pune")]
    for platform, policy in zip(
        platforms,
        (
            {"profile": "bulk", "price_limit_usd_per_gb": 0.0, "require": ["bom"], "relay_limit": 1},
            {"profile": "bulk"},
            {"profile": "interactive", "price_limit_usd_per_gb": None},
        ),
        strict=True,
    ):
        assert ask(store, platform, platform, **policy).policy == policy


def test_only_the_targets_owner_can_consent(store: Store) -> None:
    """Requester, a third platform and nobody are denied and change nothing; the target's word counts, and once."""
    mumbai, delhi, pune = (add_platform(store, name) for name in ("mumbai", "delhi", "pune"))
    connection = ask(store, mumbai, delhi)
    assert (connection.state, connection.consented) == (_S.AWAITING_CONSENT, False)

    def consent(platform_id: str) -> Connection:
        return store.write(
            lambda tx: connections.give_consent(
                tx, connection.id, platform_id=platform_id, allow=True, now_s=store.now_s
            )
        )

    for stranger in (mumbai.id, pune.id, ""):
        with pytest.raises(Denied):
            consent(stranger)
    assert store.read(lambda tx: rows.by_id(tx, Connection, connection.id)).state is _S.AWAITING_CONSENT
    allowed = consent(delhi.id)
    assert (allowed.state, allowed.consented) == (_S.ROUTING, True)
    with pytest.raises(WrongState):
        consent(delhi.id)


@pytest.mark.parametrize("event", list(ConnectionEvent))
def test_no_event_gets_past_consent(store: Store, event: ConnectionEvent) -> None:
    """While consent is awaited every event is tried: the connection can only be closed."""
    connection = ask(store, add_platform(store, "mumbai"), add_platform(store, "delhi"))
    if event is _E.CLOSE:
        assert move(store, connection.id, event).state is _S.CLOSED
    else:
        with pytest.raises(WrongState):
            move(store, connection.id, event)


def test_a_refused_connection_cannot_be_retried(store: Store) -> None:
    """After the target's no the connection is FAILED as denied, and RETRY does not turn the no into a yes."""
    target = add_platform(store, "delhi")
    connection = ask(store, add_platform(store, "mumbai"), target)
    refused = store.write(
        lambda tx: connections.give_consent(tx, connection.id, platform_id=target.id, allow=False, now_s=1.0)
    )
    assert (refused.state, refused.code) == (_S.FAILED, "denied")
    with pytest.raises(WrongState, match="not consented"):
        move(store, connection.id, _E.RETRY)


def test_a_pair_has_one_open_connection(store: Store) -> None:
    """A second one is refused and names the first; the other direction is another pair; a failed one stands aside."""
    mumbai, delhi = add_platform(store, "mumbai"), add_platform(store, "delhi")
    first = ask(store, mumbai, mumbai)
    with pytest.raises(AlreadyExists, match=first.id):
        ask(store, mumbai, mumbai)
    ask(store, mumbai, delhi)
    ask(store, delhi, mumbai)
    move(store, first.id, _E.FAIL, code="no-route")
    second = ask(store, mumbai, mumbai)
    with pytest.raises(AlreadyExists, match=second.id):
        move(store, first.id, _E.RETRY)
    move(store, second.id, _E.CLOSE)
    assert move(store, first.id, _E.RETRY).state is _S.ROUTING


def test_a_request_names_what_exists(store: Store) -> None:
    """Unknown platforms, disabled ones and unknown policy fields are refused before a row is made."""
    platform = add_platform(store)
    with pytest.raises(NotFound):
        store.write(
            lambda tx: connections.request(
                tx, requester=platform.id, target=PlatformId("platform_x"), policy={}, now_s=1.0
            )
        )
    with pytest.raises(InvalidValue, match="no 'speed'"):
        ask(store, platform, platform, speed=9)
    store.write(lambda tx: rows.update(tx, platform, {"enabled": False}, 2.0))
    with pytest.raises(WrongState, match="disabled"):
        ask(store, platform, platform)
    assert store.read(lambda tx: rows.where(tx, Connection)) == []


def test_the_route_is_kept_as_long_as_the_tunnel(store: Store) -> None:
    """The route stands from ROUTED to ESTABLISHED, goes when the tunnel does, and reasons are replaced each time."""
    platform = add_platform(store)
    connection = ask(store, platform, platform)
    move(store, connection.id, _E.BEGIN)
    move(store, connection.id, _E.ROUTED, route="fra-1>sin-1")
    up = move(store, connection.id, _E.TUNNELLED, _E.ESTABLISH)
    assert (up.route, up.attempts, up.code) == ("fra-1>sin-1", 0, "")
    lost = move(store, connection.id, _E.LOSE, code="tunnel-lost", reason="r" * 1000)
    assert (lost.route, lost.code, len(lost.reason)) == ("", "tunnel-lost", 500)
    again = move(store, connection.id, _E.RETRY)
    assert (again.code, again.reason, again.attempts) == ("", "", 1)


def test_three_linked_sessions_count_every_call(store: Store) -> None:
    """Gateway, transport and target are opened in one go, each the parent of the next; two calls count in all three."""
    platform = add_platform(store)
    connection = ask(store, platform, platform)
    open_sessions(store, connection)
    assert [store.write(lambda tx: connections.count_call(tx, connection.id)) for _ in range(2)] == [3, 3]
    gateway, transport, target = store.read(lambda tx: connections.sessions(tx, connection.id))
    assert [each.leg for each in (gateway, transport, target)] == list(Leg)
    assert (gateway.parent_id, transport.parent_id, target.parent_id) == (None, gateway.id, transport.id)
    assert [(each.account, each.calls) for each in (gateway, transport, target)] == [("g", 2), ("t", 2), ("p", 2)]


@pytest.mark.parametrize("event", [_E.LOSE, _E.CLOSE])
def test_sessions_end_with_the_tunnel(store: Store, event: ConnectionEvent) -> None:
    """Losing or closing a connection ends its sessions in the same transaction: no call is counted afterwards."""
    platform = add_platform(store)
    connection = ask(store, platform, platform)
    move(store, connection.id, *UP)
    open_sessions(store, connection)
    move(store, connection.id, event)
    assert store.write(lambda tx: connections.count_call(tx, connection.id)) == 0
    ended = store.read(lambda tx: connections.sessions(tx, connection.id))
    assert [each.ended_at_s for each in ended] == [store.now_s] * 3
    assert store.write(lambda tx: connections.end_sessions(tx, connection.id, store.now_s)) == 0


def test_opening_sessions_again_ends_the_earlier_ones(store: Store) -> None:
    """After a second opening three sessions are open and three are history."""
    platform = add_platform(store)
    connection = ask(store, platform, platform)
    open_sessions(store, connection)
    store.clock.advance(5)
    open_sessions(store, connection)
    kept = store.read(lambda tx: connections.sessions(tx, connection.id))
    assert [each.ended_at_s for each in kept] == [store.now_s] * 3 + [None] * 3


def test_what_is_unfinished_is_what_a_restart_takes_up(store: Store) -> None:
    """Every state is tried: all but those that wait for consent, have failed or are closed are taken up."""
    platform = add_platform(store)
    for state in ConnectionState:
        row = Connection(id=ConnectionId(state), requester_id=platform.id, target_id=platform.id, state=state)
        store.write(lambda tx, row=row: rows.insert(tx, row, 1.0))  # type: ignore[misc]
    found = {each.state for each in store.read(connections.unfinished)}
    assert found == set(CONNECTION_TRANSITIONS) - {_S.AWAITING_CONSENT, _S.FAILED, _S.CLOSED}
    established = store.read(lambda tx: connections.established_for(tx, platform.id))
    assert established is not None
    assert established.state is _S.ESTABLISHED
    assert store.read(lambda tx: connections.established_for(tx, PlatformId("platform_x"))) is None


def test_decisions_and_steps_are_a_diary(store: Store) -> None:
    """Steps come back in the order they were recorded; of the decisions the newest is the answer to why."""
    platform = add_platform(store)
    connection = ask(store, platform, platform)
    assert store.read(lambda tx: connections.latest_decision(tx, connection.id)) is None

    def record(tx: Tx) -> None:
        for number, (step, outcome) in enumerate([("connect.route", "begun"), ("connect.route", "done")]):
            connections.record_decision(tx, connection.id, {"winner": number}, 1.0)
            connections.record_step(tx, connection.id, step, outcome, float(number), detail="d" * 1000)

    store.write(record)
    newest = store.read(lambda tx: connections.latest_decision(tx, connection.id))
    assert newest is not None
    assert newest.document == {"winner": 1}
    steps = store.read(lambda tx: connections.steps(tx, connection.id))
    assert [(step.outcome, step.at_s, len(step.detail)) for step in steps] == [("begun", 0.0, 500), ("done", 1.0, 500)]
    assert store.read(lambda tx: connections.steps(tx, "order_1")) == []
