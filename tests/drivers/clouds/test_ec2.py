"""EC2 through libcloud: whole lists, noticed emptiness, client tokens, dry runs."""

import asyncio
import re
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from catalog.cloud_assets import AssetKind
from catalog.clouds import CloudAccount, CloudDriver, MachineAction, MachineSpec, MachineStatus
from catalog.errors import CloudMisbehaved, CloudRefused, CloudUnavailable, InvalidValue
from catalog.model.ids import PlatformId
from catalog.ports import Address, ApprovedEndpoint
from catalog.secrets import Secret
from drivers.clouds import ec2_pages
from drivers.clouds.aws_services import SERVICES
from drivers.clouds.ec2 import NAMESPACE, WholeResponse
from drivers.clouds.policy import CallPolicy
from drivers.registry import build
from tests.support.clouds import EC2_NAME, REGION, RunningCloud, moto_cloud
from tests.support.dialers import LoopbackDialer
from tests.support.listed import listed

CANNOT = ("rebuild",)  # EC2 has no way to, whatever the account may
NOT_DRY = ("DescribeInstances", "StartInstances", "StopInstances", "RebootInstances", "TerminateInstances")


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """Moto as the demo runs it: mended to answer as Amazon does."""
    with moto_cloud(tmp_path_factory.mktemp("moto")) as running:
        yield running


@pytest.fixture(scope="module")
def plain_moto() -> Iterator[Address]:
    """moto_server as it comes: its answers lack a slash, and libcloud finds all lists empty without an error."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            assert process.poll() is None
            with socket.socket() as caller:
                if caller.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield Address(host="127.0.0.1", port=port)
    finally:
        process.terminate()
        process.wait(20)


def on(driver: Any, story: Callable[[Any], Awaitable[Any]]) -> Any:
    """Run ``story`` with ``driver`` and return what it returns."""

    async def run() -> Any:
        try:
            return await story(driver)
        finally:
            await driver.close()

    return asyncio.run(run())


def spec(order: str, **changes: Any) -> MachineSpec:
    """Return what to create for ``order``."""
    facts: dict[str, Any] = {"size": "t3.micro", "image": "ami-0d1deb12", "client_token": order, **changes}
    return MachineSpec(name=f"crossway-{order}", tags={"crossway-order": order}, **facts)


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda driver: listed(driver, "machine"), id="machines"),
        pytest.param(lambda driver: listed(driver, "image"), id="images"),
        pytest.param(lambda driver: listed(driver, "location"), id="locations"),
        pytest.param(lambda driver: listed(driver, "key-pair"), id="key pairs"),
        pytest.param(lambda driver: listed(driver, "volume"), id="volumes"),
        pytest.param(lambda driver: driver.log_in(), id="log-in"),
        pytest.param(lambda driver: driver.create_machine(spec("plain")), id="create"),
        pytest.param(lambda driver: driver.find_machines({"crossway-order": "plain"}), id="find"),
    ],
)
def test_an_implausibly_empty_answer_is_noticed(
    plain_moto: Address, read: Callable[[CloudDriver], Awaitable[Any]]
) -> None:
    """Unmended moto makes every list of libcloud's empty with no error; here each is CloudMisbehaved."""
    endpoint = ApprovedEndpoint(url=f"http://{EC2_NAME}:{plain_moto.port}", dial=plain_moto)
    account = CloudAccount(
        platform=PlatformId("p"), provider="ec2", region=REGION, endpoint=endpoint, account="AKIAPLAIN",
        secret=Secret("plain-secret"),
    )  # fmt: skip
    with pytest.raises(CloudMisbehaved) as caught:
        on(build(account, LoopbackDialer(), CallPolicy(deadline_s=60)), read)
    assert NAMESPACE in (caught.value.fix or "")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="empty"),
        pytest.param("<html/>", id="a web page"),
        pytest.param(f'<DescribeInstancesResponse xmlns="{NAMESPACE[:-1]}"/>', id="namespace without slash"),
        pytest.param(f'<Error xmlns="{NAMESPACE}"/>', id="not a response"),
    ],
)
def test_an_answer_of_another_protocol_is_refused(body: str) -> None:
    """Only a root that libcloud will look into is let through."""
    response = WholeResponse.__new__(WholeResponse)
    response.body = body
    with pytest.raises(CloudMisbehaved):
        response.parse_body()


