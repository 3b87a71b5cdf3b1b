"""Providers at which machines are made: one is found again whatever was lost, and every "no" is understood.

Each against its emulated server, which is written from the provider's documentation; no real one was ever asked.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.clouds import CloudDriver, MachineAction, MachineSpec
from catalog.errors import (
    CloudCredentialsRefused,
    CloudDisconnected,
    CloudError,
    CloudMisbehaved,
    CloudQuotaExhausted,
    CloudRefused,
    CloudUnavailable,
)
from tests.support.clouds import on_driver
from tests.support.emulated import EMULATORS, IMAGES, SIZES
from tests.support.emulated.serving import TOKEN, Answer, Asked, EmulatedCloud, served
from tests.support.listed import listed

PLACES = {
    "cloudstack": "9a0a0f6c-0000-4000-8000-000000000001",
    "digitalocean": "ams3",
    "linode": "us-east",
    "vultr": "ewr",
}
# What each API wants to be told of the fourth key pair.
KEYS = {
    "cloudstack": "key 3", "digitalocean": 512193, "linode": "ssh-ed25519 AAAA3", "vultr": "3b8066a7-0003",
}  # fmt: skip
OWNER = "gateway_01JDN7ZK3V8X9Q2W4R6T8Y0ABC"


@pytest.fixture(params=sorted(EMULATORS))
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmulatedCloud]:
    """An emulated provider without machines."""
    with served(EMULATORS[request.param](), tmp_path) as emulated:
        yield emulated


def spec(cloud: EmulatedCloud, number: int = 0, **changes: Any) -> MachineSpec:
    """Return what to create as the provisioner asks for it, its ids as long as they are."""
    machine = f"machine_01JDN7ZK3V8X9Q2W4R6T8{number:05}"
    facts: dict[str, Any] = {
        "name": f"web-01jdn7zk3v8x9q2w4r6t8{number:05}", "size": SIZES[cloud.provider],
        "image": IMAGES[cloud.provider], "tags": {"crossway-owner": OWNER, "crossway-machine": machine},
    }  # fmt: skip
    return MachineSpec(**{**facts, **changes})


def test_every_machine_is_listed_over_several_pages(cloud: EmulatedCloud) -> None:
    """Seven machines on pages of three are all there, with what they are made of, and each is found by its own mark."""

    async def story(driver: CloudDriver) -> None:
        made = [await driver.create_machine(spec(cloud, number)) for number in range(7)]
        before = len(cloud.emulator.asked)
        there = {machine.cloud_id: machine for machine in await listed(driver, "machine")}
        assert len(cloud.emulator.asked) - before == 3
        assert set(there) == {machine.cloud_id for machine in made}
        for number, machine in enumerate(made):
            wanted = spec(cloud, number)
            found = await driver.find_machines(wanted.tags)
            assert [each.cloud_id for each in found] == [machine.cloud_id]
            told = there[machine.cloud_id]
            assert (told.name, told.size, told.image, told.tags) == (
                wanted.name,
                wanted.size,
                wanted.image,
                wanted.tags,
            )
        assert len(await driver.find_machines({"crossway-owner": OWNER})) == 7

    on_driver(cloud, story)


def test_a_creation_whose_answer_was_lost_is_found_again(cloud: EmulatedCloud) -> None:
    """The outcome is unknown, nothing is sent twice, and the machine is there when it is looked for."""

    async def story(driver: CloudDriver) -> None:
        cloud.emulator.loses = cloud.emulator.is_creation
        with pytest.raises(CloudDisconnected):
            await driver.create_machine(spec(cloud))
        assert len(cloud.emulator.machines) == 1
        found = await driver.find_machines(spec(cloud).tags)
        assert [machine.cloud_id for machine in found] == list(cloud.emulator.machines)

    on_driver(cloud, story)


def test_a_list_that_changes_while_it_is_read_decides_nothing(cloud: EmulatedCloud) -> None:
    """A machine that is deleted between two pages moves another out of sight: that list is none."""

    def delete_one(asked: Asked) -> None:
        del asked
        cloud.emulator.machines.pop(next(iter(cloud.emulator.machines)))
        cloud.emulator.meanwhile = None

    async def story(driver: CloudDriver) -> None:
        for number in range(7):
            await driver.create_machine(spec(cloud, number))
        cloud.emulator.meanwhile = delete_one
        with pytest.raises(CloudUnavailable):
            await driver.find_machines(spec(cloud, 3).tags)
        assert len(await driver.find_machines(spec(cloud, 3).tags)) == 1

    on_driver(cloud, story)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, CloudCredentialsRefused), (429, CloudUnavailable), (500, CloudUnavailable), (503, CloudUnavailable)],
)
@pytest.mark.parametrize("what", ["list", "create"])
def test_every_class_of_no_has_its_error(
    cloud: EmulatedCloud, what: str, status: int, expected: type[CloudError]
) -> None:
    """Who may not, who must wait and what is broken are told apart; how long to wait is passed on, the token is not."""
    answer = cloud.emulator.refusal(status, f"no, {TOKEN}")
    cloud.emulator.answers_next(Answer(status=status, body=answer.body, headers={"Retry-After": "7"}))
    with pytest.raises(expected) as caught:
        on_driver(
            cloud, lambda driver: listed(driver, "machine") if what == "list" else driver.create_machine(spec(cloud))
        )
    assert type(caught.value) is expected
    assert TOKEN not in str(caught.value) + caught.value.detail
    assert len(cloud.emulator.asked) == 1
    if isinstance(caught.value, CloudUnavailable):
        assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("what", ["list", "create"])
def test_what_an_account_may_not_is_no_doubt_about_who_it_is(cloud: EmulatedCloud, what: str) -> None:
    """A refusal for good, by the provider's own number for it: the credentials are not blamed."""
    number = 531 if cloud.provider == "cloudstack" else 403
    cloud.emulator.answers_next(cloud.emulator.refusal(number, f"not allowed, {TOKEN}"))
    with pytest.raises(CloudRefused) as caught:
        on_driver(
            cloud, lambda driver: listed(driver, "machine") if what == "list" else driver.create_machine(spec(cloud))
        )
    assert type(caught.value) is CloudRefused
    assert not caught.value.retryable
    assert TOKEN not in str(caught.value) + caught.value.detail
    assert len(cloud.emulator.asked) == 1


