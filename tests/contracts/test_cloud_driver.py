"""The contract of ``catalog.clouds.CloudDriver``, on every cloud we have a server of, and every emulated one.

A whole OpenStack has its own, slower suite under ``tests/openstack``.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.clouds import CloudDriver, MachineAction, MachineSpec, MachineStatus
from catalog.errors import CloudCredentialsRefused, CloudRefused, InvalidValue
from catalog.messages.handshake import Capability
from catalog.secrets import Secret
from drivers.clouds.libcloud_facts import ACCEPTED, Shape
from drivers.registry import OF_COMPUTE
from tests.support import emulated
from tests.support.clouds import RunningCloud, moto_cloud, on_driver, simulated_cloud
from tests.support.dialers import LoopbackDialer
from tests.support.emulated import EMULATORS
from tests.support.emulated.serving import EmulatedCloud, served
from tests.support.listed import listed

SIZES = {"simulated": "s1", "ec2": "t3.micro", **emulated.SIZES}
IMAGES = {"simulated": "img-debian-12", "ec2": "ami-0d1deb12", **emulated.IMAGES}
AnyCloud = RunningCloud | EmulatedCloud


@pytest.fixture(scope="module", params=["simulated", "ec2", *sorted(EMULATORS)])
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyCloud]:
    """A cloud's own process, or an emulated provider, spoken to by real libcloud over real HTTP."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    if request.param in EMULATORS:
        with served(EMULATORS[request.param](), folder) as running:
            yield running
        return
    with simulated_cloud(folder) if request.param == "simulated" else moto_cloud(folder) as process:
        yield process


def spec(cloud: AnyCloud, order: str, network: str | None = None) -> MachineSpec:
    """Return what to create for ``order``."""
    return MachineSpec(
        name=f"crossway-{order}",
        size=SIZES[cloud.provider],
        image=IMAGES[cloud.provider],
        tags={"crossway-order": order},
        client_token=order,
        network=network,
    )


def of_driver(cloud: AnyCloud) -> set[Capability]:
    """Return what the cloud's driver knows how to use: networks are listed by the drivers that a file speaks for."""
    return set(OF_COMPUTE) - ({Capability.NETWORK} if cloud.provider in EMULATORS else set())


async def until(driver: CloudDriver, cloud_id: str, wanted: MachineStatus) -> None:
    """Wait until the cloud reports ``wanted`` of the machine."""
    while True:
        machine = await driver.machine(cloud_id)
        if (MachineStatus.GONE if machine is None else machine.status) is wanted:
            return


def test_log_in_names_the_services_and_only_dials_the_endpoint(cloud: AnyCloud) -> None:
    """Logging in returns the provider, the region and known capabilities; all traffic went by the dialer."""
    dialer = LoopbackDialer()

    information = on_driver(cloud, lambda driver: driver.log_in(), dialer=dialer)

    assert information.provider == cloud.provider
    assert set(information.services) == of_driver(cloud)
    assert dialer.dialled == [cloud.address]


def test_wrong_credentials_are_told_apart(cloud: AnyCloud) -> None:
    """A wrong secret and an unknown account are CloudCredentialsRefused, not just any refusal.

    Where a token is all, the account is a name for people and is sent nowhere.
    """
    changes: list[dict[str, Any]] = [{"secret": Secret("not-the-secret")}]
    if cloud.provider not in ACCEPTED or ACCEPTED[cloud.provider].shape is Shape.PAIR:
        changes.append({"account": "AKIANOBODYKNOWSME"})
    for change in changes:
        with pytest.raises(CloudCredentialsRefused):
            on_driver(cloud, lambda driver: driver.log_in(), **change)


@pytest.mark.parametrize("capability", sorted(set(OF_COMPUTE)))
def test_every_capability_can_be_proved(cloud: AnyCloud, capability: Capability) -> None:
    """An account that may do everything gets proofs that say so, and nothing is made by proving."""
    if capability not in of_driver(cloud):
        with pytest.raises(CloudRefused):
            on_driver(cloud, lambda driver: driver.prove(capability))
        return

    async def story(driver: CloudDriver) -> tuple[Any, int, int]:
        before = await listed(driver, "machine")
        proof = await driver.prove(capability)
        return proof, len(before), len(await listed(driver, "machine"))

    proof, before, after = on_driver(cloud, story)

    assert (proof.capability, proof.allowed) == (capability, True)
    assert proof.request
    assert before == after


def test_an_unknown_capability_is_named(cloud: AnyCloud) -> None:
    """Proving what does not exist says which capabilities do."""
    with pytest.raises(InvalidValue) as caught:
        on_driver(cloud, lambda driver: driver.prove("teleport"))
    assert "machine" in (caught.value.fix or "")


