"""What may be ordered beside machines, by whom and how much of it; and what of it is attached to what."""

from typing import Any

import pytest

from catalog import publish, quotas
from catalog.assets import quota, using
from catalog.assets.place import place
from catalog.cloud_assets import AssetKind
from catalog.clouds import CloudMachine, MachineStatus
from catalog.errors import Denied, InvalidValue, QuotaExceeded, WrongState
from catalog.holders import holder
from catalog.model.asset import ASSET_TRANSITIONS, LIVE, Asset, AssetEvent, AssetState
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import AssetId, MachineId
from catalog.model.machine import Custody, Machine, MachineState
from catalog.model.offering import Offer, OfferState
from catalog.providers import Provider, Standing
from catalog.store import assets, outbox, rows
from catalog.store.database import Tx
from tests.support.asset_ordering import GRANT, VOLUMES, in_use, ready, seed_volumes, snapshot, volume
from tests.support.ordering import OTHER_PROJECT, PLATFORM, PROJECT, RETRY, seed
from tests.support.stores import Store


@pytest.fixture
def sold(store: Store) -> Store:
    """Return a database in which volumes can be ordered."""

    def work(tx: Tx) -> None:
        seed(tx)
        seed_volumes(tx)

    store.write(work)
    return store


def grants(store: Store, **terms: Any) -> None:
    """Change the terms of the grant behind the volumes."""
    store.write(lambda tx: rows.update(tx, rows.by_id(tx, Grant, GRANT), terms, 2.0))


def test_an_order_and_its_message_exist_both_or_not_at_all(sold: Store) -> None:
    """What is accepted is in the outbox at once, at the epoch of its grant; what is refused leaves nothing."""
    grants(sold, epoch=7)
    asset = sold.write(lambda tx: volume(tx, "data", 3.0))
    with pytest.raises(InvalidValue):
        sold.write(lambda tx: volume(tx, "data", 3.0, size_gib=None))
    (told,) = sold.read(lambda tx: outbox.unsent(tx, 10))
    assert asset.id in told.body
    assert '"epoch": 7' in told.body
    assert [each.id for each in sold.read(lambda tx: rows.where(tx, Asset))] == [asset.id]


def test_only_what_the_platforms_driver_makes_is_ordered(sold: Store) -> None:
    """Where volumes are made and no snapshots, a snapshot is refused though it is granted, with what there is."""
    here = Provider(
        name="memory", title="m", how="h", standing=Standing.CONTRACT, assets={AssetKind.VOLUME: Standing.CONTRACT}
    )
    data = sold.write(lambda tx: ready(tx, "data", 3.0, providers=(here,)))
    with pytest.raises(InvalidValue, match="no snapshots are made") as refused:
        sold.write(
            lambda tx: place(
                tx, project_id=PROJECT, kind=AssetKind.SNAPSHOT, offer=None, name="p", parent=data, now_s=3.0,
                providers=(here,),
            )
        )  # fmt: skip
    assert (refused.value.field, refused.value.fix) == ("offer", "there are volumes at this one")


@pytest.mark.parametrize("verb", ["create", "snapshot"])
def test_each_kind_needs_its_own_verb(sold: Store, verb: str) -> None:
    """Who may make volumes may not therefore make snapshots of them, nor the other way round."""
    data = sold.write(lambda tx: ready(tx, "data", 3.0))
    grants(sold, verbs=[verb, "list"])
    allowed, denied = (volume, snapshot) if verb == "create" else (snapshot, volume)

    def make(tx: Tx, which: Any) -> Asset:
        made: Asset = which(tx, "more", 3.0) if which is volume else which(tx, data, "more", 3.0)
        return made

    assert sold.write(lambda tx: make(tx, allowed)).state is AssetState.CREATING
    with pytest.raises(Denied):
        sold.write(lambda tx: make(tx, denied))


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        pytest.param({"quota": 1}, QuotaExceeded, id="so many at once"),
        pytest.param({"scope": {"projects": ["owner-of-project_U/*"]}}, Denied, id="for others"),
        pytest.param({"scope": {"regions": ["elsewhere"]}}, Denied, id="elsewhere"),
        pytest.param({"state": GrantState.SUSPENDED}, Denied, id="held back"),
        pytest.param({"expires_at_s": 3.0}, Denied, id="over"),
    ],
)
def test_an_order_keeps_to_the_terms_of_its_grant(sold: Store, terms: dict[str, Any], error: type[Exception]) -> None:
    """Beyond what is granted nothing is ordered."""
    sold.write(lambda tx: volume(tx, "first", 2.0))
    grants(sold, **terms)
    with pytest.raises(error):
        sold.write(lambda tx: volume(tx, "second", 3.0))


