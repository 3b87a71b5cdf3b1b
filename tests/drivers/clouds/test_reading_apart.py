"""Long lists, read by a process of their own: whole or not at all, through the tunnel, and gone afterwards."""

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.clouds import Listing
from catalog.errors import CloudMisbehaved, CloudTimedOut, CloudUnavailable
from catalog.ports import Address
from drivers.clouds.policy import CallPolicy
from drivers.registry import build
from tests.support.clouds import RunningCloud, moto_cloud
from tests.support.dialers import LoopbackDialer
from tests.support.hostile import Behaviour, drip, endless_body, hang, hostile, http, raw
from tests.support.large_cloud import account, large_cloud

ROWS = 1_200
POLICY = CallPolicy(deadline_s=60, list_deadline_s=60)


@pytest.fixture(scope="module")
def large() -> Iterator[Address]:
    """An OpenStack with more flavors and images than libcloud reads."""
    with large_cloud(ROWS) as address:
        yield address


@pytest.fixture(scope="module")
def endless() -> Iterator[Address]:
    """An OpenStack whose every page has a next one."""
    with large_cloud(10, endless=True) as address:
        yield address


def on(driver: Any, story: Callable[[Any], Awaitable[Any]]) -> Any:
    """Run ``story`` with ``driver`` and return what it returns."""

    async def run() -> Any:
        try:
            async with asyncio.timeout(90):
                return await story(driver)
        finally:
            await driver.close()

    return asyncio.run(run())


def listed(listing: Listing) -> list[dict[str, Any]]:
    """Return the rows of ``listing``."""
    return [row for batch in listing.batches for row in json.loads(batch)]


def readers() -> dict[int, tuple[str, str]]:
    """Return command line and environment of each reader that this process started and that has not ended."""
    told: dict[int, tuple[str, str]] = {}
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended while the list was read
            for child in (task / "children").read_text().split():
                command, environment = (Path(f"/proc/{child}/{name}").read_text() for name in ("cmdline", "environ"))
                if "drivers.clouds.reader" in command:
                    told[int(child)] = command, environment
    return told


class Watching(LoopbackDialer):
    """Dials, and does something more first."""

    def __init__(self, first: Callable[[], None]) -> None:
        super().__init__()
        self._first = first

    def dial(self, address: Address, *, timeout_s: float) -> socket.socket:
        """Dial as the contract says."""
        self._first()
        return super().dial(address, timeout_s=timeout_s)


@pytest.mark.parametrize("capability", ["size", "image"])
def test_a_long_list_is_whole(large: Address, capability: str) -> None:
    """All 1,200 rows come, each once, with what Glance and Nova say of them; no reader is left behind."""
    listing = on(build(account(large), LoopbackDialer(), POLICY), lambda driver: driver.listing(capability))
    found = listed(listing)
    assert listing.count == len({row["cloud_id"] for row in found}) == ROWS
    if capability == "image":
        assert (found[1]["architecture"], found[1]["os_family"], found[1]["os_version"]) == ("x86_64", "debian", "12")
    else:
        assert (found[33]["vcpu"], found[33]["memory_gib"], found[33]["disk_gib"]) == (2, 17, 43)
    assert readers() == {}


def test_every_connection_goes_through_the_tunnel_and_no_secret_is_shown(large: Address) -> None:
    """The reader's connections are dialled here; neither its command line nor its environment holds the secret."""
    seen: list[tuple[str, str]] = []
    dialer = Watching(lambda: seen.extend(readers().values()))
    on(build(account(large), dialer, POLICY), lambda driver: driver.listing("image"))
    assert set(dialer.dialled) == {large}
    assert seen
    assert not any("canary" in text for told in seen for text in told)


