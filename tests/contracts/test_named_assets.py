"""Buckets, zones, records and balancers, at real S3, Route 53 and ELB servers: moto, each by its own name over TLS."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from catalog.cloud_assets import MADE_BY, AssetKind, AssetSpec, CloudAssets
from catalog.clouds import CloudDriver, MachineSpec
from catalog.errors import CloudRefused, CloudUnavailable
from catalog.ports import ApprovedEndpoint
from tests.support.clouds import RunningCloud, moto_cloud

CONTAINER, ZONE, RECORD, BALANCER = AssetKind.CONTAINER, AssetKind.ZONE, AssetKind.RECORD, AssetKind.BALANCER
OPTIONS = {ZONE: {"domain": "shop.example.org"}, BALANCER: {"port": "80", "machine_port": "8080"}}
WHOLE = (CONTAINER, ZONE, BALANCER)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A cloud's own process, spoken to by real libcloud over real HTTP."""
    with moto_cloud(tmp_path_factory.mktemp("aws")) as running:
        yield running


def on(cloud: RunningCloud, story: Callable[[CloudDriver], Awaitable[Any]], *, approved: bool = True) -> Any:
    """Run ``story`` with a driver of ``cloud``, whose other services are approved too, and return what it returns."""
    services = tuple(
        ApprovedEndpoint(url=each["url"], dial=cloud.address, ca_pem=cloud.ca_pem) for each in cloud.services().values()
    )

    async def run() -> Any:
        driver = cloud.driver(services=services if approved else ())
        try:
            async with asyncio.timeout(90):
                return await story(driver)
        finally:
            await driver.close()

    return asyncio.run(run())


def spec(kind: AssetKind, unique: str, **changes: Any) -> AssetSpec:
    """Return what to create for an asset whose id ends in ``unique``."""
    told = {"name": f"shop-{unique.lower()}", "tags": {"crossway-asset": f"asset_{unique}", "crossway-owner": "us"}}
    return AssetSpec(**{"kind": kind, **told, "options": OPTIONS.get(kind, {}), **changes})


def record(zone: str, value: str, host: str = "www.shop.example.org") -> AssetSpec:
    """Return a record in ``zone``."""
    wanted = {"host": host, "type": "A", "value": value, "ttl": "60"}
    return spec(RECORD, "01RECORD", parent=zone, options=wanted)


async def found(assets: CloudAssets, wanted: AssetSpec) -> list[str]:
    """Return the ids of what is found of ``wanted``."""
    return [each.cloud_id for each in await assets.find(wanted.kind, wanted.tags, wanted)]


@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_created_is_found_listed_and_gone_when_destroyed(cloud: RunningCloud, kind: AssetKind) -> None:
    """By its id alone, which nothing else has; the inventory lists it too; asked for again there is no second.

    But for zones: Amazon knows the caller's reference again, moto does not, so that they are looked for first.
    """

    async def story(driver: CloudDriver) -> None:
        one, two = spec(kind, "01ONE"), spec(kind, "01TWO", options={**OPTIONS.get(kind, {}), "domain": "two.example"})
        made = await driver.assets.create(one)
        await driver.assets.create(two)
        if kind is not ZONE:
            assert (await driver.assets.create(one)).cloud_id == made.cloud_id
        assert await found(driver.assets, one) == [made.cloud_id]
        assert (await driver.listing(MADE_BY[kind][0])).count == 2
        read = await driver.assets.read(kind, made.cloud_id)
        assert read is not None
        for _ in range(2):
            await driver.assets.destroy(kind, made.cloud_id)
        assert await driver.assets.read(kind, made.cloud_id) is None
        assert await found(driver.assets, one) == []
        (other,) = await found(driver.assets, two)
        await driver.assets.destroy(kind, other)

    on(cloud, story)


def test_a_record_has_the_value_that_was_asked_for_last_and_goes_with_it(cloud: RunningCloud) -> None:
    """It is found by what was asked for and by nothing else; asking again is harmless; its zone goes after it."""

    async def story(driver: CloudDriver) -> None:
        zone = await driver.assets.create(spec(ZONE, "01ZONE"))
        assert zone.facts["name_servers"]
        first, second = record(zone.cloud_id, "192.0.2.1"), record(zone.cloud_id, "192.0.2.2")
        for _ in range(2):
            await driver.assets.create(first)
        assert len(await found(driver.assets, first)) == 1
        assert await found(driver.assets, second) == []
        made = await driver.assets.create(second)
        assert await found(driver.assets, first) == []
        for _ in range(2):
            await driver.assets.destroy(RECORD, made.cloud_id)
        assert await found(driver.assets, second) == []
        text = spec(RECORD, "01TEXT", parent=zone.cloud_id, options={
            "host": "shop.example.org", "type": "TXT", "value": '"a b"', "ttl": "60",
        })  # fmt: skip
        await driver.assets.destroy(RECORD, (await driver.assets.create(text)).cloud_id)
        await driver.assets.destroy(ZONE, zone.cloud_id)
        assert await driver.assets.read(ZONE, zone.cloud_id) is None

    on(cloud, story)