def test_lists_hold_what_the_cloud_has(cloud: AnyCloud) -> None:
    """Sizes, images, locations, key pairs and volumes are read; the ones we order from are among them."""

    async def story(driver: CloudDriver) -> None:
        sizes = {size.cloud_id: size for size in await listed(driver, "size")}
        assert sizes[SIZES[cloud.provider]].memory_mib == 1024
        assert sizes[SIZES[cloud.provider]].vcpu
        assert IMAGES[cloud.provider] in {image.cloud_id for image in await listed(driver, "image")}
        assert await listed(driver, "location")
        assert isinstance(await listed(driver, "key-pair"), list)
        assert isinstance(await listed(driver, "volume"), list)

    on_driver(cloud, story)


def test_a_machine_lives_from_create_to_gone(cloud: AnyCloud) -> None:
    """Create, run, reboot, stop, start, destroy; found by its tags while it lives, and not after."""

    async def story(driver: CloudDriver) -> None:
        made = await driver.create_machine(spec(cloud, "life"))
        assert made.tags["crossway-order"] == "life"
        await until(driver, made.cloud_id, MachineStatus.RUNNING)
        assert [found.cloud_id for found in await driver.find_machines({"crossway-order": "life"})] == [made.cloud_id]
        assert made.cloud_id in {machine.cloud_id for machine in await listed(driver, "machine")}
        await driver.act(made.cloud_id, MachineAction.REBOOT)
        await driver.act(made.cloud_id, MachineAction.STOP)
        await until(driver, made.cloud_id, MachineStatus.STOPPED)
        await driver.act(made.cloud_id, MachineAction.START)
        await until(driver, made.cloud_id, MachineStatus.RUNNING)
        await driver.act(made.cloud_id, MachineAction.DESTROY)
        await until(driver, made.cloud_id, MachineStatus.GONE)
        assert await driver.find_machines({"crossway-order": "life"}) == []

    on_driver(cloud, story)


def test_all_but_create_may_be_repeated(cloud: AnyCloud) -> None:
    """Starting what runs, stopping what is stopped and destroying what is gone succeed."""

    async def story(driver: CloudDriver) -> None:
        made = await driver.create_machine(spec(cloud, "repeat"))
        await until(driver, made.cloud_id, MachineStatus.RUNNING)
        for action in (MachineAction.START, MachineAction.STOP, MachineAction.DESTROY):
            await driver.act(made.cloud_id, action)
            await driver.act(made.cloud_id, action)

    on_driver(cloud, story)


# What the driver of each cloud can change of a machine; all else it refuses.
CHANGES = {"simulated": {"rebuild", "resize", "rename", "console"}, "ec2": {"resize", "rename", "console"}}
EVERY_CHANGE = CHANGES["simulated"]
OTHER_SIZES = {"simulated": "s2", "ec2": "t3.small"}
OTHER_IMAGES = {"simulated": "img-web"}


def test_a_machine_becomes_another_where_its_cloud_can(cloud: AnyCloud) -> None:
    """Made anew, of another size, called otherwise: the cloud tells it so, and our marks are still on it.

    Each may be repeated. Where the cloud cannot, it is refused in words, the machine is as it was, and the proof of
    what the account may do says so: what is lacking is on no offer.
    """
    can = CHANGES.get(cloud.provider, set())
    assert set(on_driver(cloud, lambda driver: driver.prove("machine")).lacking) == EVERY_CHANGE - can
    wanted = {
        "rebuild": OTHER_IMAGES.get(cloud.provider, "another"),
        "resize": OTHER_SIZES.get(cloud.provider, "larger"),
        "rename": "crossway-renamed",
    }

    async def story(driver: CloudDriver) -> None:
        made = await driver.create_machine(spec(cloud, "changes"))
        await until(driver, made.cloud_id, MachineStatus.RUNNING)
        deeds = {"rebuild": driver.rebuild, "resize": driver.resize, "rename": driver.rename}
        if cloud.provider == "ec2":
            with pytest.raises(CloudRefused, match="stopped") as running:
                await driver.resize(made.cloud_id, wanted["resize"])
            assert running.value.fix == "stop it first"
            await driver.act(made.cloud_id, MachineAction.STOP)
            await until(driver, made.cloud_id, MachineStatus.STOPPED)
        for name, deed in deeds.items():
            if name in can:
                await deed(made.cloud_id, wanted[name])
                await deed(made.cloud_id, wanted[name])
                continue
            with pytest.raises(CloudRefused) as refused:
                await deed(made.cloud_id, wanted[name])
            assert refused.value.field == "action"
        now = await driver.machine(made.cloud_id)
        assert now is not None
        assert now.tags["crossway-order"] == "changes"
        assert now.name == (wanted["rename"] if "rename" in can else made.name)
        assert now.size == (wanted["resize"] if "resize" in can else made.size)
        assert now.image == (wanted["rebuild"] if "rebuild" in can else made.image)
        assert [found.cloud_id for found in await driver.find_machines({"crossway-order": "changes"})] == [now.cloud_id]

    on_driver(cloud, story)