def test_more_machines_than_a_page_are_all_listed(moto: RunningCloud) -> None:
    """120 machines in pages of 50 come back whole, each once; libcloud alone would show the first page."""

    async def story(driver: Any) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(120):
                group.create_task(driver.create_machine(spec(f"page-{number}")))
        machines = await listed(driver, "machine")
        orders = [machine.tags["crossway-order"] for machine in machines if machine.name.startswith("crossway-page-")]
        assert sorted(orders) == sorted(f"page-{number}" for number in range(120))
        assert len({machine.cloud_id for machine in machines}) == len(machines)

    policy = CallPolicy(deadline_s=60, page_count=50, waiting_limit=200)
    on(moto.driver(policy=policy), story)


def test_a_list_past_the_row_limit_is_refused_not_cut(moto: RunningCloud) -> None:
    """More rows than the limit are CloudMisbehaved: a shortened list would be a lie."""
    with pytest.raises(CloudMisbehaved):
        on(moto.driver(policy=CallPolicy(deadline_s=20, row_limit=2)), lambda driver: listed(driver, "size"))


def test_a_lost_reply_is_found_again_by_tags_and_not_repeated(moto: RunningCloud) -> None:
    """The machine of a create whose answer was lost is found; the same client token makes no second one."""
    moto.faults({"match": "RunInstances", "kind": "lost-reply", "times": 1})

    async def story(driver: Any) -> None:
        with pytest.raises(CloudUnavailable):
            await driver.create_machine(spec("lost"))
        found = await driver.find_machines({"crossway-order": "lost"})
        assert len(found) == 1
        assert (await driver.create_machine(spec("lost"))).cloud_id == found[0].cloud_id
        assert len(await driver.find_machines({"crossway-order": "lost"})) == 1
        with pytest.raises(CloudRefused):  # one token, another machine
            await driver.create_machine(spec("lost", size="t3.small"))

    on(moto.driver(), story)


def test_destroyed_machines_are_gone_at_once_for_find(moto: RunningCloud) -> None:
    """EC2 lists a terminated machine for an hour; it must not be taken for the order's machine."""

    async def story(driver: Any) -> None:
        made = await driver.create_machine(spec("gone"))
        await driver.act(made.cloud_id, MachineAction.DESTROY)
        assert await driver.find_machines({"crossway-order": "gone"}) == []

    on(moto.driver(), story)


def test_a_proof_tells_the_dry_run_that_was_made(moto: RunningCloud) -> None:
    """HTTP 412 means the dry run was allowed; the proof names call and answer."""
    proof = on(moto.driver(), lambda driver: driver.prove("machine"))
    assert (proof.request, proof.detail, proof.allowed) == ("DryRun RunInstances", "HTTP 412", True)


def test_a_right_that_the_account_lacks_is_told_with_the_cloud_s_request_id(moto: RunningCloud) -> None:
    """A dry run that is refused with 403 is a right that is not there; the others are; each has the cloud's own id."""
    moto.faults({"match": "RunInstances", "kind": "denied"})
    try:
        proofs = {proof.capability: proof for proof in on(moto.driver(), lambda driver: driver.rights())}
    finally:
        moto.faults()
    # Services with endpoints of their own are told of without a call: none is approved here.
    assert {proofs.pop(name).request for name in SERVICES} == {"approved endpoints"}
    assert [name for name, proof in proofs.items() if not proof.allowed] == ["machine"]
    assert (proofs["machine"].request, proofs["machine"].detail) == ("DryRun RunInstances", "HTTP 403")
    assert all(proof.request_id for proof in proofs.values())


@pytest.mark.parametrize(
    ("action", "verb"),
    [
        pytest.param("StartInstances", "start", id="start"),
        pytest.param("StopInstances", "stop", id="stop"),
        pytest.param("RebootInstances", "reboot", id="reboot"),
        pytest.param("TerminateInstances", "destroy", id="destroy"),
    ],
)
def test_a_right_to_act_that_is_gone_is_a_verb_that_is_lacking(moto: RunningCloud, action: str, verb: str) -> None:
    """Asked of a machine of ours, which goes on; the capability is allowed, and the detail names the refused call."""

    async def story(driver: Any) -> None:
        ours = await driver.create_machine(replace(spec(f"act-{verb}"), tags={"crossway-machine": verb}))
        assert (await driver.prove("machine")).lacking == CANNOT
        moto.faults({"match": action, "kind": "denied"})
        try:
            proof = await driver.prove("machine")
        finally:
            moto.faults()
        assert (proof.allowed, proof.lacking) == (True, (verb, *CANNOT))
        assert re.search(rf"; may not {verb}: DryRun {action}: HTTP 403 \S+", proof.detail)
        found = await driver.machine(ours.cloud_id)
        assert found is not None
        assert found.status is MachineStatus.RUNNING

    on(moto.driver(), story)


