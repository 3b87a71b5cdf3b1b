"""The contract of ``catalog.cloud_assets.CloudAssets``, on every cloud we have a real server of that makes assets."""

from collections.abc import Iterator
from typing import Any

import pytest

from catalog.cloud_assets import AssetKind, AssetSpec
from catalog.clouds import CloudDriver, MachineSpec, MachineStatus
from catalog.errors import CloudRefused, CloudUnavailable, InvalidValue
from tests.support.clouds import RunningCloud, moto_cloud, on_driver

VOLUME, SNAPSHOT = AssetKind.VOLUME, AssetKind.SNAPSHOT


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A cloud's own process, spoken to by real libcloud over real HTTP."""
    with moto_cloud(tmp_path_factory.mktemp("ec2")) as running:
        yield running


def spec(name: str, **changes: Any) -> AssetSpec:
    """Return a volume of 8 GiB that carries ``name``, with ``changes``."""
    facts: dict[str, Any] = {
        "kind": VOLUME,
        "name": f"crossway-{name}",
        "tags": {"crossway-asset": name},
        "size_gib": 8,
    }
    return AssetSpec(**{**facts, **changes})


async def machine(driver: CloudDriver, name: str) -> str:
    """Return the cloud's id of a new machine."""
    made = await driver.create_machine(
        MachineSpec(name=name, size="t3.micro", image="ami-0d1deb12", tags={"crossway-order": name}, client_token=name)
    )
    return made.cloud_id


def test_what_is_created_is_found_by_its_tags_and_gone_when_destroyed(cloud: RunningCloud) -> None:
    """A volume is found by all of its tags and no others, read by its id, and after its end neither."""

    async def story(driver: CloudDriver) -> None:
        made = await driver.assets.create(spec("one", tags={"crossway-asset": "one", "crossway-owner": "us"}))
        await driver.assets.create(spec("two"))
        (found,) = await driver.assets.find(VOLUME, {"crossway-asset": "one", "crossway-owner": "us"})
        assert (found.cloud_id, found.name, found.facts["size_gib"]) == (made.cloud_id, "crossway-one", "8")
        assert list(await driver.assets.find(VOLUME, {"crossway-asset": "one", "crossway-owner": "them"})) == []
        read = await driver.assets.read(VOLUME, made.cloud_id)
        assert read is not None
        assert read.status is MachineStatus.RUNNING
        await driver.assets.destroy(VOLUME, made.cloud_id)
        await driver.assets.destroy(VOLUME, made.cloud_id)  # may be repeated
        assert await driver.assets.read(VOLUME, made.cloud_id) is None
        assert list(await driver.assets.find(VOLUME, {"crossway-asset": "one"})) == []
        assert len(await driver.assets.find(VOLUME, {"crossway-asset": "two"})) == 1

    on_driver(cloud, story)


def test_nothing_is_looked_for_without_a_tag(cloud: RunningCloud) -> None:
    """Looking for nothing in particular, which would find what is not ours, is refused before anything is sent."""

    async def story(driver: CloudDriver) -> None:
        with pytest.raises(InvalidValue):
            await driver.assets.find(VOLUME, {})

    on_driver(cloud, story)


@pytest.mark.parametrize("odd", ["ä", "a b", "a&b=c"])
def test_an_odd_tag_finds_only_itself(cloud: RunningCloud, odd: str) -> None:
    """A tag may be any text."""

    async def story(driver: CloudDriver) -> None:
        made = await driver.assets.create(spec("odd", tags={"crossway-asset": odd}))
        await driver.assets.create(spec("odder", tags={"crossway-asset": "abc"}))
        assert [each.cloud_id for each in await driver.assets.find(VOLUME, {"crossway-asset": odd})] == [made.cloud_id]
        await driver.assets.destroy(VOLUME, made.cloud_id)

    on_driver(cloud, story)


def test_a_token_creates_once(cloud: RunningCloud) -> None:
    """The same request with the same token, as after a lost answer, makes one volume."""

    async def story(driver: CloudDriver) -> None:
        cloud.faults({"kind": "lost-reply", "match": "CreateVolume", "times": 1})
        wanted = spec("token", client_token="token-1")
        with pytest.raises(CloudUnavailable):
            await driver.assets.create(wanted)
        again = await driver.assets.create(wanted)
        assert [each.cloud_id for each in await driver.assets.find(VOLUME, wanted.tags)] == [again.cloud_id]

    on_driver(cloud, story)
    cloud.faults()


