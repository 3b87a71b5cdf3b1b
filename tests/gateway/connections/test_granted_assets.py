"""Of assets nothing leaves the gateway that is not granted; after the end only what we made is read and destroyed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from catalog import consent
from catalog.cloud_assets import AssetKind, AssetSpec, CloudAssets
from catalog.errors import CloudRefused
from catalog.messages.handshake import CAPABILITY_VERBS, Capability
from catalog.model.asset import Asset, AssetState
from catalog.model.audit import AuditRecord
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import AssetId, GrantId, OrganisationId, ProjectId
from catalog.model.offering import Offer
from catalog.model.tenancy import Organisation, Project
from catalog.store import rows
from tests.support.connecting import Connecting

VOLUME, SNAPSHOT = AssetKind.VOLUME, AssetKind.SNAPSHOT
OURS = {"crossway-asset": "asset_A", "crossway-owner": "us"}
THEIRS = {"team": "theirs"}


def spec(kind: AssetKind = VOLUME, **changes: Any) -> AssetSpec:
    """Return what to create."""
    return AssetSpec(**{"kind": kind, "name": "crossway-a", "tags": OURS, "size_gib": 8, "epoch": 0, **changes})


# Each call, and the verbs of which any one allows it.
CALLS: dict[str, tuple[Callable[[CloudAssets], Awaitable[object]], set[str]]] = {
    "create a volume": (lambda assets: assets.create(spec()), {"create"}),
    "create a snapshot": (lambda assets: assets.create(spec(SNAPSHOT)), {"snapshot"}),
    "prove volumes": (lambda assets: assets.prove(VOLUME), {"create"}),
    "find": (lambda assets: assets.find(VOLUME, OURS), {"list", "create", "destroy"}),
    "find snapshots": (lambda assets: assets.find(SNAPSHOT, OURS), {"list", "snapshot", "destroy"}),
    "read": (lambda assets: assets.read(VOLUME, "volume-0001"), {"list", "create", "destroy"}),
    "attach": (lambda assets: assets.attach(VOLUME, "volume-0001", "vm-1"), {"attach"}),
    "detach": (lambda assets: assets.detach(VOLUME, "volume-0001", "vm-1"), {"detach"}),
    "destroy": (lambda assets: assets.destroy(VOLUME, "volume-0001"), {"destroy"}),
}


async def granted(world: Connecting, verbs: tuple[str, ...] = CAPABILITY_VERBS[Capability.VOLUME]) -> CloudAssets:
    """Connect, let ``verbs`` be granted, and one of ours and one of others exist; return what the gateway would use."""
    await asyncio.to_thread(world.accept_everything)
    live = await world.connect()
    now_s = world.store.now_s

    def seed(tx: Any) -> None:
        grant = Grant(
            id=GrantId("grant_V"), platform_id=world.platform, connection_id=live.connection, request_id="r",
            capability="volume", verbs=list(verbs), state=GrantState.ACCEPTED,
        )  # fmt: skip
        rows.insert(tx, grant, now_s)
        rows.insert(tx, Organisation(id=OrganisationId("organisation_A"), name="acme"), now_s)
        owner = Project(id=ProjectId("project_A"), organisation_id=OrganisationId("organisation_A"), name="shop")
        rows.insert(tx, owner, now_s)
        offer = rows.where(tx, Offer)[0]
        ours = Asset(
            id=AssetId("asset_A"), kind="volume", capability="volume", project_id=owner.id,
            platform_id=world.platform, offer_id=offer.id, state=AssetState.READY, name="a", cloud_name="a",
            cloud_id="volume-0001",
        )  # fmt: skip
        rows.insert(tx, ours, now_s)

    await world.store.database.write(seed)
    world.cloud.assets.add(spec())
    world.cloud.assets.add(spec(tags=THEIRS))
    return (await world.clouds.driver(world.platform)).assets


async def revoke(world: Connecting) -> None:
    """Take the grant back."""
    await world.store.database.write(lambda tx: consent.revoke(tx, "grant_V", world.store.now_s))


@pytest.mark.parametrize("name", CALLS)
def test_each_call_needs_one_of_its_verbs(world: Connecting, name: str) -> None:
    """Granted each verb alone, exactly those calls go through that it is for; the cloud hears of no other."""
    call, verbs = CALLS[name]

    async def run() -> None:
        async with world.target():
            assets = await granted(world)
            before = (len(world.cloud.assets.ledger), world.cloud.assets.destroyed)
            for verb in CAPABILITY_VERBS[Capability.VOLUME]:
                await world.store.database.write(
                    lambda tx, verb=verb: rows.update(  # type: ignore[misc]
                        tx, rows.by_id(tx, Grant, "grant_V"), {"verbs": [verb]}, world.store.now_s
                    )
                )
                if verb in verbs:
                    await call(assets)
                    continue
                known = (len(world.cloud.assets.ledger), list(world.cloud.assets.destroyed))
                with pytest.raises(CloudRefused):
                    await call(assets)
                assert (len(world.cloud.assets.ledger), list(world.cloud.assets.destroyed)) == known
            assert before[0] <= len(world.cloud.assets.ledger)
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_a_creation_of_an_earlier_epoch_is_refused(world: Connecting) -> None:
    """What was asked for before the grant ended, and was granted again since, creates nothing."""

    async def run() -> None:
        async with world.target():
            assets = await granted(world)
            with pytest.raises(CloudRefused, match="has ended"):
                await assets.create(spec(epoch=1))
            assert len(world.cloud.assets.ledger) == 2
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_after_the_end_ours_alone_is_found_read_and_destroyed_and_that_is_audited(world: Connecting) -> None:
    """Cleaning up goes through; whatever else, or of others, is refused, and the cloud keeps it."""

    async def run() -> None:
        async with world.target():
            assets = await granted(world)
            await revoke(world)
            for name in ("create a volume", "create a snapshot", "prove volumes", "attach", "detach"):
                with pytest.raises(CloudRefused):
                    await CALLS[name][0](assets)
            with pytest.raises(CloudRefused):
                await assets.find(VOLUME, THEIRS)
            for call in (assets.read, assets.destroy):
                with pytest.raises(CloudRefused):
                    await call(VOLUME, "volume-0002")
            (found,) = await assets.find(VOLUME, OURS)
            assert await assets.read(VOLUME, found.cloud_id) is not None
            await assets.destroy(VOLUME, found.cloud_id)
            await assets.destroy(VOLUME, found.cloud_id)  # gone already: may be repeated
            assert world.cloud.assets.destroyed == ["volume-0001"]
            noted = await world.store.database.read(lambda tx: rows.where(tx, AuditRecord))
            assert [(each.action.removeprefix("wind_down_"), each.data["asset"]) for each in noted] == [
                ("read", "volume-0002"),
                ("find", "asset_A"),
                ("read", "volume-0001"),
                ("destroy", "volume-0001"),
            ]
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())


def test_what_was_never_reported_and_carries_no_tags_is_found_and_destroyed_after_the_end(world: Connecting) -> None:
    """A bucket whose grant ended while it was made: looking for it notes its id, by which it is known as ours."""
    container, mine = AssetKind.CONTAINER, {"crossway-asset": "asset_C", "crossway-owner": "us"}

    async def run() -> None:
        async with world.target():
            assets = await granted(world)

            def seed(tx: Any) -> None:
                held, now_s = rows.by_id(tx, Grant, "grant_V"), world.store.now_s
                grant = Grant(
                    id=GrantId("grant_C"), platform_id=world.platform, connection_id=held.connection_id,
                    request_id="r", capability="container", verbs=["create", "destroy"], state=GrantState.ACCEPTED,
                )  # fmt: skip
                rows.insert(tx, grant, now_s)
                bucket = Asset(
                    id=AssetId("asset_C"), kind="container", capability="container",
                    project_id=ProjectId("project_A"), platform_id=world.platform, offer_id=rows.where(tx, Offer)[0].id,
                    state=AssetState.CLEARING, name="c", cloud_name="c",
                )  # fmt: skip
                rows.insert(tx, bucket, now_s)

            await world.store.database.write(seed)
            ours = world.cloud.assets.add(spec(container, tags=mine, size_gib=None))
            theirs = world.cloud.assets.add(spec(container, tags=THEIRS, size_gib=None))
            await world.store.database.write(lambda tx: consent.revoke(tx, "grant_C", world.store.now_s))
            (found,) = await assets.find(container, mine)
            await assets.destroy(container, found.cloud_id)
            with pytest.raises(CloudRefused):
                await assets.destroy(container, theirs.cloud_id)
            assert world.cloud.assets.destroyed == [ours.cloud_id]
            await world.establisher.live_closed(world.live.to_platform(world.platform))

    asyncio.run(run())
