"""What accounts can do: kept with its proof, told when it changes, proposed when nobody was asked for it."""

from collections.abc import Sequence

import pytest

from catalog import rights
from catalog.clouds import Proof
from catalog.model.consent import Grant, GrantState
from catalog.model.event import Event
from catalog.model.ids import GrantId, PlatformId, new_id
from catalog.model.right import RightState
from catalog.store import rows
from tests.support.stores import Store, add_connection, add_platform

HELD, PROPOSED, LOST, ABSENT = RightState.HELD, RightState.PROPOSED, RightState.LOST, RightState.ABSENT


def recorded(store: Store, platform: PlatformId, allowed: Sequence[bool]) -> list[RightState]:
    """Record a proof after the other and return the state that each led to."""
    states = []
    for number, each in enumerate(allowed):
        proof = Proof(capability="image", allowed=each, request="DescribeImages", request_id=f"req-{number}")
        store.clock.advance(1)
        store.write(lambda tx, proof=proof: rights.record(tx, platform, [proof], store.now_s))  # type: ignore[misc]
        states.append(store.read(lambda tx: rights.of_platform(tx, platform))[0].state)
    return states


def ask(store: Store, platform: PlatformId, state: GrantState) -> None:
    """Insert a grant for images in ``state``."""
    connection = add_connection(store, platform)
    grant = Grant(
        id=GrantId(new_id("grant", store.now_s)), platform_id=platform, connection_id=connection, request_id="r",
        capability="image", verbs=["list"], state=state,
    )  # fmt: skip
    store.write(lambda tx: rows.insert(tx, grant, store.now_s))


@pytest.mark.parametrize(
    ("proofs", "states"),
    [
        pytest.param((True, True), [PROPOSED, PROPOSED], id="held"),
        pytest.param((False, False), [ABSENT, ABSENT], id="never held"),
        pytest.param((False, True), [ABSENT, PROPOSED], id="new"),
        pytest.param((True, False, False, True), [PROPOSED, LOST, LOST, PROPOSED], id="lost and given back"),
    ],
)
def test_where_a_right_stands(store: Store, proofs: tuple[bool, ...], states: list[RightState]) -> None:
    """What was never there is absent, what was there is lost; what nobody was asked for is proposed."""
    assert recorded(store, add_platform(store).id, proofs) == states


@pytest.mark.parametrize("state", [GrantState.DENIED, GrantState.ACCEPTED, GrantState.REQUESTED])
def test_what_the_owner_was_asked_for_is_not_proposed(store: Store, state: GrantState) -> None:
    """Also a no is an answer: nobody is asked again behind the owner's back."""
    platform = add_platform(store).id
    ask(store, platform, state)
    assert recorded(store, platform, (True, False, True)) == [HELD, LOST, HELD]


def test_only_a_change_is_told_and_every_proof_is_dated(store: Store) -> None:
    """Three proofs of which two change something are two events; the row carries the newest date and request id."""
    platform = add_platform(store).id
    recorded(store, platform, (True, True, False))
    told = [event for event in store.read(lambda tx: rows.where(tx, Event)) if event.kind.startswith("right")]
    assert [event.kind for event in told] == ["right.proposed", "right.lost"]
    assert all(event.platform_id == platform for event in told)
    (right,) = store.read(lambda tx: rights.of_platform(tx, platform))
    assert (right.proved_at_s, right.request_id) == (store.now_s, "req-2")


def test_a_right_that_was_never_there_is_not_told(store: Store) -> None:
    """An account is not told of everything that it cannot do."""
    recorded(store, add_platform(store).id, (False, False))
    assert not [e for e in store.read(lambda tx: rows.where(tx, Event)) if e.kind.startswith("right")]


def test_who_is_due(store: Store) -> None:
    """A platform that was never looked at, and one whose newest proof is too old."""
    fresh, old, never = (add_platform(store, name).id for name in ("fresh", "old", "never"))
    recorded(store, old, (True,))
    store.clock.advance(100)
    recorded(store, fresh, (True,))
    due = store.read(lambda tx: rights.due(tx, {fresh, old, never}, store.now_s - 50))
    assert due == {old, never}