def test_a_short_list_needs_no_process(large: Address) -> None:
    """What a thread may bring home is brought home by one."""
    seen: list[Any] = []
    policy = replace(POLICY, short_list_rows=5_000, short_list_bytes=8 * 1024 * 1024)
    driver = build(account(large), Watching(lambda: seen.extend(readers())), policy)
    assert on(driver, lambda driver: driver.listing("size")).count == ROWS
    assert seen == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"row_limit": 300}, "longer", id="rows"),
        pytest.param({"pages_limit": 7}, "pages", id="pages in a thread"),
        pytest.param({"pages_limit": 40}, "pages", id="pages in a process"),
    ],
)
def test_pages_without_end_are_refused(endless: Address, changes: dict[str, int], reason: str) -> None:
    """Each of ten rows that nobody listed yet: given up at the first limit, and nothing of it is told."""
    driver = build(account(endless), LoopbackDialer(), replace(POLICY, **changes))
    with pytest.raises(CloudMisbehaved, match=reason):
        on(driver, lambda driver: driver.listing("image"))


def test_a_list_past_the_row_limit_is_refused_not_cut(large: Address) -> None:
    """One row more than the limit makes no list."""
    for limit, whole in ((ROWS, True), (ROWS - 1, False)):
        driver = build(account(large), LoopbackDialer(), replace(POLICY, row_limit=limit))
        if whole:
            assert on(driver, lambda driver: driver.listing("size")).count == ROWS
        else:
            with pytest.raises(CloudMisbehaved):
                on(driver, lambda driver: driver.listing("size"))


def test_a_reader_that_dies_is_no_list(large: Address) -> None:
    """Killed in the middle, it is CloudUnavailable: the same list may be read later; nothing is left behind."""

    def kill() -> None:
        for reader in readers():
            os.kill(reader, signal.SIGKILL)

    with pytest.raises(CloudUnavailable):
        on(build(account(large), Watching(kill), POLICY), lambda driver: driver.listing("image"))
    assert readers() == {}


@pytest.mark.parametrize(
    ("behave", "expected"),
    [
        pytest.param(hang, CloudTimedOut, id="no answer"),
        pytest.param(drip, CloudTimedOut, id="byte by byte"),
        pytest.param(endless_body, CloudMisbehaved, id="a body without end"),
        pytest.param(
            raw(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"),
            CloudMisbehaved,
            id="a way to a metadata address",
        ),
        pytest.param(http(b'{"token": {"catalog": 7}}', status="201 Created"), CloudMisbehaved, id="wrong types"),
        pytest.param(http(b"[" * 200_000), CloudMisbehaved, id="deep nesting"),
    ],
)
def test_a_hostile_cloud_costs_itself_alone(behave: Behaviour, expected: type[Exception]) -> None:
    """Whatever it does, its own call ends in time with a reason, only it was dialled, and the reader is gone."""
    # Those that would wait for ever are waited for less long.
    policy = CallPolicy(list_deadline_s=4 if expected is CloudTimedOut else 60)

    async def story() -> None:
        async with hostile(behave) as address:
            dialer = LoopbackDialer()
            driver: Any = build(account(address), dialer, policy)
            driver._long.add("image")
            try:
                with pytest.raises(expected):
                    await driver.listing("image")
            finally:
                await driver.close()
            assert set(dialer.dialled) == {address}

    asyncio.run(story())
    for thread in threading.enumerate():
        if thread.name.startswith("cloud-"):
            thread.join(20)
    assert readers() == {}


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """EC2, over TLS."""
    with moto_cloud(tmp_path_factory.mktemp("moto")) as running:
        yield running


def test_ec2_tells_what_the_region_has(moto: RunningCloud) -> None:
    """Instance types are asked of the cloud, with processors and GPUs as it says; read apart, over its own TLS."""
    found = {row["cloud_id"]: row for row in listed(on(moto.driver(), lambda driver: driver.listing("size")))}
    assert len(found) > 100
    assert (found["t3.micro"]["vcpu"], found["t3.micro"]["memory_gib"]) == (2, 1)
    assert (found["t4g.small"]["architecture"], found["t3.micro"]["architecture"]) == ("arm64", "x86_64")
    assert (found["g4dn.12xlarge"]["gpu_count"], found["t3.micro"]["gpu_count"]) == (4, 0)
    images = {row["name"]: row for row in listed(on(moto.driver(), lambda driver: driver.listing("image")))}
    assert images["debian-12-amd64"]["architecture"] == "x86_64"