@pytest.mark.parametrize("state", [OfferState.DEGRADED, OfferState.WITHDRAWN])
def test_an_offer_that_is_not_open_takes_no_orders(sold: Store, state: OfferState) -> None:
    """An offer whose proof failed, or that is withdrawn, is refused with the reason."""
    sold.write(lambda tx: rows.update(tx, rows.by_id(tx, Offer, VOLUMES), {"state": state, "reason": "why"}, 2.0))
    with pytest.raises(WrongState, match="why"):
        sold.write(lambda tx: volume(tx, "data", 3.0))


@pytest.mark.parametrize("state", list(AssetState))
def test_what_may_still_be_in_a_cloud_counts_and_nothing_else(sold: Store, state: AssetState) -> None:
    """Of a quota of two volumes and 20 GiB, one of 8 GiB takes its part until nothing is left of it."""
    first = sold.write(lambda tx: volume(tx, "first", 2.0))
    whose = sold.read(lambda tx: holder(tx, PROJECT))
    sold.write(lambda tx: rows.update(tx, rows.by_id(tx, Asset, first.id), {"state": state}, 2.0))
    sold.write(lambda tx: quotas.change(tx, whose, {"volumes": 2, "volume_gib": 20}, 2.0))
    counts = state in LIVE
    for size_gib, fits in ((13, not counts), (12, True)):
        try:
            made = sold.write(lambda tx, size_gib=size_gib: volume(tx, "next", 3.0, size_gib=size_gib))  # type: ignore[misc]
        except QuotaExceeded:
            assert not fits
        else:
            assert fits
            sold.write(lambda tx, made=made: rows.delete(tx, rows.by_id(tx, Asset, made.id)))  # type: ignore[misc]


def kept(kind: AssetKind, name: str, **rest: Any) -> Asset:
    """Return an asset of any kind, as it is held by the project."""
    facts: dict[str, Any] = {"capability": "zone", "state": AssetState.READY, **rest}
    return Asset(
        id=AssetId(f"asset_{name}"), kind=kind.value, project_id=PROJECT, platform_id=PLATFORM, offer_id=VOLUMES,
        name=name, cloud_name=name, asked_at_s=1.0, **facts,
    )  # fmt: skip


@pytest.mark.parametrize("kind", list(AssetKind))
def test_each_kind_has_a_quota_of_its_own(sold: Store, kind: AssetKind) -> None:
    """One of it and no more where the quota is one; of all others there may be any number."""
    whose = sold.read(lambda tx: holder(tx, PROJECT))
    sold.write(lambda tx: quotas.change(tx, whose, {f"{kind}s": 1}, 2.0))
    sold.read(lambda tx: quota.refuse_beyond(tx, kept(kind, "first")))
    sold.write(lambda tx: rows.insert(tx, kept(kind, "first"), 2.0))
    with pytest.raises(QuotaExceeded, match=f"1 {kind}s at once: 1 are used"):
        sold.read(lambda tx: quota.refuse_beyond(tx, kept(kind, "second")))
    for other in set(AssetKind) - {kind}:
        sold.write(lambda tx, other=other: rows.insert(tx, kept(other, f"a-{other}"), 2.0))  # type: ignore[misc]
        sold.read(lambda tx, other=other: quota.refuse_beyond(tx, kept(other, "more")))  # type: ignore[misc]


def test_a_record_is_found_by_its_name_and_type_in_its_zone_while_it_may_be_there(sold: Store) -> None:
    """Not by another type, in another zone, or once it is gone."""
    zone, other = AssetId("asset_zone"), AssetId("asset_other")

    def found(tx: Tx, where: AssetId, host: str, kind: str) -> str | None:
        record = assets.record_called(tx, where, host, kind)
        return None if record is None else record.name

    def work(tx: Tx) -> None:
        for name in ("zone", "other"):
            rows.insert(tx, kept(AssetKind.ZONE, name), 2.0)
        for name, state in (("www", AssetState.READY), ("old", AssetState.GONE)):
            options = {"host": name, "type": "A", "value": "192.0.2.1"}
            rows.insert(tx, kept(AssetKind.RECORD, name, parent_id=zone, options=options, state=state), 2.0)

    sold.write(work)
    asked = [(zone, "www", "A"), (zone, "www", "AAAA"), (other, "www", "A"), (zone, "old", "A"), (zone, 'w"w', "A")]
    assert sold.read(lambda tx: [found(tx, *each) for each in asked]) == ["www", None, None, None, None]


