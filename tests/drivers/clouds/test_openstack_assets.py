"""Volumes and snapshots at an emulated Cinder, of what its API reference says; no real one was asked."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.cloud_assets import AssetKind, AssetSpec
from catalog.clouds import CloudDriver
from catalog.errors import CloudQuotaExhausted, CloudRefused, CloudUnavailable
from tests.support.emulated.cinder import Cinder
from tests.support.emulated.serving import Answer, EmulatedCloud, served

VOLUME, SNAPSHOT = AssetKind.VOLUME, AssetKind.SNAPSHOT


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[EmulatedCloud]:
    """An emulated OpenStack, spoken to by real libcloud over TLS."""
    with served(Cinder(), tmp_path) as running:
        yield running


def spec(name: str, **changes: Any) -> AssetSpec:
    """Return a volume of 8 GiB."""
    told: dict[str, Any] = {"kind": VOLUME, "name": name, "tags": {"crossway-asset": name}, "size_gib": 8}
    return AssetSpec(**{**told, **changes})


def on(cloud: EmulatedCloud, story: Callable[[CloudDriver], Awaitable[Any]]) -> Any:
    """Run ``story`` with a driver of ``cloud``."""

    async def run() -> Any:
        driver = cloud.driver()
        try:
            async with asyncio.timeout(60):
                return await story(driver)
        finally:
            await driver.close()

    return asyncio.run(run())


def test_volumes_and_snapshots_live_and_end(cloud: EmulatedCloud) -> None:
    """Found by metadata through all pages, attached by Nova, pictured, restored, and gone for ever."""

    async def story(driver: CloudDriver) -> None:
        assets = driver.assets
        for number in range(7):  # of three a page
            await assets.create(spec(f"other-{number}"))
        made = await assets.create(spec("data"))
        (found,) = await assets.find(VOLUME, {"crossway-asset": "data"})
        assert (found.cloud_id, found.facts["size_gib"]) == (made.cloud_id, "8")
        for _ in range(2):
            await assets.attach(VOLUME, made.cloud_id, "server-1")
        seen = await assets.read(VOLUME, made.cloud_id)
        assert seen is not None
        assert seen.machines == ("server-1",)
        picture = await assets.create(spec("picture", kind=SNAPSHOT, size_gib=None, parent=made.cloud_id))
        copy = await assets.create(spec("copy", size_gib=None, parent=picture.cloud_id))
        assert copy.facts["size_gib"] == "8"
        with pytest.raises(CloudUnavailable):
            await assets.destroy(VOLUME, made.cloud_id)  # detached, which may take its time
        with pytest.raises(CloudRefused, match="has snapshots") as kept:
            await assets.destroy(VOLUME, made.cloud_id)
        assert kept.value.fix == "destroy its snapshots first"
        await assets.destroy(SNAPSHOT, picture.cloud_id)
        for _ in range(2):
            await assets.destroy(VOLUME, made.cloud_id)
        assert await assets.read(VOLUME, made.cloud_id) is None
        assert list(await assets.find(VOLUME, {"crossway-asset": "data"})) == []

    on(cloud, story)


def test_a_volume_that_is_still_being_made_is_destroyed_later(cloud: EmulatedCloud) -> None:
    """Until it is there Cinder refuses to delete it, which passes: it is no clear no."""
    emulator = cloud.emulator
    assert isinstance(emulator, Cinder)

    async def story(driver: CloudDriver) -> None:
        made = await driver.assets.create(spec("slow"))
        row = emulator.rows["volumes"][made.cloud_id]
        row["status"] = "creating"
        with pytest.raises(CloudUnavailable, match="being made"):
            await driver.assets.destroy(VOLUME, made.cloud_id)
        row["status"] = "available"
        await driver.assets.destroy(VOLUME, made.cloud_id)
        assert await driver.assets.read(VOLUME, made.cloud_id) is None

    on(cloud, story)


def test_a_lost_answer_is_found_and_a_full_quota_is_told(cloud: EmulatedCloud) -> None:
    """A volume that was made and not told of is found by its metadata; past the quota nothing is made."""
    emulator = cloud.emulator

    async def story(driver: CloudDriver) -> None:
        emulator.loses = lambda asked: asked.method == "POST" and asked.path.endswith("/volumes")
        with pytest.raises(CloudUnavailable):
            await driver.assets.create(spec("lost"))
        assert len(await driver.assets.find(VOLUME, {"crossway-asset": "lost"})) == 1
        with pytest.raises(CloudQuotaExhausted):
            await driver.assets.create(spec("huge", size_gib=101))
        assert list(await driver.assets.find(VOLUME, {"crossway-asset": "huge"})) == []

    on(cloud, story)


@pytest.mark.parametrize("kind", [VOLUME, SNAPSHOT])
def test_who_may_not_even_look_may_not_make(cloud: EmulatedCloud, kind: AssetKind) -> None:
    """Cinder has no dry run: a refused list is a refused right, an answered one is none."""

    async def story(driver: CloudDriver) -> None:
        assert (await driver.assets.prove(kind)).allowed
        login = cloud.emulator.served(cloud.emulator.asked[0])
        cloud.emulator.answers_next(login, Answer(status=403, body={"forbidden": {"code": 403, "message": "no"}}))
        denied = await driver.assets.prove(kind)
        assert (denied.allowed, denied.detail) == (False, "HTTP 403")

    on(cloud, story)