def test_a_volume_is_attached_detached_and_attached_again(cloud: RunningCloud) -> None:
    """Attaching and detaching may be repeated; two volumes of one machine get different devices; none goes on twice."""

    async def story(driver: CloudDriver) -> None:
        one, two = [(await driver.assets.create(spec(name))).cloud_id for name in ("first", "second")]
        host, other = await machine(driver, "host"), await machine(driver, "other")
        for volume in (one, two, one):
            await driver.assets.attach(VOLUME, volume, host)
        seen = [await driver.assets.read(VOLUME, volume) for volume in (one, two)]
        assert [each.machines for each in seen if each is not None] == [(host,), (host,)]
        for _ in range(2):
            await driver.assets.detach(VOLUME, one, host)
        await driver.assets.detach(VOLUME, two, other)  # it is not there: nothing to do
        seen = [await driver.assets.read(VOLUME, volume) for volume in (one, two)]
        assert [each.machines for each in seen if each is not None] == [(), (host,)]
        await driver.assets.attach(VOLUME, one, other)
        await driver.assets.destroy(VOLUME, two)  # detached first
        assert await driver.assets.read(VOLUME, two) is None

    on_driver(cloud, story)


def test_a_snapshot_is_of_a_volume_and_becomes_one(cloud: RunningCloud) -> None:
    """A snapshot is found by its tags, outlives its volume, and a volume made from it has its size."""

    async def story(driver: CloudDriver) -> None:
        volume = await driver.assets.create(spec("whole", size_gib=9))
        wanted = spec("picture", kind=SNAPSHOT, size_gib=None, parent=volume.cloud_id)
        made = await driver.assets.create(wanted)
        (found,) = await driver.assets.find(SNAPSHOT, wanted.tags)
        assert (found.cloud_id, found.facts["size_gib"]) == (made.cloud_id, "9")
        await driver.assets.destroy(VOLUME, volume.cloud_id)
        copy = await driver.assets.create(spec("copy", size_gib=None, parent=made.cloud_id))
        assert copy.facts["size_gib"] == "9"
        with pytest.raises(CloudRefused):
            await driver.assets.attach(SNAPSHOT, made.cloud_id, "i-0")
        await driver.assets.destroy(SNAPSHOT, made.cloud_id)
        assert await driver.assets.read(SNAPSHOT, made.cloud_id) is None

    on_driver(cloud, story)


@pytest.mark.parametrize("kind", [VOLUME, SNAPSHOT])
def test_a_right_is_proved_by_a_dry_run_that_makes_nothing(cloud: RunningCloud, kind: AssetKind) -> None:
    """Whether one may be made is told with the request that told it; a denied one is denied; nothing was made."""

    async def story(driver: CloudDriver) -> None:
        before = (await driver.listing("volume")).count
        proof = await driver.assets.prove(kind)
        assert (proof.capability, proof.allowed) == ("volume", True)
        assert proof.request.startswith("DryRun Create")
        cloud.faults({"kind": "denied", "match": "Create*", "times": 1})
        denied = await driver.assets.prove(kind)
        assert not denied.allowed
        assert (await driver.listing("volume")).count == before

    on_driver(cloud, story)
    cloud.faults()


def test_what_a_cloud_refuses_is_a_refusal(cloud: RunningCloud) -> None:
    """A machine, volume or snapshot that does not exist: CloudRefused, and nothing is made."""

    async def story(driver: CloudDriver) -> None:
        wanted = spec("s", parent="snap-0000000000000000f")
        with pytest.raises(CloudRefused):
            await driver.assets.create(wanted)
        assert list(await driver.assets.find(VOLUME, wanted.tags)) == []
        volume = await driver.assets.create(spec("lonely"))
        with pytest.raises(CloudRefused):
            await driver.assets.attach(VOLUME, volume.cloud_id, "i-0123456789abcdef0")
        with pytest.raises(CloudRefused):
            await driver.assets.attach(VOLUME, "vol-0123456789abcdef0", await machine(driver, "waits"))

    on_driver(cloud, story)
