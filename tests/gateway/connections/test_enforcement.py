"""What runs under a grant ends with it: driver calls lose their connection, tunnels end, late work is refused."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from catalog import consent
from catalog.clouds import CloudDriver, MachineSpec
from catalog.errors import CloudRefused, CloudTimedOut
from catalog.messages.handshake import Decision, GrantedCapability
from catalog.model.connection import ConnectionState
from catalog.model.consent import Grant, Side
from catalog.model.terms import Scope
from catalog.store import rows
from gateway.connections.enforcement import Enforcement
from tests.support.connecting import Connecting
from tests.support.waiting import until

NEVER_S = 3600.0  # a review that only a wake can bring
SPEC = MachineSpec(name="m", size="s1", image="i1", tags={})


@asynccontextmanager
async def enforced(world: Connecting, *, review_s: float = NEVER_S) -> AsyncIterator[Enforcement]:
    """Establish the platform's connection and keep it, with everything granted, under enforcement."""
    await asyncio.to_thread(world.accept_everything)
    connection = await asyncio.to_thread(world.request)
    enforcement = Enforcement(
        world.store.database, world.store.clock, world.clouds.calls, world.live, world.keeper.let_go, review_s=review_s
    )
    async with world.target(), world.keeping(), asyncio.TaskGroup() as tasks:
        await world.wait(connection, ConnectionState.ESTABLISHED)
        running = tasks.create_task(enforcement.run())
        try:
            yield enforcement
        finally:
            running.cancel()


async def grants(world: Connecting) -> dict[str, Grant]:
    """Return the grants by capability."""
    found = await world.store.database.read(lambda tx: rows.where(tx, Grant))
    return {each.capability: each for each in found}


async def revoke(world: Connecting, *capabilities: str) -> None:
    """Take grants back, as the API does."""
    held, now_s = await grants(world), world.store.now_s
    for capability in capabilities:
        await world.store.database.write(lambda tx, id_=held[capability].id: consent.revoke(tx, id_, now_s))  # type: ignore[misc]


async def suspend(world: Connecting) -> None:
    """Let the owner hold machines back."""
    held, now_s = await grants(world), world.store.now_s
    await world.store.database.write(lambda tx: consent.suspend(tx, held["machine"].id, Side.PLATFORM, now_s))


def narrowed(**changes: Any) -> Callable[[Connecting], Awaitable[None]]:
    """Return the deed that narrows the grant for machines."""

    async def deed(world: Connecting) -> None:
        request, now_s = (await grants(world))["machine"].request_id, world.store.now_s
        told: dict[str, Any] = {"capability": "machine", "verbs": ("create", "list", "destroy")}
        others = tuple(GrantedCapability(capability=name, verbs=("list",)) for name in ("size", "image"))
        decision = Decision(request_id=request, granted=(GrantedCapability(**told | changes), *others))
        await world.store.database.write(
            lambda tx: consent.record_decision(tx, platform_id=world.platform, decision=decision, now_s=now_s)
        )

    return deed


DEEDS: dict[str, Callable[[Connecting], Awaitable[None]]] = {
    "revoked": lambda world: revoke(world, "machine"),
    "suspended": suspend,
    "verb taken": narrowed(verbs=("list", "destroy")),
    "size taken": narrowed(scope=Scope(sizes=("large",))),
}


@pytest.mark.parametrize("announced", [True, False], ids=["woken", "seen by the review"])
@pytest.mark.parametrize("deed", DEEDS)
def test_a_running_creation_is_cut_and_its_outcome_unknown(world: Connecting, deed: str, announced: bool) -> None:  # noqa: FBT001
    """The cloud never answers; the moment the grant does not cover the call any more it ends in CloudTimedOut."""
    world.cloud.hold_creations = asyncio.Event()

    async def run() -> None:
        async with enforced(world, review_s=NEVER_S if announced else 0.05) as enforcement:
            driver = await world.clouds.driver(world.platform)

            async def end() -> None:
                await world.cloud.creation_begun.wait()
                await DEEDS[deed](world)
                if announced:
                    enforcement.wake()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(end())
                with pytest.raises(CloudTimedOut, match="not known"):
                    await driver.create_machine(SPEC)
            assert len(world.clouds.calls) == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    "deed", [lambda world: revoke(world, "size"), narrowed(quota=5)], ids=["another revoked", "still covered"]
)
def test_a_call_that_is_still_covered_goes_on(world: Connecting, deed: Callable[[Connecting], Awaitable[None]]) -> None:
    """Another capability's end, or terms that still cover the call, leave it alone."""
    world.cloud.hold_creations = asyncio.Event()

    async def run() -> None:
        async with enforced(world) as enforcement:
            driver = await world.clouds.driver(world.platform)

            async def other() -> None:
                await world.cloud.creation_begun.wait()
                await deed(world)
                await enforcement.review()
                assert world.cloud.hold_creations is not None
                world.cloud.hold_creations.set()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(other())
                assert (await driver.create_machine(SPEC)).cloud_id == "vm-0001"

    asyncio.run(run())


async def create_of(driver: CloudDriver, epoch: int) -> object:
    """Create as a worker does that was asked under ``epoch``."""
    return await driver.create_machine(MachineSpec(name="m", size="s1", image="i1", tags={}, epoch=epoch))


def test_work_of_an_epoch_that_has_ended_is_refused_though_the_grant_stands_again(world: Connecting) -> None:
    """Held back and let go again: who was asked before is refused, and the cloud hears nothing of it."""

    async def run() -> None:
        async with enforced(world):
            driver, before = await world.clouds.driver(world.platform), (await grants(world))["machine"]
            await suspend(world)
            now_s = world.store.now_s
            await world.store.database.write(lambda tx: consent.resume(tx, before.id, Side.PLATFORM, now_s))
            with pytest.raises(CloudRefused, match="has ended"):
                await create_of(driver, before.epoch)
            assert world.cloud.ledger == []
            await create_of(driver, before.epoch + 1)
            assert len(world.cloud.ledger) == 1

    asyncio.run(run())


@pytest.mark.parametrize("announced", [True, False], ids=["woken", "seen by the review"])
def test_the_tunnel_ends_with_the_last_grant(world: Connecting, announced: bool) -> None:  # noqa: FBT001
    """While one grant stands the tunnel does; with the last one it is closed, its sessions over, the reason told."""

    async def run() -> None:
        async with enforced(world, review_s=NEVER_S if announced else 0.05) as enforcement:
            (connection,) = world.live.ids()
            tunnel = world.live.to_platform(world.platform).tunnel
            await revoke(world, "machine", "size")
            await enforcement.review()
            assert not tunnel.is_lost
            await revoke(world, "image")
            assert await world.open_sessions(connection) == []
            if announced:
                enforcement.wake()
            await tunnel.wait_lost()

            async def gone() -> bool:
                return len(world.live) == 0

            await until(gone)
            row = await world.row(connection)
            assert (row.state, row.code) == (ConnectionState.FAILED, "nothing-granted")

    asyncio.run(run())