@pytest.mark.parametrize("body", [{}, [], {"data": 7}, {"droplets": [{}], "instances": [{}], "data": [{}]}, None])
@pytest.mark.parametrize("what", ["list", "create"])
def test_an_answer_of_another_shape_says_nothing(cloud: EmulatedCloud, what: str, body: object) -> None:
    """It is neither an empty list nor a machine that was not made: what happened is unknown, and named so."""
    cloud.emulator.answers_next(Answer(status=200, body=body))
    with pytest.raises(CloudMisbehaved):
        on_driver(
            cloud, lambda driver: listed(driver, "machine") if what == "list" else driver.create_machine(spec(cloud))
        )
    assert len(cloud.emulator.asked) == 1


@pytest.mark.parametrize("told", ["Wed, 21 Oct 2099 07:28:00 GMT", "-1", "soon"])
def test_a_pause_that_is_no_number_of_seconds_is_none(cloud: EmulatedCloud, told: str) -> None:
    """What the header says otherwise is the cloud's clock or nonsense; the call may still be repeated."""
    body = cloud.emulator.refusal(503, "later").body
    cloud.emulator.answers_next(Answer(status=503, body=body, headers={"Retry-After": told}))
    with pytest.raises(CloudUnavailable) as caught:
        on_driver(cloud, lambda driver: listed(driver, "machine"))
    assert caught.value.retry_after_s is None


def test_an_account_that_may_have_no_more_is_told_so(cloud: EmulatedCloud) -> None:
    """Nothing was made, and the same order may succeed when another machine is gone."""
    cloud.emulator.machines_limit = 1

    async def story(driver: CloudDriver) -> None:
        first = await driver.create_machine(spec(cloud, 1))
        with pytest.raises(CloudQuotaExhausted):
            await driver.create_machine(spec(cloud, 2))
        assert await driver.find_machines(spec(cloud, 2).tags) == []
        await driver.act(first.cloud_id, MachineAction.DESTROY)
        await driver.create_machine(spec(cloud, 2))

    on_driver(cloud, story)


@pytest.mark.parametrize("change", [{"size": "s-none"}, {"image": "999999"}, {"location": "nowhere"}])
def test_what_the_cloud_does_not_have_is_refused_for_good(cloud: EmulatedCloud, change: dict[str, str]) -> None:
    """A clear no: the same call would be refused again, and nothing was made."""
    with pytest.raises(CloudRefused) as caught:
        on_driver(cloud, lambda driver: driver.create_machine(spec(cloud, **change)))
    assert not caught.value.retryable
    assert cloud.emulator.machines == {}