def test_a_console_is_read_where_the_cloud_keeps_one(cloud: AnyCloud) -> None:
    """As printable lines; one of a machine that nobody knows is refused, as is any where there are none."""

    async def story(driver: CloudDriver) -> None:
        made = await driver.create_machine(spec(cloud, "console"))
        if "console" not in CHANGES.get(cloud.provider, set()):
            with pytest.raises(CloudRefused):
                await driver.console(made.cloud_id)
            return
        lines = (await driver.console(made.cloud_id)).splitlines()
        assert lines
        assert all(line.isprintable() for line in lines)
        with pytest.raises(CloudRefused):
            await driver.console("i-0123456789abcdef0")

    on_driver(cloud, story)


def test_find_machines_takes_tags_literally_and_all_of_them(cloud: AnyCloud) -> None:
    """Only machines with every tag are found; a wildcard in a value is a character like any other."""

    async def story(driver: CloudDriver) -> None:
        one = await driver.create_machine(spec(cloud, "tags-one"))
        assert await driver.find_machines({"crossway-order": "tags-*"}) == []
        assert await driver.find_machines({"crossway-order": "tags-one", "other": "x"}) == []
        assert [m.cloud_id for m in await driver.find_machines({"crossway-order": "tags-one"})] == [one.cloud_id]
        with pytest.raises(InvalidValue):
            await driver.find_machines({})

    on_driver(cloud, story)


def test_a_machine_nobody_knows_is_none_and_its_destruction_succeeds(cloud: AnyCloud) -> None:
    """What the cloud does not know is absent, not an error."""

    async def story(driver: CloudDriver) -> None:
        assert await driver.machine("i-0123456789abcdef0") is None
        await driver.act("i-0123456789abcdef0", MachineAction.DESTROY)

    on_driver(cloud, story)


def test_calls_at_once_do_not_mix_their_answers(cloud: AnyCloud) -> None:
    """Twelve calls over four threads each get their own answer: no driver is shared."""

    async def story(driver: CloudDriver) -> None:
        async with asyncio.TaskGroup() as group:
            locations = [group.create_task(listed(driver, "location")) for _ in range(6)]
            images = [group.create_task(listed(driver, "image")) for _ in range(6)]
        assert len({tuple(item.cloud_id for item in task.result()) for task in locations}) == 1
        assert len({tuple(item.cloud_id for item in task.result()) for task in images}) == 1

    on_driver(cloud, story)


def test_rights_are_told_without_reading_anything(cloud: AnyCloud) -> None:
    """One proof for each capability that the driver knows; an account that may do everything has them all."""

    async def story(driver: CloudDriver) -> tuple[Any, int, int]:
        before = await listed(driver, "machine")
        proofs = await driver.rights()
        return proofs, len(before), len(await listed(driver, "machine"))

    proofs, before, after = on_driver(cloud, story)

    known = of_driver(cloud)
    assert {proof.capability for proof in proofs if proof.allowed} == known
    # Those of services that have endpoints of their own are told of too: nobody approved any here.
    assert len(proofs) == len({proof.capability for proof in proofs})
    assert before == after


def test_networks_are_listed_and_a_machine_is_attached_to_the_one_that_is_named(cloud: AnyCloud) -> None:
    """There are some, each with its id; a machine made with one of them is told to be in it, from then on.

    Where no networks are listed none can be named: such a creation is refused, and not made elsewhere.
    """
    if cloud.provider in EMULATORS:
        with pytest.raises(CloudRefused) as refused:
            on_driver(cloud, lambda driver: driver.create_machine(spec(cloud, "networked", network="n1")))
        assert refused.value.field == "network"
        return

    async def story(driver: CloudDriver) -> tuple[set[str], str, Any]:
        there = {row["cloud_id"] for text in (await driver.listing("network")).batches for row in json.loads(text)}
        named = max(there)
        made = await driver.create_machine(spec(cloud, "networked", network=named))
        return there, named, await driver.machine(made.cloud_id)

    there, named, machine = on_driver(cloud, story)
    assert len(there) > 1
    assert machine is not None
    assert machine.network == named


@pytest.mark.parametrize("capability", sorted(set(OF_COMPUTE)))
def test_a_listing_is_as_long_as_it_says(cloud: AnyCloud, capability: Capability) -> None:
    """What is ready to be stored is as many rows as are told, each under an id of its own."""
    if capability not in of_driver(cloud):
        with pytest.raises(CloudRefused):
            on_driver(cloud, lambda driver: driver.listing(capability))
        return
    listing = on_driver(cloud, lambda driver: driver.listing(capability))
    found = [row["cloud_id"] for batch in listing.batches for row in json.loads(batch)]
    assert len(found) == len(set(found)) == listing.count
