"""What its cloud does not destroy for now: whoever waits is told why, once, and it ends when nothing is in the way."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from catalog.assets import using
from catalog.assets.asking import dispose
from catalog.errors import CatalogError, CloudRefused, CloudUnavailable
from catalog.machines import dispose as dispose_machine
from catalog.model.asset import Asset, AssetEvent, AssetState
from catalog.model.event import Event
from catalog.model.machine import Machine, MachineEvent, MachineState
from catalog.store import rows
from drivers.provisioner.journal import ProvisionPolicy
from tests.support.asset_ordering import seed_volumes, volume
from tests.support.clocks import ManualClock
from tests.support.doubles import MemoryCloud
from tests.support.ordering import Life, life

NOT_EMPTY = CloudRefused("it is not empty", fix="delete what is in it")
DETACHING = CloudUnavailable("it is still being detached")
WAITING_S = 1_800.0


async def held(alive: Life) -> Asset:
    """Return the one asset."""
    (asset,) = await alive.database.read(lambda tx: rows.where(tx, Asset))
    return asset


async def a_volume(alive: Life) -> Asset:
    """Return a volume that is ready."""
    await alive.database.write(lambda tx: seed_volumes(tx, alive.clock.now_s()))
    await alive.database.write(lambda tx: volume(tx, "data", alive.clock.now_s()))
    await alive.settled()
    return await held(alive)


async def told(alive: Life, subject: str) -> Sequence[Any]:
    """Return the reasons of its events that tell of an obstacle, in order."""
    events = await alive.database.read(lambda tx: rows.where(tx, Event, subject_id=subject))
    reasons = [each.data.get("reason", "") for each in sorted(events, key=lambda each: each.seq)]
    return [each for each in reasons if "not destroyed yet" in each]


@pytest.mark.parametrize(
    ("obstacle", "words"),
    [
        pytest.param(NOT_EMPTY, "it is not empty (delete what is in it)", id="a clear no"),
        pytest.param(DETACHING, "it is still being detached", id="not yet"),
    ],
)
def test_what_is_kept_says_why_once_and_ends_when_it_may(obstacle: CatalogError, words: str, tmp_path: Path) -> None:
    """The row and one event say what is in the way, the cloud is asked ever more seldom, and in the end it is gone."""
    clock = ManualClock()
    cloud = MemoryCloud(clock)

    async def run() -> None:
        async with life(tmp_path, clock, cloud) as alive:
            asset = await a_volume(alive)
            cloud.assets.kept = obstacle
            await alive.database.write(lambda tx: using.destroy(tx, asset, clock.now_s()))
            await alive.let_pass(WAITING_S)
            now = await held(alive)
            reason = f"it is not destroyed yet: {words}"
            assert (now.state, now.code, now.reason) == (AssetState.DESTROYING, obstacle.code, reason)
            assert await told(alive, asset.id) == [reason]
            pauses = [b - a for a, b in zip(cloud.assets.kept_at_s, cloud.assets.kept_at_s[1:], strict=False)]
            assert len(pauses) > 1  # it is tried again
            assert pauses[-1] >= ProvisionPolicy().longest_pause_s  # and not at every look

            cloud.assets.kept = None
            await alive.settled()
            ended = await held(alive)
            assert (ended.state, ended.code, ended.reason) == (AssetState.GONE, "", "")
            assert cloud.assets.present == ()

    asyncio.run(run())


def test_another_obstacle_is_told_and_no_silence_hides_a_clear_no(tmp_path: Path) -> None:
    """A new clear no takes the place of the old one; that the cloud is away meanwhile tells nobody anything new."""
    clock = ManualClock()
    cloud = MemoryCloud(clock)

    async def run() -> None:
        async with life(tmp_path, clock, cloud) as alive:
            asset = await a_volume(alive)
            await alive.database.write(
                lambda tx: dispose(tx, asset, AssetEvent.DESTROY, clock.now_s(), reason="its grant has ended")
            )
            for cloud.assets.kept in (DETACHING, NOT_EMPTY, CloudUnavailable("503"), CloudRefused("it is locked")):
                await alive.let_pass(WAITING_S)
            before = "its grant has ended; it is not destroyed yet: "
            assert await told(alive, asset.id) == [
                f"{before}it is still being detached",
                f"{before}it is not empty (delete what is in it)",
                f"{before}it is locked",
            ]
            cloud.assets.kept = None
            await alive.settled()
            assert (await held(alive)).reason == "its grant has ended"

    asyncio.run(run())


def test_a_failed_creation_keeps_its_own_code_while_its_rest_is_kept(tmp_path: Path) -> None:
    """What an attempt left and its cloud keeps is told beside why the creation failed, which stays in the end."""
    clock = ManualClock()
    cloud = MemoryCloud(clock)

    async def run() -> None:
        async with life(tmp_path, clock, cloud) as alive:
            await alive.database.write(lambda tx: seed_volumes(tx, clock.now_s()))
            await alive.database.write(lambda tx: volume(tx, "data", clock.now_s()))
            cloud.assets.lies.extend(["error", "error", "error"])
            cloud.assets.kept = NOT_EMPTY
            await alive.let_pass(WAITING_S)
            clearing = await held(alive)
            assert (clearing.state, clearing.code) == (AssetState.CLEARING, "cloud-error")
            assert clearing.reason.startswith("no volume could be created in 3 attempts: ")
            assert clearing.reason.endswith("; it is not destroyed yet: it is not empty (delete what is in it)")
            cloud.assets.kept = None
            await alive.settled()
            failed = await held(alive)
            assert (failed.state, failed.code) == (AssetState.FAILED, "cloud-error")
            assert failed.reason == clearing.reason.partition("; it is not destroyed")[0]

    asyncio.run(run())


def test_a_machine_that_is_kept_says_why_once_too(tmp_path: Path) -> None:
    """A machine's row and one event say what keeps it; when it is gone, only why it ended is left."""
    clock = ManualClock()
    cloud = MemoryCloud(clock)

    async def run() -> None:
        async with life(tmp_path, clock, cloud) as alive:
            await alive.place("web")
            await alive.settled()
            (machine,) = await alive.machines()
            cloud.kept = CloudRefused("it is protected from deletion")
            await alive.database.write(
                lambda tx: dispose_machine(tx, machine, MachineEvent.RETIRE, clock.now_s(), reason="its lease is over")
            )
            await alive.let_pass(WAITING_S)
            (now,) = await alive.machines(MachineState.DESTROYING)
            reason = "its lease is over; it is not destroyed yet: it is protected from deletion"
            assert now.reason == reason
            assert await told(alive, machine.id) == [reason]
            cloud.kept = None
            await alive.settled()
            ended = await alive.database.read(lambda tx: rows.by_id(tx, Machine, machine.id))
            assert (ended.state, ended.reason) == (MachineState.GONE, "its lease is over")

    asyncio.run(run())