def test_machines_are_members_of_a_balancer(cloud: RunningCloud) -> None:
    """Joining and leaving may be repeated; the balancer says who is in it, and where it is."""

    async def story(driver: CloudDriver) -> None:
        balancer = (await driver.assets.create(spec(BALANCER, "01BALANCER"))).cloud_id
        machines = [
            (await driver.create_machine(
                MachineSpec(name=name, size="t3.micro", image="ami-0d1deb12", tags={"n": name}, client_token=name)
            )).cloud_id
            for name in ("one", "two")
        ]  # fmt: skip
        for machine in (*machines, machines[0]):
            await driver.assets.attach(BALANCER, balancer, machine)
        seen = await driver.assets.read(BALANCER, balancer)
        assert seen is not None
        assert sorted(seen.machines) == sorted(machines)
        assert seen.facts["address"]
        for _ in range(2):
            await driver.assets.detach(BALANCER, balancer, machines[0])
        seen = await driver.assets.read(BALANCER, balancer)
        assert seen is not None
        assert seen.machines == (machines[1],)
        await driver.assets.destroy(BALANCER, balancer)
        assert await driver.assets.read(BALANCER, balancer) is None

    on(cloud, story)


@pytest.mark.parametrize("kind", WHOLE)
def test_without_an_approved_endpoint_there_is_no_such_service(cloud: RunningCloud, kind: AssetKind) -> None:
    """It is in no service list, its right is absent, and making one is refused before anything is sent."""
    capability = MADE_BY[kind][0]

    async def story(driver: CloudDriver) -> None:
        assert capability not in (await driver.log_in()).services
        (right,) = [each for each in await driver.rights() if each.capability == capability]
        assert (right.allowed, right.detail) == (False, "no endpoint of the service is approved")
        assert kind not in driver.assets.kinds
        with pytest.raises(CloudRefused):
            await driver.assets.create(spec(kind, "01NONE"))
        with pytest.raises(CloudRefused):
            await driver.listing(capability)

    on(cloud, story, approved=False)


@pytest.mark.parametrize("kind", [*WHOLE, RECORD])
def test_with_one_the_account_is_asked_whether_it_may(cloud: RunningCloud, kind: AssetKind) -> None:
    """The capability is in the service list, and proved by a look that makes nothing."""
    capability = MADE_BY[kind][0]

    async def story(driver: CloudDriver) -> None:
        assert capability in (await driver.log_in()).services
        for proof in (await driver.assets.prove(kind), await driver.prove(capability)):
            assert (proof.capability, proof.allowed) == (capability, True)
        assert (await driver.listing(capability)).count == 0

    on(cloud, story)


def test_a_balancer_whose_answer_was_lost_is_one(cloud: RunningCloud) -> None:
    """Created and not told of: it is found, and asking again makes no second."""

    async def story(driver: CloudDriver) -> None:
        cloud.faults({"kind": "lost-reply", "match": "CreateLoadBalancer", "times": 1})
        wanted = spec(BALANCER, "01LOST")
        with pytest.raises(CloudUnavailable):
            await driver.assets.create(wanted)
        (known,) = await found(driver.assets, wanted)
        assert (await driver.assets.create(wanted)).cloud_id == known
        assert len(await found(driver.assets, wanted)) == 1
        await driver.assets.destroy(BALANCER, known)

    on(cloud, story)
    cloud.faults()


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        pytest.param(ZONE, "", id="zone"),
        pytest.param(RECORD, "", id="record"),
        pytest.param(BALANCER, "DescribeLoadBalancers", id="balancer"),
    ],
)
def test_who_asks_too_often_may_ask_again(cloud: RunningCloud, kind: AssetKind, call: str) -> None:
    """That the service says so with HTTP 400 is no refusal: nothing is wrong with what was asked."""

    async def story(driver: CloudDriver) -> None:
        wanted = record("Z1", "192.0.2.9") if kind is RECORD else spec(kind, "01OFTEN")
        cloud.faults({"kind": "too-often", "match": call})
        with pytest.raises(CloudUnavailable):
            await found(driver.assets, wanted)
        cloud.faults()
        assert await found(driver.assets, wanted) == []

    on(cloud, story)


def test_a_record_of_which_nothing_but_its_id_is_known_is_found_by_that_alone(cloud: RunningCloud) -> None:
    """Whoever destroys it without the order's words is told of none, and reads and destroys it by its id."""

    async def story(driver: CloudDriver) -> None:
        zone = await driver.assets.create(spec(ZONE, "01KNOWN"))
        made = await driver.assets.create(record(zone.cloud_id, "192.0.2.7"))
        assert await found(driver.assets, spec(RECORD, "01RECORD")) == []
        assert await driver.assets.read(RECORD, made.cloud_id) is not None
        await driver.assets.destroy(RECORD, made.cloud_id)
        await driver.assets.destroy(ZONE, zone.cloud_id)

    on(cloud, story)
