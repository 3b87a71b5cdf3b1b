"""From accepted grants to offers, and the inventory behind them."""

import pytest

from catalog import consent, publish
from catalog.clouds import CloudItem, CloudSize, Proof
from catalog.errors import CloudMisbehaved
from catalog.messages.handshake import Capability
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import GrantId, PlatformId, new_id
from catalog.model.offering import CatalogEntry, InventoryItem, Offer, OfferState
from catalog.store import rows
from tests.support.stores import Store, add_connection, add_platform

SMALL = CloudSize(cloud_id="s1", name="small", vcpu=1, memory_mib=2048, disk_gib=20)
LARGE = CloudSize(cloud_id="s2", name="large", vcpu=8, memory_mib=16384, disk_gib=None)


def accepted(store: Store, platform_id: PlatformId, capability: str = "machine") -> Grant:
    """Insert an accepted grant."""
    grant = Grant(
        id=GrantId(new_id("grant", store.now_s)),
        platform_id=platform_id,
        connection_id=add_connection(store, platform_id),
        request_id="r",
        capability=capability,
        verbs=["create", "list"],
        quota=5,
        state=GrantState.ACCEPTED,
    )
    return store.write(lambda tx: rows.insert(tx, grant, store.now_s))


def published(store: Store, grant: Grant) -> Offer:
    """Publish the grant."""
    return store.write(lambda tx: publish.publish(tx, grant, store.now_s))


def items(store: Store, platform_id: PlatformId, kind: str = "size") -> dict[str, tuple[str, int]]:
    """Return cloud id -> name and version of the inventory."""
    found = store.read(lambda tx: rows.where(tx, InventoryItem, platform_id=platform_id, kind=kind))
    return {item.cloud_id: (item.name, item.version) for item in found}


def test_every_capability_can_be_published(store: Store) -> None:
    """Each capability makes an entry of its own with a title for people."""
    platform = add_platform(store)
    for capability in Capability:
        published(store, accepted(store, platform.id, capability))
    entries = store.read(lambda tx: rows.where(tx, CatalogEntry))
    assert {entry.capability for entry in entries} == set(Capability)
    assert all(entry.title[0].isupper() for entry in entries)


def test_the_entry_is_created_once_and_found_by_the_second_platform(store: Store) -> None:
    """Two platforms with one capability share the entry and have an offer each; publishing again changes nothing."""
    one = accepted(store, add_platform(store, "mumbai").id)
    two = accepted(store, add_platform(store, "delhi").id)
    first, second, again = published(store, one), published(store, two), published(store, one)
    assert first.entry_id == second.entry_id
    assert first.id != second.id
    assert (again.id, again.version) == (first.id, 1)
    assert first.facts == {"verbs": ["create", "list"], "quota": 5, "expires_at_s": None}
    assert len(store.read(lambda tx: rows.where(tx, CatalogEntry))) == 1


def test_a_failed_proof_degrades_and_a_good_one_restores(store: Store) -> None:
    """While the newest proof failed the offer is DEGRADED with the reason; after a good one it is OFFERED again."""
    grant = accepted(store, add_platform(store).id)
    for allowed, state in ((False, OfferState.DEGRADED), (True, OfferState.OFFERED)):
        proof = Proof(capability="machine", allowed=allowed, request="DryRun RunInstances")
        store.write(lambda tx, proof=proof: consent.add_proof(tx, grant.id, proof, store.now_s))  # type: ignore[misc]
        offer = published(store, grant)
        assert offer.state is state
        assert ("DryRun" in offer.reason) is not allowed


def test_a_verb_that_the_account_lacks_is_not_offered_and_the_others_are(store: Store) -> None:
    """The offer stays open with the verbs that are left, is not taken for outdated, and has all again when they are."""
    grant = accepted(store, add_platform(store).id)
    for lacking, verbs in (((), ["create", "list"]), (("list",), ["create"]), ((), ["create", "list"])):
        proof = Proof(capability="machine", allowed=True, request="DryRun RunInstances", lacking=lacking)
        store.write(lambda tx, proof=proof: consent.add_proof(tx, grant.id, proof, store.now_s))  # type: ignore[misc]
        offer = published(store, grant)
        assert (offer.state, offer.facts["verbs"]) == (OfferState.OFFERED, verbs)
        assert store.read(lambda tx: publish.outdated(tx, store.now_s, age_s=3600.0)) == []


def test_degrading_and_withdrawing_are_repeatable_and_final_in_order(store: Store) -> None:
    """Repeating neither changes a thing; what is withdrawn is not degraded back to life; without an offer: None."""
    grant = accepted(store, add_platform(store).id)
    assert store.write(lambda tx: publish.withdraw(tx, grant.id, "x", 1.0)) is None
    assert store.write(lambda tx: publish.degrade(tx, grant.id, "x", 1.0)) is None
    published(store, grant)
    for change, state, version in (
        (publish.degrade, OfferState.DEGRADED, 2),
        (publish.degrade, OfferState.DEGRADED, 2),
        (publish.withdraw, OfferState.WITHDRAWN, 3),
        (publish.withdraw, OfferState.WITHDRAWN, 3),
        (publish.degrade, OfferState.WITHDRAWN, 3),
    ):
        offer = store.write(lambda tx, change=change: change(tx, grant.id, "why", 2.0))  # type: ignore[misc]
        assert offer is not None
        assert (offer.state, offer.version) == (state, version)