async def states(driver: CloudDriver) -> dict[str, MachineStatus]:
    """Return where each machine stands; moto gives one that is started again another address."""
    return {each.cloud_id: each.status for each in await listed(driver, "machine")}


@pytest.mark.parametrize("denied", [None, "StartInstances"], ids=["all allowed", "start denied"])
def test_a_server_without_dry_runs_harms_no_machine_when_it_is_asked_for_rights(
    moto: RunningCloud, denied: str | None
) -> None:
    """Where what was asked for as a dry run is done, only starting a running machine was asked for, or nothing."""

    async def story(driver: Any) -> None:
        await driver.create_machine(replace(spec(f"wet-{denied}"), tags={"crossway-machine": "wet"}))
        before = await states(driver)
        refused = [{"match": denied, "kind": "denied"}] if denied else []
        moto.faults(*refused, *({"match": action, "kind": "not-dry"} for action in NOT_DRY))
        try:
            proof = await driver.prove("machine")
        finally:
            moto.faults()
        assert proof.lacking == (("start", *CANNOT) if denied else CANNOT)
        assert await states(driver) == before

    on(moto.driver(), story)


def test_a_stopped_machine_is_asked_for_no_rights(moto: RunningCloud) -> None:
    """To start it would be a deed, where dry runs are not known: it is left alone."""

    async def story(driver: Any) -> None:
        await driver.create_machine(replace(spec("stopped"), tags={"crossway-machine": "stopped"}))
        for each in await listed(driver, "machine"):
            if "crossway-machine" in each.tags and each.status is MachineStatus.RUNNING:
                await driver.act(each.cloud_id, MachineAction.STOP)
        before = await states(driver)
        moto.faults({"match": "StartInstances", "kind": "not-dry"})
        try:
            await driver.prove("machine")
        finally:
            moto.faults()
        assert await states(driver) == before

    on(moto.driver(), story)


@pytest.mark.parametrize("kind", [AssetKind.VOLUME, AssetKind.SNAPSHOT])
def test_a_server_without_dry_runs_has_nothing_more_when_it_is_asked_for_rights(
    moto: RunningCloud, kind: AssetKind
) -> None:
    """Though it takes any zone, as none should: no volume is there that was not there before."""

    async def story(driver: Any) -> None:
        before = await listed(driver, "volume")
        moto.faults({"match": "Create*", "kind": "not-dry"})
        try:
            with suppress(CloudMisbehaved):
                assert (await driver.assets.prove(kind)).allowed
        finally:
            moto.faults()
        assert await listed(driver, "volume") == before

    on(moto.driver(), story)


def test_options_narrow_sizes_and_images(moto: RunningCloud) -> None:
    """The account's options decide what is on offer."""
    options = {"sizes": "t3.micro, t3.small", "image_owner": "136693071363", "image_names": "debian-12-*"}

    async def story(driver: Any) -> None:
        assert {size.cloud_id for size in await listed(driver, "size")} == {"t3.micro", "t3.small"}
        assert [image.name for image in await listed(driver, "image")] == ["debian-12-amd64"]

    on(moto.driver(options=options), story)


def test_a_machine_can_be_placed(moto: RunningCloud) -> None:
    """A location from the list is accepted by a create."""

    async def story(driver: Any) -> None:
        zone = (await listed(driver, "location"))[0]
        assert zone.cloud_id.startswith(REGION)
        assert (await driver.create_machine(spec("placed", location=zone.cloud_id))).cloud_id

    on(moto.driver(), story)


def test_an_unknown_region_is_refused_when_the_driver_is_built(moto: RunningCloud) -> None:
    """A region EC2 does not have is told with its field, before anything is sent."""
    with pytest.raises(InvalidValue) as caught:
        moto.driver(region="mars-north-1")
    assert caught.value.field == "region"


def test_pages_without_end_are_given_up_at_the_limit() -> None:
    """A cloud that always has another token is asked for as many pages as there may be, and not one more."""
    asked: list[str] = []

    class Endless:
        def page(self, params: Mapping[str, str]) -> Any:
            asked.append(params.get("NextToken", ""))
            return fromstring(f'<R xmlns="{NAMESPACE}"><s><item/></s><nextToken>t{len(asked)}</nextToken></R>')

    with pytest.raises(CloudMisbehaved, match="pages"):
        list(ec2_pages.items(Endless(), {}, "s", page_count=5, pages_limit=3))
    assert asked == ["", "t1", "t2"]
