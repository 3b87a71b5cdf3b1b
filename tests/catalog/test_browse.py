"""What a tenant sees."""

import dataclasses
import json

import pytest

from catalog import browse, consent, publish
from catalog.clouds import CloudItem, CloudSize
from catalog.errors import InvalidValue, NotFound
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import GrantId, new_id
from catalog.model.offering import OfferState
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.stores import CANARY, Store, add_connection, add_platform


@pytest.fixture
def shop(store: Store) -> Store:
    """Return a store where mumbai offers machines and sizes, and delhi machines; mumbai has 2 sizes and 1 image."""
    for name, capabilities in (("mumbai", ("machine", "size")), ("delhi", ("machine",))):
        platform = add_platform(store, name, region=f"{name}-1")
        connection = add_connection(store, platform.id)
        for capability in capabilities:
            grant = Grant(
                id=GrantId(new_id("grant", store.now_s)),
                platform_id=platform.id,
                connection_id=connection,
                request_id="r",
                capability=capability,
                verbs=["create"],
                state=GrantState.ACCEPTED,
            )

            def add(tx: Tx, grant: Grant = grant) -> None:
                publish.publish(tx, rows.insert(tx, grant, 1.0), store.now_s)

            store.write(add)
            store.clock.advance(1)
        if name == "mumbai":
            sizes = [CloudSize(cloud_id=f"s{n}", name=f"b{3 - n}", vcpu=n, memory_mib=n, disk_gib=n) for n in (1, 2)]
            store.write(lambda tx, held=platform, sizes=sizes: publish.store_inventory(tx, held.id, "size", sizes, 1.0))
            image = [CloudItem(cloud_id="i1", name="debian", facts={"arch": "x86_64"})]
            store.write(
                lambda tx, held=platform, image=image: publish.store_inventory(tx, held.id, "image", image, 1.0)
            )
    return store


def test_entries_count_the_platforms_that_offer_them(shop: Store) -> None:
    """Machines are offered by two platforms, sizes by one; after a revocation by one and one."""
    assert [(e.capability, e.platforms) for e in shop.read(browse.entries)] == [("machine", 2), ("size", 1)]
    grant = shop.read(lambda tx: rows.where(tx, Grant, capability="machine"))[0]
    shop.write(lambda tx: consent.revoke(tx, grant.id, 2.0))
    assert [(e.capability, e.platforms) for e in shop.read(browse.entries)] == [("machine", 1), ("size", 1)]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ({}, [("machine", "mumbai"), ("size", "mumbai"), ("machine", "delhi")]),
        ({"capability": "machine"}, [("machine", "mumbai"), ("machine", "delhi")]),
        ({"platform": "mumbai"}, [("machine", "mumbai"), ("size", "mumbai")]),
        ({"platform": "delhi", "capability": "size"}, []),
        ({"capability": "root"}, []),
    ],
)
def test_offers_can_be_narrowed(shop: Store, only: dict[str, str], expected: list[tuple[str, str]]) -> None:
    """By capability and by platform; a capability that nobody knows has no offers."""
    found = shop.read(lambda tx: browse.offers(tx, **only))  # type: ignore[arg-type]
    assert [(view.capability, view.platform) for view in found.items] == expected


def test_offers_come_by_pages(shop: Store) -> None:
    """Pages of two hold two and one; a bad limit is refused."""
    first = shop.read(lambda tx: browse.offers(tx, limit=2))
    second = shop.read(lambda tx: browse.offers(tx, limit=2, token=first.next_token))
    assert (len(first.items), len(second.items), second.next_token) == (2, 1, None)
    with pytest.raises(InvalidValue):
        shop.read(lambda tx: browse.offers(tx, limit=0))


def test_a_platform_can_be_given_by_id(shop: Store) -> None:
    """The id of a platform narrows as its name does."""
    view = shop.read(lambda tx: browse.offers(tx, platform="delhi")).items[0]
    assert shop.read(lambda tx: browse.offers(tx, platform=view.platform_id)).items == (view,)
    with pytest.raises(NotFound, match="nosuch"):
        shop.read(lambda tx: browse.offers(tx, platform="nosuch"))


def test_one_offer_shows_sizes_and_images(shop: Store) -> None:
    """The list carries counts only; the single offer has the sizes and images by name, with their facts."""
    listed = shop.read(browse.offers).items[0]
    assert (listed.size_count, listed.image_count, listed.sizes, listed.region) == (2, 1, (), "mumbai-1")
    offer = shop.read(lambda tx: browse.offer(tx, listed.id))
    assert [(size.name, size.facts["vcpu"]) for size in offer.sizes] == [("b1", 2), ("b2", 1)]
    assert (offer.sizes[0].normalised, offer.images[0].normalised) == (
        {"vcpu": 2.0, "memory_gib": 2 / 1024, "disk_gib": 2.0},
        {"os_family": "debian"},
    )
    assert [(image.cloud_id, image.facts) for image in offer.images] == [("i1", {"arch": "x86_64"})]
    with pytest.raises(NotFound):
        shop.read(lambda tx: browse.offer(tx, "offer_x"))


def test_a_withdrawn_offer_leaves_the_list_but_can_be_looked_up(shop: Store) -> None:
    """The list shows what is offered or degraded; an order's offer can still be looked up with the reason."""
    listed = shop.read(browse.offers).items[0]
    grant = shop.read(lambda tx: rows.where(tx, Grant, capability="machine"))[0]
    shop.write(lambda tx: consent.revoke(tx, grant.id, 2.0, "over"))
    assert listed.id not in {view.id for view in shop.read(browse.offers).items}
    gone = shop.read(lambda tx: browse.offer(tx, listed.id))
    assert (gone.state, gone.reason) == (OfferState.WITHDRAWN, "over")


def test_a_tenant_sees_no_address_account_or_credential(shop: Store) -> None:
    """Nothing of endpoints, dial addresses, the account, the credential or the evidence is in any view."""
    views = [*shop.read(browse.entries), *shop.read(browse.offers).items]
    views += [shop.read(lambda tx, held=view: browse.offer(tx, held.id)) for view in shop.read(browse.offers).items]
    shown = json.dumps([dataclasses.asdict(view) for view in views])
    for hidden in ("example.org", "10.0.0", "primary", CANARY, "evidence", "public_key"):
        assert hidden not in shown
