"""Die at every step of making and ending assets, start again on the same files: one of each, none lost."""

import asyncio
from collections import deque
from pathlib import Path

import pytest

from catalog import consent
from catalog.assets import using
from catalog.model.asset import Asset, AssetState
from catalog.store import rows
from drivers.provisioner.steps import PROVISION_STEPS
from tests.support.asset_ordering import GRANT, seed_volumes, snapshot, volume
from tests.support.clocks import ManualClock
from tests.support.doubles import Crash, KillingCheckpoint, MemoryCloud
from tests.support.ordering import OWNER, Life, life

LIES = ("error", "503", "late", "full")


async def assets(alive: Life) -> dict[str, Asset]:
    """Return every asset by its name."""
    return {each.name: each for each in await alive.database.read(lambda tx: rows.where(tx, Asset))}


async def client(alive: Life) -> None:
    """Order two volumes and a snapshot, and destroy one volume, unless that was done before, as a client repeats it."""
    now_s = alive.clock.now_s()
    for name in ("kept", "unwanted"):
        if name not in await assets(alive):
            await alive.database.write(lambda tx, name=name: volume(tx, name, now_s))  # type: ignore[misc]
    await alive.settled()
    known = await assets(alive)
    if known["unwanted"].state is AssetState.READY:
        await alive.database.write(lambda tx: using.destroy(tx, known["unwanted"], alive.clock.now_s()))
    if "picture" not in known:
        await alive.database.write(lambda tx: snapshot(tx, known["kept"], "picture", alive.clock.now_s()))


async def story(folder: Path, clock: ManualClock, cloud: MemoryCloud, checkpoint: KillingCheckpoint) -> bool:
    """Live until everything has ended; False when the checkpoint killed us on the way."""
    ended = False
    try:
        async with life(folder, clock, cloud, checkpoint=checkpoint) as alive:
            await alive.database.write(lambda tx: seed_volumes(tx, clock.now_s()))
            await client(alive)
            await alive.settled()
            await check(alive, cloud)
            ended = True
    except* Crash:
        pass
    return ended


async def check(alive: Life, cloud: MemoryCloud) -> None:
    """Every order ended once, and the cloud holds exactly what somebody has."""
    known = await assets(alive)
    assert {name: each.state for name, each in known.items()} == {
        "kept": AssetState.READY,
        "unwanted": AssetState.GONE,
        "picture": AssetState.READY,
    }
    await alive.let_pass(1_000.0)  # what a late creation left is swept up meanwhile
    assert sorted(each.cloud_id for each in cloud.assets.present) == sorted(
        str(known[name].cloud_id) for name in ("kept", "picture")
    )
    assert {each.tags["crossway-owner"] for each in cloud.assets.present} == {OWNER}
    assert {each.tags["crossway-asset"] for each in cloud.assets.present} == {known["kept"].id, known["picture"].id}


def lying_cloud(clock: ManualClock) -> MemoryCloud:
    """A cloud that fails the first creations: an unusable one, a 503 after having created, a late one, no room."""
    cloud = MemoryCloud(clock)
    cloud.assets.lies = deque(LIES)
    return cloud


@pytest.mark.parametrize("step", PROVISION_STEPS)
def test_dying_at_any_step_leaves_one_of_each(step: str, tmp_path: Path) -> None:
    """Whatever step the process dies at, its next life ends every order once, with nothing left over."""
    clock = ManualClock()
    cloud = lying_cloud(clock)
    checkpoint = KillingCheckpoint(step)

    ended = asyncio.run(story(tmp_path, clock, cloud, checkpoint))

    assert checkpoint.killed, f"the story never reaches {step}"
    assert not ended
    assert asyncio.run(story(tmp_path, clock, cloud, KillingCheckpoint()))


@pytest.mark.parametrize("lie", LIES)
def test_a_lost_or_failed_creation_leaves_one(lie: str, tmp_path: Path) -> None:
    """After each way in which a creation goes wrong there is one volume, however many were made on the way."""
    clock = ManualClock()
    cloud = MemoryCloud(clock)
    cloud.assets.lies = deque([lie])

    async def run() -> None:
        async with life(tmp_path, clock, cloud) as alive:
            await alive.database.write(lambda tx: seed_volumes(tx, clock.now_s()))
            await alive.database.write(lambda tx: volume(tx, "kept", clock.now_s()))
            await alive.settled()
            known = await assets(alive)
            assert known["kept"].state is AssetState.READY
            assert known["kept"].facts == {"size_gib": "8"}
            await alive.let_pass(1_000.0)
            assert [each.cloud_id for each in cloud.assets.present] == [known["kept"].cloud_id]

    asyncio.run(run())


def test_what_is_refused_fails_with_the_reason(tmp_path: Path) -> None:
    """A cloud's clear no ends the order at once, with its reason, and nothing is left."""
    clock = ManualClock()
    cloud = MemoryCloud(clock)
    cloud.assets.lies = deque(["refused"])

    async def run() -> None:
        async with life(tmp_path, clock, cloud) as alive:
            await alive.database.write(lambda tx: seed_volumes(tx, clock.now_s()))
            await alive.database.write(lambda tx: volume(tx, "kept", clock.now_s()))
            await alive.settled()
            failed = (await assets(alive))["kept"]
            assert (failed.state, failed.code) == (AssetState.FAILED, "cloud-refused")
            assert failed.reason == "no volume could be created in 1 attempt: the cloud does not do that"
            assert cloud.assets.present == ()

    asyncio.run(run())


def test_what_comes_late_of_an_ended_grant_creates_nothing(tmp_path: Path) -> None:
    """A creation asked for under a grant that ended before it was begun is never sent."""
    clock = ManualClock()
    cloud = MemoryCloud(clock)

    async def run() -> None:
        async with life(tmp_path, clock, cloud) as alive:
            await alive.database.write(lambda tx: seed_volumes(tx, clock.now_s()))
            await alive.database.write(lambda tx: volume(tx, "kept", clock.now_s()))
            await alive.database.write(lambda tx: consent.revoke(tx, GRANT, clock.now_s()))
            await alive.settled()
            failed = (await assets(alive))["kept"]
            assert (failed.state, failed.code) == (AssetState.FAILED, "grant-ended")
            assert cloud.assets.ledger == []

    asyncio.run(run())


def test_the_end_of_another_grant_ends_nothing(tmp_path: Path) -> None:
    """Machines and volumes have epochs of their own: the machine grant's end leaves a volume in the making alone."""
    clock = ManualClock()
    cloud = MemoryCloud(clock)

    async def run() -> None:
        async with life(tmp_path, clock, cloud) as alive:
            await alive.database.write(lambda tx: seed_volumes(tx, clock.now_s()))
            await alive.database.write(lambda tx: volume(tx, "kept", clock.now_s()))
            await alive.database.write(lambda tx: consent.revoke(tx, "grant_M", clock.now_s()))
            await alive.settled()
            assert (await assets(alive))["kept"].state is AssetState.READY

    asyncio.run(run())
