"""What the end of a grant, or its narrowing, does with what was made under it."""

from typing import Any

import pytest

from catalog import consent, parting, winding_down
from catalog.assets.ending import GRANT_ENDED, TIME_IS_OVER
from catalog.messages.contracts import AssetDestroyed, EndEpoch, from_json
from catalog.messages.handshake import GrantedCapability
from catalog.model.asset import Asset, AssetState
from catalog.model.connection import Connection, ConnectionState
from catalog.model.consent import Grant, GrantState, Side
from catalog.model.ids import MachineId, MessageId
from catalog.model.machine import Machine, MachineState
from catalog.model.terms import EndRule
from catalog.orders.settle import settle
from catalog.store import outbox, rows
from catalog.store.database import Tx
from catalog.winding_down import CLEARING_S, session_of
from tests.support.asset_ordering import GRANT, ready, seed_volumes, volume
from tests.support.ordering import OFFER, PLATFORM, PROJECT, RETRY, seed
from tests.support.stores import Store


def sold(store: Store, **terms: Any) -> None:
    """Let volumes be ordered, and one be ready and one in the making."""

    def work(tx: Tx) -> None:
        seed(tx)
        seed_volumes(tx, **terms)
        ready(tx, "ready", 1.0)
        volume(tx, "making", 1.0)

    store.write(work)


def assets(store: Store) -> dict[str, Asset]:
    """Return every asset by its name."""
    return {each.name: each for each in store.read(lambda tx: rows.where(tx, Asset))}


@pytest.mark.parametrize(
    ("rule", "state", "ends_at_s"),
    [
        pytest.param(None, AssetState.READY, None, id="nobody said"),
        pytest.param(EndRule.KEEP, AssetState.READY, 10.0 + 600.0, id="kept for a while"),
        pytest.param(EndRule.DRAIN, AssetState.READY, 10.0 + 600.0, id="drained"),
        pytest.param(EndRule.DESTROY, AssetState.DESTROYING, None, id="destroyed at once"),
    ],
)
def test_the_end_rule_says_what_becomes_of_them(
    store: Store, rule: EndRule | None, state: AssetState, ends_at_s: float | None
) -> None:
    """What is in the making is given up whatever the rule; what is there goes, or stays as long as the rule has it."""
    sold(store, on_end=rule, wind_down_s=600.0 if rule else None)
    store.write(lambda tx: consent.revoke(tx, GRANT, 10.0))
    now = assets(store)
    assert (now["ready"].state, now["ready"].ends_at_s) == (state, ends_at_s)
    assert (now["making"].state, now["making"].code) == (AssetState.CLEARING, GRANT_ENDED)
    told = [from_json(row.body) for row in store.read(lambda tx: outbox.unsent(tx, 20))]
    (end,) = [message for message in told if isinstance(message, EndEpoch)]
    assert (end.capability, end.platform, end.epoch) == ("volume", PLATFORM, 1)


def test_what_is_kept_goes_when_its_time_is_over(store: Store) -> None:
    """Not a second before, and once; then nothing is due any more."""
    sold(store, on_end=EndRule.KEEP, wind_down_s=600.0)
    store.write(lambda tx: consent.revoke(tx, GRANT, 10.0))
    assert not store.read(lambda tx: winding_down.is_any_due(tx, 609.9))
    assert store.read(lambda tx: winding_down.is_any_due(tx, 610.0))
    assert store.write(lambda tx: winding_down.end_due(tx, 610.0)) == 1
    now = assets(store)["ready"]
    assert (now.state, now.reason) == (AssetState.DESTROYING, TIME_IS_OVER)
    assert not store.read(lambda tx: winding_down.is_any_due(tx, 611.0))


def test_a_grant_that_stands_again_takes_back_what_is_left(store: Store) -> None:
    """Asked for, granted and accepted anew, what was kept stays, with nothing to be told of."""
    sold(store, on_end=EndRule.KEEP, wind_down_s=600.0)
    store.write(lambda tx: consent.revoke(tx, GRANT, 10.0))
    assert "is destroyed when its time is over" in assets(store)["ready"].notice

    def again(tx: Tx) -> None:
        consent.ask(tx, GRANT, 20.0)
        consent.answer(tx, GRANT, GrantedCapability(capability="volume", verbs=("create", "list")), by="t", now_s=21.0)
        consent.accept(tx, GRANT, 22.0)

    store.write(again)
    now = assets(store)["ready"]
    assert (now.notice, now.ends_at_s, now.state) == ("", None, AssetState.READY)


def test_held_back_nothing_is_destroyed_and_its_holder_is_told(store: Store) -> None:
    """While a side holds the grant back, what is there stays, and what is in the making is given up."""
    sold(store, on_end=EndRule.DESTROY)
    store.write(lambda tx: consent.suspend(tx, GRANT, Side.PLATFORM, 10.0))
    now = assets(store)
    assert (now["ready"].state, now["making"].state) == (AssetState.READY, AssetState.CLEARING)
    assert "suspended by the platform" in now["ready"].notice
    store.write(lambda tx: consent.resume(tx, GRANT, Side.PLATFORM, 11.0))


@pytest.mark.parametrize(
    ("terms", "given_up"),
    [
        pytest.param({"verbs": ("create", "list"), "quota": 2}, False, id="room for both"),
        pytest.param({"verbs": ("create", "list"), "quota": 1}, True, id="fewer than there are"),
        pytest.param({"verbs": ("list",)}, True, id="no more creating"),
    ],
)
def test_what_a_narrower_grant_does_not_cover_is_given_up(store: Store, terms: dict[str, Any], given_up: bool) -> None:  # noqa: FBT001
    """Of what is in the making, that is; what is there stays."""
    sold(store)
    narrower = GrantedCapability(capability="volume", **terms)
    store.write(lambda tx: consent.answer(tx, GRANT, narrower, by="t", now_s=10.0))
    now = assets(store)
    assert now["ready"].state is AssetState.READY
    assert (now["making"].state is AssetState.CLEARING) is given_up


