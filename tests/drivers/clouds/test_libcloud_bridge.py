"""Calls end in time, in their own platform's threads, with a catalog error or a value."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from libcloud.common.exceptions import BaseHTTPError, RateLimitReachedError
from libcloud.common.types import InvalidCredsError, LibcloudError, MalformedResponseError

from catalog.clouds import CloudAccount
from catalog.errors import (
    CatalogError,
    CloudCredentialsRefused,
    CloudDisconnected,
    CloudMisbehaved,
    CloudRefused,
    CloudTimedOut,
    CloudUnavailable,
)
from catalog.model.ids import PlatformId
from catalog.ports import Address, ApprovedEndpoint
from catalog.secrets import Secret
from drivers.clouds.libcloud_bridge import Bridge
from drivers.clouds.policy import CallPolicy
from tests.support.clouds import simulated_cloud
from tests.support.dialers import LoopbackDialer


def bridge(**limits: Any) -> Bridge:
    """Return a bridge to nowhere with ``limits``."""
    endpoint = ApprovedEndpoint(url="http://cloud.example", dial=Address(host="127.0.0.1", port=1))
    account = CloudAccount(
        platform=PlatformId("p"), provider="any", region="r", endpoint=endpoint, account="name", secret=Secret("secret")
    )
    return Bridge(account, LoopbackDialer(), CallPolicy(**{"deadline_s": 20.0, **limits}))


def raising(error: Exception) -> Callable[[], None]:
    """Return a driver call that raises ``error``."""

    def call() -> None:
        raise error

    return call


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        pytest.param(StopIteration("self"), CloudMisbehaved, id="StopIteration, which would hang an await"),
        pytest.param(KeyError("id"), CloudMisbehaved, id="missing key"),
        pytest.param(AttributeError("text"), CloudMisbehaved, id="missing element"),
        pytest.param(Exception("bare"), CloudMisbehaved, id="bare Exception"),
        pytest.param(LibcloudError("odd"), CloudMisbehaved, id="libcloud's root"),
        pytest.param(MalformedResponseError("bad", "body"), CloudMisbehaved, id="malformed"),
        pytest.param(RecursionError("deep"), CloudMisbehaved, id="too deep"),
        pytest.param(InvalidCredsError("no"), CloudCredentialsRefused, id="credentials"),
        pytest.param(BaseHTTPError(401, "who"), CloudCredentialsRefused, id="401"),
        pytest.param(BaseHTTPError(403, "may not"), CloudRefused, id="403"),
        pytest.param(BaseHTTPError(404, {"not": "text"}), CloudRefused, id="404 with a JSON message"),
        pytest.param(BaseHTTPError(408, "late"), CloudUnavailable, id="408"),
        pytest.param(RateLimitReachedError(headers={}), CloudUnavailable, id="429"),
        pytest.param(BaseHTTPError(503, "busy"), CloudUnavailable, id="503"),
        pytest.param(TimeoutError("slow"), CloudTimedOut, id="socket timeout"),
        pytest.param(ConnectionResetError("cut"), CloudDisconnected, id="reset"),
    ],
)
def test_whatever_a_driver_raises_becomes_a_catalog_error(raised: Exception, expected: type[CatalogError]) -> None:
    """Every error arrives, translated in the thread and not chained to an original that may hold secrets."""

    async def run() -> None:
        target = bridge()
        try:
            await target.call(raising(raised))
        finally:
            await target.close()

    with pytest.raises(CatalogError) as caught:
        asyncio.run(run())
    assert type(caught.value) is expected
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_value_comes_back_and_may_be_none() -> None:
    """What the call returns is returned, None included."""

    async def run() -> tuple[int, None]:
        target = bridge()
        try:
            return await target.call(lambda: 7), await target.call(lambda: None)
        finally:
            await target.close()

    assert asyncio.run(run()) == (7, None)


@pytest.mark.parametrize(("repeatable", "runs"), [(True, 2), (False, 1)], ids=["a read", "anything else"])
def test_only_a_read_is_run_again_when_its_connection_breaks(*, repeatable: bool, runs: int) -> None:
    """A read is run once more, and no oftener; what may change something is run once."""
    ran: list[int] = []

    def breaking() -> None:
        ran.append(len(ran))
        raise ConnectionResetError("cut")

    async def run() -> None:
        target = bridge()
        try:
            with pytest.raises(CloudDisconnected):
                await target.call(breaking, repeatable=repeatable)
        finally:
            await target.close()

    asyncio.run(run())
    assert len(ran) == runs


def test_an_answer_is_not_asked_for_again() -> None:
    """A cloud that answers, if only with an error, has been reached: a read is not repeated for that."""
    ran: list[int] = []

    def refused() -> None:
        ran.append(len(ran))
        raise BaseHTTPError(503, "busy")

    async def run() -> None:
        target = bridge()
        try:
            with pytest.raises(CloudUnavailable):
                await target.call(refused, repeatable=True)
        finally:
            await target.close()

    asyncio.run(run())
    assert len(ran) == 1


def test_a_stuck_thread_keeps_its_slot_until_it_returns() -> None:
    """The caller is told the outcome is unknown; the next caller that nothing was sent; then the slot is free."""
    release = threading.Event()

    async def run() -> str:
        target = bridge(deadline_s=0.2, threads_count=1)
        try:
            with pytest.raises(CloudTimedOut):
                await target.call(lambda: release.wait(60))
            with pytest.raises(CloudUnavailable):
                await target.call(lambda: "never started")
            release.set()
            return await target.call(lambda: "free again")
        finally:
            release.set()
            await target.close()

    assert asyncio.run(run()) == "free again"


def test_too_many_waiting_calls_are_turned_away() -> None:
    """Past the waiting limit a call fails at once instead of joining a queue without end."""
    release = threading.Event()

    async def run() -> None:
        target = bridge(threads_count=1, waiting_limit=2)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(target.call(release.wait))
                group.create_task(target.call(release.wait))
                await asyncio.sleep(0)
                with pytest.raises(CloudUnavailable):
                    await target.call(lambda: None)
                release.set()
        finally:
            release.set()
            await target.close()

    asyncio.run(run())


def test_a_closed_bridge_says_so() -> None:
    """After close no call starts; closing twice is harmless."""

    async def run() -> None:
        target = bridge()
        await target.close()
        await target.close()
        await target.call(lambda: None)

    with pytest.raises(CloudUnavailable):
        asyncio.run(run())


def test_a_hanging_platform_does_not_hold_up_another(tmp_path: Path) -> None:
    """Every thread of one cloud hangs, more calls wait, and calls to another cloud return meanwhile."""
    (tmp_path / "dead").mkdir()
    (tmp_path / "alive").mkdir()

    async def run(dead: Any, alive: Any, dialler: LoopbackDialer) -> list[bool]:
        hung, healthy = dead.driver(dialler, policy=CallPolicy(deadline_s=3.0)), alive.driver()
        outcomes: list[bool] = []

        async def hang() -> None:
            with pytest.raises((CloudTimedOut, CloudUnavailable)):
                await hung.log_in()
            outcomes.append(True)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(12):
                    group.create_task(hang())
                await asyncio.to_thread(dialler.wait_for, 4)
                for _ in range(5):
                    assert (await healthy.log_in()).services
                assert outcomes == []  # all twelve still hang
            return outcomes
        finally:
            await hung.close()
            await healthy.close()

    with simulated_cloud(tmp_path / "dead") as dead, simulated_cloud(tmp_path / "alive") as alive:
        dead.faults({"match": "*", "kind": "hang"})
        assert len(asyncio.run(run(dead, alive, LoopbackDialer()))) == 12