def test_an_order_s_location_and_key_are_what_is_asked_for(cloud: EmulatedCloud) -> None:
    """The key pair is found by the name under which it is listed, on whichever page; the location is the order's."""

    async def story(driver: CloudDriver) -> None:
        keys = [item.cloud_id for item in await listed(driver, "key-pair")]
        assert len(keys) == 4
        await driver.create_machine(spec(cloud, location=PLACES[cloud.provider], key_pair=keys[3]))

    on_driver(cloud, story)
    (creation,) = cloud.emulator.creations
    assert cloud.emulator.ordered(creation) == (PLACES[cloud.provider], KEYS[cloud.provider])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"name": "no spaces"}, "name", id="name"),
        pytest.param({"tags": {"crossway-owner": "a" * 300, "crossway-machine": "m"}}, "tags", id="mark too long"),
        pytest.param({"tags": {"crossway-owner": "a b", "crossway-machine": "m"}}, "tags", id="mark with a space"),
        pytest.param({"key_pair": "nobody's"}, "key_pair", id="key"),
    ],
)
def test_what_the_provider_would_change_or_lacks_is_not_sent(
    cloud: EmulatedCloud, change: dict[str, Any], field: str
) -> None:
    """A name or mark that would not be kept as it is, and a key that is not there, are refused before a creation."""
    with pytest.raises(CloudRefused) as caught:
        on_driver(cloud, lambda driver: driver.create_machine(spec(cloud, **change)))
    assert caught.value.field == field
    assert cloud.emulator.creations == []


def test_without_any_location_nothing_is_sent(cloud: EmulatedCloud) -> None:
    """An order that names none, at a platform that was enrolled without a region, is told what is missing."""
    with pytest.raises(CloudRefused) as caught:
        on_driver(cloud, lambda driver: driver.create_machine(spec(cloud)), region="")
    assert caught.value.field == "location"
    assert cloud.emulator.creations == []


def test_machines_of_others_are_listed_and_never_taken_for_ours(cloud: EmulatedCloud) -> None:
    """What others wrote on a machine neither hides it nor makes it one of ours."""

    async def story(driver: CloudDriver) -> None:
        made = await driver.create_machine(spec(cloud))
        cloud.emulator.bear(made.cloud_id, ["web", "env:test", "cw-machine"])
        (there,) = await listed(driver, "machine")
        assert (there.cloud_id, there.tags) == (made.cloud_id, {})
        assert await driver.find_machines({"crossway-owner": OWNER}) == []

    on_driver(cloud, story)


def test_an_account_that_may_only_read_is_known_before_an_order(cloud: EmulatedCloud) -> None:
    """Where the provider tells of rights, machines are refused with the proof, and nothing was made to find that out.

    DigitalOcean tells nothing of a token's scopes: there the first creation is refused.
    """
    told = cloud.provider != "digitalocean"
    for may in (True, False):
        cloud.emulator.may_create = may
        rights = {proof.capability: proof for proof in on_driver(cloud, lambda driver: driver.rights())}
        proof = on_driver(cloud, lambda driver: driver.prove("machine"))
        assert rights["machine"].allowed == proof.allowed == (may or not told)
        assert all(proof.allowed for capability, proof in rights.items() if capability != "machine")
        assert not told or (proof.request == rights["machine"].request and proof.detail)
    assert cloud.emulator.creations == []


def test_a_cloud_that_is_still_at_an_earlier_call_is_asked_again_later(cloud: EmulatedCloud) -> None:
    """It is no refusal: the same call may succeed in a moment. Vultr and CloudStack have no such answer."""
    if not hasattr(cloud.emulator, "busy"):
        assert cloud.provider in {"cloudstack", "vultr"}
        return

    async def story(driver: CloudDriver) -> None:
        made = await driver.create_machine(spec(cloud))
        await listed(driver, "machine")
        cloud.emulator.busy.add(made.cloud_id)  # type: ignore[attr-defined]  # as asked above
        with pytest.raises(CloudUnavailable):
            await driver.act(made.cloud_id, MachineAction.REBOOT)
        cloud.emulator.busy.clear()  # type: ignore[attr-defined]  # as asked above
        await driver.act(made.cloud_id, MachineAction.REBOOT)

    on_driver(cloud, story)