def test_the_session_to_clean_up_is_for_what_we_made_until_its_deadline(store: Store) -> None:
    """There is none while the grant stands, none where nothing was made, and none from the deadline on."""
    store.write(seed)
    store.write(lambda tx: seed_volumes(tx, on_end=EndRule.KEEP, wind_down_s=600.0))
    store.write(lambda tx: ready(tx, "ready", 1.0))
    assert store.read(lambda tx: session_of(tx, PLATFORM, "volume", 5.0)) is None
    store.write(lambda tx: consent.revoke(tx, GRANT, 10.0))
    for now_s, there in ((11.0, True), (10.0 + 600.0 + CLEARING_S - 0.1, True), (10.0 + 600.0 + CLEARING_S, False)):
        found = store.read(lambda tx, now_s=now_s: session_of(tx, PLATFORM, "volume", now_s))  # type: ignore[misc]
        assert (found is not None) is there
    store.write(lambda tx: rows.delete(tx, rows.where(tx, Asset)[0]))
    assert store.read(lambda tx: session_of(tx, PLATFORM, "volume", 11.0)) is None


def test_the_connection_stays_until_nothing_is_left(store: Store) -> None:
    """With every grant revoked it is held by the one volume that is being destroyed, and ends with that."""
    sold(store, on_end=EndRule.DESTROY)

    def revoke_all(tx: Tx) -> None:
        for grant in rows.where(tx, Grant, state=GrantState.ACCEPTED):
            consent.revoke(tx, grant.id, 10.0)

    store.write(revoke_all)
    held = lambda: store.read(lambda tx: rows.where(tx, Connection)[0].state)  # noqa: E731
    for name in ("making", "ready"):
        assert held() is ConnectionState.ESTABLISHED
        gone = AssetDestroyed(
            id=MessageId(f"m-{name}"), created_at_s=11.0, asset=assets(store)[name].id, platform=PLATFORM
        )
        store.write(lambda tx, gone=gone: settle(tx, gone, 11.0, RETRY))  # type: ignore[misc]
    assert held() is ConnectionState.FAILED
    assert {name: each.state for name, each in assets(store).items()} == {
        "making": AssetState.FAILED,
        "ready": AssetState.GONE,
    }


def both_revoked(store: Store, *, asset_s: float, machine_s: float) -> None:
    """Have a volume and a machine in use, kept so long after both grants were revoked at 10 s."""
    sold(store, on_end=EndRule.KEEP, wind_down_s=asset_s)

    def work(tx: Tx) -> None:
        rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"on_end": EndRule.KEEP.value, "wind_down_s": machine_s}, 5.0)
        machine = Machine(
            id=MachineId("machine_kept"), platform_id=PLATFORM, offer_id=OFFER, state=MachineState.IN_USE, name="kept",
            size="s1", image="i1", project_id=PROJECT,
        )  # fmt: skip
        rows.insert(tx, machine, 5.0)
        for grant in ("grant_M", GRANT):
            consent.revoke(tx, grant, 10.0)

    store.write(work)


def connected(store: Store) -> bool:
    """Return whether the connection to the platform stands."""
    (connection,) = store.read(lambda tx: rows.where(tx, Connection))
    return connection.state is ConnectionState.ESTABLISHED


def cleared(store: Store, name: str, now_s: float) -> None:
    """Let the provisioner report that the asset is gone."""
    message = AssetDestroyed(
        id=MessageId(f"message_{name}"), created_at_s=now_s, asset=assets(store)[name].id, platform=PLATFORM
    )
    store.write(lambda tx: settle(tx, message, now_s, RETRY))


@pytest.mark.parametrize("first", ["volume", "machine"])
def test_a_deadline_counts_for_what_was_made_under_its_own_grant(store: Store, first: str) -> None:
    """An hour for one and a month for the other: the one's end leaves the connection over which the other is ended."""
    hour_s, month_s = 3600.0, 30 * 86_400.0
    seconds = (
        {"asset_s": hour_s, "machine_s": month_s} if first == "volume" else {"asset_s": month_s, "machine_s": hour_s}
    )
    both_revoked(store, **seconds)
    after_first_s, after_both_s = 11.0 + hour_s + CLEARING_S, 11.0 + month_s + CLEARING_S
    store.write(lambda tx: parting.part_overdue(tx, after_first_s))
    # Any news from there, and any other end, is an occasion to ask whether something still holds the connection.
    cleared(store, "making", after_first_s)
    assert connected(store)
    store.write(lambda tx: winding_down.end_due(tx, after_first_s))
    assert connected(store)
    store.write(lambda tx: winding_down.end_due(tx, after_both_s))
    assert not connected(store)


def test_a_stuck_asset_holds_a_connection_no_longer_than_its_time(store: Store) -> None:
    """Nobody reports that it is gone: after the deadline the connection ends, without machines or news of any kind."""
    sold(store, on_end=EndRule.KEEP, wind_down_s=600.0)

    def work(tx: Tx) -> None:
        for grant in ("grant_M", GRANT):
            consent.revoke(tx, grant, 10.0)

    store.write(work)
    deadline_s = 10.0 + 600.0 + CLEARING_S
    for now_s, stands in ((deadline_s - 1, True), (deadline_s, False)):
        store.write(lambda tx, now_s=now_s: winding_down.end_due(tx, now_s))  # type: ignore[misc]
        assert connected(store) is stands
    assert not store.read(lambda tx: winding_down.is_any_due(tx, deadline_s + 1))