def test_an_organisation_s_quota_holds_for_all_its_projects(sold: Store) -> None:
    """What a project may still have, its organisation may not have any more."""
    whose = sold.read(lambda tx: holder(tx, "owner-of-project_T"))
    sold.write(lambda tx: quotas.change(tx, whose, {"volume_gib": 8}, 2.0))
    sold.write(lambda tx: volume(tx, "first", 2.0))
    sold.write(lambda tx: volume(tx, "theirs", 2.0, project=OTHER_PROJECT))
    with pytest.raises(QuotaExceeded, match="owner-of-project_T"):
        sold.write(lambda tx: volume(tx, "second", 3.0, size_gib=1))


def test_a_volume_from_a_snapshot_is_at_least_as_large(sold: Store) -> None:
    """It is as large as the snapshot's volume unless it is to be larger, and it is where that is."""
    data = sold.write(lambda tx: ready(tx, "data", 2.0))
    early = sold.write(lambda tx: snapshot(tx, data, "early", 2.0))
    with pytest.raises(WrongState):
        sold.write(lambda tx: volume(tx, "copy", 3.0, size_gib=None, offer=None, parent=early))
    done = {"state": AssetState.READY, "cloud_id": "snap-1"}
    picture = sold.write(lambda tx: rows.update(tx, rows.by_id(tx, Asset, early.id), done, 3.0))
    copies = [
        sold.write(lambda tx, size=size: volume(tx, "copy", 4.0, size_gib=size, offer=None, parent=picture))  # type: ignore[misc]
        for size in (None, 9)
    ]
    assert [(each.size_gib, each.platform_id) for each in copies] == [(8, data.platform_id), (9, data.platform_id)]
    with pytest.raises(InvalidValue, match="no volume of this size"):
        sold.write(lambda tx: volume(tx, "copy", 4.0, size_gib=7, offer=None, parent=picture))
    with pytest.raises(InvalidValue, match="made from a snapshot"):
        sold.write(lambda tx: volume(tx, "copy", 4.0, offer=None, parent=data))
    with pytest.raises(InvalidValue, match="as large as its volume"):
        sold.write(
            lambda tx: place(
                tx, project_id=PROJECT, kind=AssetKind.SNAPSHOT, offer=None, name=None, size_gib=3, parent=data,
                now_s=4.0, policy=RETRY,
            )
        )  # fmt: skip


@pytest.mark.parametrize(
    ("machine", "error"),
    [
        pytest.param({"project": OTHER_PROJECT}, InvalidValue, id="of another project"),
        pytest.param({"state": MachineState.BUILDING, "cloud_id": None}, WrongState, id="not there yet"),
        pytest.param({"state": MachineState.DESTROYING}, WrongState, id="on its way out"),
        pytest.param({"custody": Custody.OBSERVED}, InvalidValue, id="observed only"),
    ],
)
def test_a_volume_is_attached_to_a_machine_of_its_project_that_is_there(
    sold: Store, machine: dict[str, Any], error: type[Exception]
) -> None:
    """Anything else is refused before the cloud is asked."""
    data = sold.write(lambda tx: ready(tx, "data", 2.0))
    host = sold.write(lambda tx: in_use(tx, 2.0, **machine))
    with pytest.raises(error):
        sold.write(lambda tx: using.attach(tx, rows.by_id(tx, Asset, data.id), host, 3.0))


def test_a_volume_has_one_machine_and_is_not_destroyed_under_it(sold: Store) -> None:
    """Attached once, it is neither attached elsewhere nor destroyed until it is detached."""
    data = sold.write(lambda tx: ready(tx, "data", 2.0))
    host = sold.write(lambda tx: in_use(tx, 2.0))
    other = sold.write(lambda tx: in_use(tx, 2.0, id=MachineId("machine_N"), cloud_id="vm-2"))
    for _ in range(2):
        sold.write(lambda tx: using.attach(tx, rows.by_id(tx, Asset, data.id), host, 3.0))
    for deed in (
        lambda tx, asset: using.attach(tx, asset, other, 3.0),
        lambda tx, asset: using.destroy(tx, asset, 3.0),
    ):
        with pytest.raises(WrongState, match=host.id):
            sold.write(lambda tx, deed=deed: deed(tx, rows.by_id(tx, Asset, data.id)))  # type: ignore[misc]
    sold.write(lambda tx: using.detached(tx, data.id, host.id, 4.0))
    ended = sold.write(lambda tx: using.destroy(tx, rows.by_id(tx, Asset, data.id), 5.0))
    assert ended.state is AssetState.DESTROYING