def test_inventory_is_replaced_whole_and_only_changes_are_written(store: Store) -> None:
    """New items come, changed ones change, missing ones go, equal ones keep their version; other kinds stay."""
    platform = add_platform(store).id

    def put(kind: str, *told: CloudSize | CloudItem) -> int:
        return store.write(lambda tx: publish.store_inventory(tx, platform, kind, told, store.now_s))

    assert put("size", SMALL, LARGE) == 2
    assert put("image", CloudItem(cloud_id="i1", name="debian", facts={"arch": "x86_64"})) == 1
    assert put("size", SMALL, LARGE) == 0
    renamed = CloudSize(cloud_id="s2", name="huge", vcpu=8, memory_mib=16384, disk_gib=None)
    assert put("size", renamed, CloudSize(cloud_id="s3", name="tiny", vcpu=None, memory_mib=512, disk_gib=5)) == 3
    assert items(store, platform) == {"s2": ("huge", 2), "s3": ("tiny", 1)}
    assert items(store, platform, "image") == {"i1": ("debian", 1)}
    sizes = store.read(lambda tx: rows.where(tx, InventoryItem, cloud_id="s3"))
    assert sizes[0].facts == {"vcpu": None, "memory_mib": 512, "disk_gib": 5}


def test_inventory_carries_what_can_be_compared_across_clouds(store: Store) -> None:
    """2,048 MiB are 2 GiB, a Debian image says so; a fact that was not yet read is filled by the next listing."""
    platform = add_platform(store).id
    image = CloudItem(cloud_id="i1", name="debian-12-amd64")

    def put() -> int:
        sizes = store.write(lambda tx: publish.store_inventory(tx, platform, "size", (SMALL,), store.now_s))
        return sizes + store.write(lambda tx: publish.store_inventory(tx, platform, "image", (image,), store.now_s))

    assert put() == 2
    size = store.read(lambda tx: rows.where(tx, InventoryItem, kind="size"))[0]
    assert (size.vcpu, size.memory_gib, size.disk_gib, size.gpu_count, size.os_family) == (1, 2, 20, None, None)
    store.write(lambda tx: rows.update(tx, rows.where(tx, InventoryItem, kind="image")[0], {"os_family": None}, 1.0))
    assert put() == 1
    held = store.read(lambda tx: rows.where(tx, InventoryItem, kind="image"))[0]
    assert (held.os_family, held.os_version, held.architecture, held.vcpu) == ("debian", "12", "x86_64", None)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        pytest.param("size", (), id="all sizes gone"),
        pytest.param("size", (SMALL, SMALL), id="one id twice"),
        pytest.param("size", (SMALL,) * 20_001, id="too many"),
    ],
)
def test_an_implausible_answer_leaves_what_is_known(store: Store, kind: str, told: tuple[CloudSize, ...]) -> None:
    """An answer that cannot be true raises CloudMisbehaved, and the inventory stays as it was."""
    platform = add_platform(store).id
    store.write(lambda tx: publish.store_inventory(tx, platform, kind, (SMALL, LARGE), store.now_s))
    with pytest.raises(CloudMisbehaved):
        store.write(lambda tx: publish.store_inventory(tx, platform, kind, told, store.now_s))
    assert set(items(store, platform)) == {"s1", "s2"}


def test_volumes_may_all_be_gone(store: Store) -> None:
    """Unlike sizes and images, volumes and key pairs can end; and nothing where nothing was is no surprise."""
    platform = add_platform(store).id
    disk = CloudItem(cloud_id="v1", name="disk")
    for kind, told, changed in (("volume", (disk,), 1), ("volume", (), 1), ("size", (), 0)):
        assert store.write(lambda tx: publish.store_inventory(tx, platform, kind, told, 1.0)) == changed  # noqa: B023 run at once


def test_withdrawing_forgets_what_the_grant_let_us_read(store: Store) -> None:
    """After the grant for sizes ends its sizes are gone, the images of another grant stay."""
    platform = add_platform(store).id
    sizes = accepted(store, platform, "size")
    published(store, sizes)
    store.write(lambda tx: publish.store_inventory(tx, platform, "size", (SMALL,), 1.0))
    store.write(lambda tx: publish.store_inventory(tx, platform, "image", (CloudItem(cloud_id="i", name="i"),), 1.0))
    store.write(lambda tx: consent.revoke(tx, sizes.id, 2.0))
    assert items(store, platform) == {}
    assert set(items(store, platform, "image")) == {"i"}


@pytest.mark.parametrize("kind", ["size", "image"])
def test_a_cloud_that_lists_no_sizes_or_images_at_first_is_not_believed(store: Store, kind: str) -> None:
    """The offer is shown as degraded with the reason; as soon as something is listed it is on offer."""
    grant = accepted(store, add_platform(store).id, kind)
    published(store, grant)
    assert store.write(lambda tx: publish.store_inventory(tx, grant.platform_id, kind, (), store.now_s)) == 0
    (offer,) = store.read(lambda tx: rows.where(tx, Offer))
    assert (offer.state, offer.reason) == (OfferState.DEGRADED, "the cloud lists none")
    published(store, grant)
    item = CloudItem(cloud_id="i1", name="one")
    assert store.write(lambda tx: publish.store_inventory(tx, grant.platform_id, kind, (item,), store.now_s)) == 1
    assert store.read(lambda tx: rows.where(tx, Offer))[0].state is OfferState.OFFERED


@pytest.mark.parametrize("kind", ["volume", "key-pair", "location"])
def test_a_cloud_may_have_none_of_the_rest(store: Store, kind: str) -> None:
    """No volumes, key pairs or locations from the beginning are nothing odd."""
    grant = accepted(store, add_platform(store).id, kind)
    published(store, grant)
    store.write(lambda tx: publish.store_inventory(tx, grant.platform_id, kind, (), store.now_s))
    assert store.read(lambda tx: rows.where(tx, Offer))[0].state is OfferState.OFFERED
