"""The simulated cloud through libcloud: paging, truncation, and exactly one machine without a client token."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.clouds import MachineSpec
from catalog.errors import CloudDisconnected, CloudMisbehaved, CloudRefused, CloudUnavailable
from drivers.clouds.policy import CallPolicy
from drivers.clouds.simulated import SimulatedNodeDriver
from tests.support.clouds import RunningCloud, simulated_cloud
from tests.support.dialers import LoopbackDialer
from tests.support.listed import listed


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A simulated cloud that pages its lists by two."""
    with simulated_cloud(tmp_path_factory.mktemp("simulated"), page_count=2) as running:
        yield running


def on(cloud: RunningCloud, story: Callable[[Any], Awaitable[Any]], dialer: LoopbackDialer | None = None) -> Any:
    """Run ``story`` with a driver of ``cloud`` and return what it returns."""

    async def run() -> Any:
        driver = cloud.driver(dialer)
        try:
            return await story(driver)
        finally:
            await driver.close()

    return asyncio.run(run())


def spec(order: str, **changes: Any) -> MachineSpec:
    """Return what to create for ``order``."""
    facts: dict[str, Any] = {"size": "s1", "image": "img-debian-12", "tags": {"crossway-order": order}, **changes}
    return MachineSpec(name="same-name", **facts)


def test_all_pages_together_are_limited_not_only_each(cloud: RunningCloud) -> None:
    """Ten pages of which each may be taken are refused when together they are more than one call may bring home."""

    async def story(driver: Any) -> int:
        for number in range(20):
            await driver.create_machine(spec(f"long-{number}", tags={"batch": "long", "crossway-order": str(number)}))
        listed = len(await driver.find_machines({"batch": "long"}))
        small = cloud.driver(policy=CallPolicy(deadline_s=20, body_limit_bytes=1000))
        try:
            assert await small.find_machines({"batch": "long", "crossway-order": "7"}), "a page is short enough"
            with pytest.raises(CloudMisbehaved, match="all of one call"):
                await small.find_machines({"batch": "long"})
        finally:
            await small.close()
        return listed

    assert on(cloud, story) == 20


def test_pages_are_joined(cloud: RunningCloud) -> None:
    """Five machines in pages of two are five machines; the three pages come over one kept connection."""
    dialer = LoopbackDialer()

    async def story(driver: Any) -> None:
        for number in range(5):
            await driver.create_machine(spec(f"page-{number}", tags={"batch": "pages", "crossway-order": str(number)}))
        found = await driver.find_machines({"batch": "pages"})
        assert [machine.tags["crossway-order"] for machine in found] == ["0", "1", "2", "3", "4"]

    on(cloud, story, dialer)
    assert len(dialer.dialled) == 6  # five creates, one list


@pytest.mark.parametrize(
    ("kind", "made"), [pytest.param("lost-reply", 1, id="after creating"), pytest.param("unavailable", 0, id="before")]
)
def test_after_a_503_the_tags_tell_whether_the_machine_was_made(cloud: RunningCloud, kind: str, made: int) -> None:
    """The same error comes before and after creating; looking by tags tells the two apart, and the ledger agrees."""
    cloud.faults({"match": "POST /v1/machines", "kind": kind, "times": 1})

    async def story(driver: Any) -> None:
        with pytest.raises(CloudUnavailable):
            await driver.create_machine(spec(f"lost-{kind}"))
        assert len(await driver.find_machines({"crossway-order": f"lost-{kind}"})) == made

    on(cloud, story)
    assert sum(entry["tags"] == {"crossway-order": f"lost-{kind}"} for entry in cloud.ledger()) == made


def test_a_read_survives_a_cut_connection_and_a_create_is_sent_once(cloud: RunningCloud) -> None:
    """The cloud cuts one connection under a list: it is asked again. Under a create: it is not, by the cloud's word."""

    def hits() -> list[int]:
        return [rule["hits"] for rule in json.loads(cloud.control("GET", "/_faults")[1])]

    async def story(driver: Any) -> None:
        cloud.faults({"match": "GET *", "kind": "drop", "times": 1})
        await listed(driver, "size")
        assert hits() == [1]
        cloud.faults({"match": "POST *", "kind": "drop"})
        with pytest.raises(CloudDisconnected):
            await driver.create_machine(spec("cut"))
        assert hits() == [1]

    try:
        on(cloud, story)
    finally:
        cloud.faults()
    assert not [entry for entry in cloud.ledger() if entry["tags"] == {"crossway-order": "cut"}]


def test_names_are_not_unique_and_asking_twice_makes_two(cloud: RunningCloud) -> None:
    """The cloud does not help: who does not look first gets a second machine."""

    async def story(driver: Any) -> int:
        await driver.create_machine(spec("twice"))
        await driver.create_machine(spec("twice"))
        return len(await driver.find_machines({"crossway-order": "twice"}))

    assert on(cloud, story) == 2


@pytest.mark.parametrize("change", [{"size": "s999"}, {"image": "none"}, {"location": "moon"}, {"key_pair": "none"}])
def test_what_the_cloud_does_not_have_is_refused(cloud: RunningCloud, change: dict[str, str]) -> None:
    """A refusal is CloudRefused, and its detail repeats the cloud's own words."""
    with pytest.raises(CloudRefused) as caught:
        on(cloud, lambda driver: driver.create_machine(spec("refused", **change)))
    assert "no such" in caught.value.detail


@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"items": [], "total": 3, "next": None}, id="fewer rows than told"),
        pytest.param({"items": [], "total": 0, "next": "1"}, id="pages without end"),
    ],
)
def test_a_truncated_list_is_noticed(page: dict[str, Any]) -> None:
    """A list that does not hold what it says it holds is refused as a whole."""

    class Answer:
        object = page

    class Connection:
        @staticmethod
        def request(_path: str, **_: Any) -> Answer:
            return Answer()

    driver: Any = SimulatedNodeDriver.__new__(SimulatedNodeDriver)
    driver.connection = Connection()
    with pytest.raises(CloudMisbehaved):
        driver.list_nodes()


def test_location_and_key_pair_reach_the_cloud(tmp_path: Path) -> None:
    """What a machine is asked to have is what the cloud was told."""
    with simulated_cloud(tmp_path) as fresh:
        on(fresh, lambda driver: driver.create_machine(spec("all", location="hall-b", key_pair="operations")))
        row = fresh.ledger()[0]
    assert (row["verb"], row["name"], row["tags"]) == ("create", "same-name", {"crossway-order": "all"})