@pytest.mark.parametrize(
    ("custody", "verbs"),
    [
        pytest.param(Custody.OBSERVED, ["list", "adopt"], id="set back to observed"),
        pytest.param(Custody.MANAGED, ["list"], id="adopt is not granted any more"),
    ],
)
def test_nothing_is_attached_to_or_taken_from_a_machine_that_is_not_ours_to_steer(
    sold: Store, custody: Custody, verbs: list[str]
) -> None:
    """An imported machine is managed while its owner grants to adopt it, and only then are its volumes changed."""
    data = sold.write(lambda tx: ready(tx, "data", 2.0))
    sold.write(lambda tx: rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"verbs": ["list", "adopt"]}, 2.0))
    host = sold.write(lambda tx: in_use(tx, 2.0, custody=Custody.MANAGED))
    other = sold.write(lambda tx: in_use(tx, 2.0, id=MachineId("machine_N"), cloud_id="vm-2", custody=custody))
    sold.write(lambda tx: using.attach(tx, rows.by_id(tx, Asset, data.id), host, 3.0))
    sold.write(lambda tx: rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"verbs": verbs}, 4.0))
    sold.write(lambda tx: rows.update(tx, rows.by_id(tx, Machine, host.id), {"custody": custody.value}, 4.0))
    with pytest.raises(Denied):
        sold.write(lambda tx: using.may_detach(tx, rows.by_id(tx, Asset, data.id), rows.by_id(tx, Machine, host.id), 5))
    sold.write(lambda tx: using.detached(tx, data.id, host.id, 6.0))
    with pytest.raises((Denied, InvalidValue)):
        sold.write(lambda tx: using.attach(tx, rows.by_id(tx, Asset, data.id), other, 7.0))


def test_a_machine_that_another_controller_steers_keeps_its_volumes(sold: Store) -> None:
    """What claims it by a tag of its own is told, and nothing is attached or detached."""
    data = sold.write(lambda tx: ready(tx, "data", 2.0))
    sold.write(lambda tx: rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"verbs": ["list", "adopt"]}, 2.0))
    host = sold.write(lambda tx: in_use(tx, 2.0, custody=Custody.MANAGED))
    sold.write(lambda tx: using.attach(tx, rows.by_id(tx, Asset, data.id), host, 3.0))
    claimed = CloudMachine(
        cloud_id="vm-1", name="web", status=MachineStatus.RUNNING, tags={"aws:autoscaling:groupName": "web"}
    )
    sold.write(lambda tx: publish.store_inventory(tx, PLATFORM, "machine", [claimed], 4.0))
    for deed in (using.attach, using.may_detach):
        with pytest.raises(Denied, match="steers this machine"):
            sold.write(lambda tx, deed=deed: deed(tx, rows.by_id(tx, Asset, data.id), host, 5.0))  # type: ignore[misc]


@pytest.mark.parametrize(
    "terms",
    [
        pytest.param({"state": GrantState.REVOKED}, id="the grant has ended"),
        pytest.param({"state": GrantState.SUSPENDED}, id="the grant is suspended"),
        pytest.param({"verbs": ["create", "attach", "destroy"]}, id="without detach"),
    ],
)
def test_a_volume_that_may_not_be_detached_is_destroyed_with_its_attachment(sold: Store, terms: dict[str, Any]) -> None:
    """Nothing else is left to do with it; the destruction detaches it."""
    data = sold.write(lambda tx: ready(tx, "data", 2.0))
    host = sold.write(lambda tx: in_use(tx, 2.0))
    sold.write(lambda tx: using.attach(tx, rows.by_id(tx, Asset, data.id), host, 3.0))
    grants(sold, **terms)
    ended = sold.write(lambda tx: using.destroy(tx, rows.by_id(tx, Asset, data.id), 5.0))
    assert (ended.state, ended.machines) == (AssetState.DESTROYING, [])


def test_every_state_leads_to_an_end() -> None:
    """From every state one of the two ends can be reached, and from these nothing leads away."""
    ends = {AssetState.FAILED, AssetState.GONE}
    reach = {state: {state} for state in AssetState}
    for _ in AssetState:
        for state, events in ASSET_TRANSITIONS.items():
            for after in events.values():
                reach[state] |= reach[after]
    assert all(reach[state] & ends for state in AssetState)
    assert all(not ASSET_TRANSITIONS[state] for state in ends)
    assert {event for events in ASSET_TRANSITIONS.values() for event in events} == set(AssetEvent)
