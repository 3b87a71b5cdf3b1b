"""Die at every step of an order and of its provisioning, start again on the same files: one machine per order."""

import asyncio
from collections import deque
from pathlib import Path

import pytest
from sqlmodel import Session

from catalog.model.machine import MachineState, Pool
from catalog.model.order import OrderState
from catalog.orders.retry import cancel
from catalog.orders.steps import ORDER_STEPS
from catalog.pool.manage import create_pool
from catalog.store import rows
from drivers.provisioner.steps import PROVISION_STEPS
from tests.support.clocks import ManualClock
from tests.support.doubles import Crash, KillingCheckpoint, Lie, MemoryCloud
from tests.support.ordering import OWNER, Life, life
from tests.support.records import Place, ServerPlace

STEPS = ORDER_STEPS + PROVISION_STEPS


def build_pool(tx: Session, now_s: float) -> None:
    """Ask for one idle machine, unless that was asked before."""
    if not rows.where(tx, Pool):
        create_pool(tx, name="ready", offer="north", size="small", image="debian-12", idle_target=1, now_s=now_s)


async def client(alive: Life) -> None:
    """Order "pooled", "cold" and "unwanted" unless they are accepted, and cancel the last, as a client repeats it."""
    for name, size in (("pooled", "small"), ("cold", "large"), ("unwanted", "large")):
        if name not in await alive.orders():
            await alive.place(name, size=size)
    unwanted = (await alive.orders())["unwanted"]
    if unwanted.state is OrderState.CREATING:
        await alive.database.write(lambda tx: cancel(tx, unwanted.id, alive.clock.now_s(), checkpoint=alive.checkpoint))


async def story(
    folder: Path, clock: ManualClock, cloud: MemoryCloud, checkpoint: KillingCheckpoint, place: Place | None = None
) -> bool:
    """Live until everything has ended; False when the checkpoint killed us on the way."""
    ended = False
    try:
        async with life(folder, clock, cloud, checkpoint=checkpoint, place=place) as alive:
            await alive.database.write(lambda tx: build_pool(tx, clock.now_s()))
            if not await alive.orders():
                await alive.settled()
            await client(alive)
            await alive.settled()
            await check(alive, cloud)
            ended = True
    except* Crash:
        pass
    return ended


async def check(alive: Life, cloud: MemoryCloud) -> None:
    """Every order ended once, and the cloud holds exactly the machines that somebody has."""
    orders = await alive.orders()
    assert {name: each.state for name, each in orders.items()} == {
        "pooled": OrderState.FULFILLED,
        "cold": OrderState.FULFILLED,
        "unwanted": OrderState.CANCELLED,
    }
    in_use = await alive.machines(MachineState.IN_USE)
    idle = await alive.machines(MachineState.IDLE)
    assert sorted(str(each.order_id) for each in in_use) == sorted([orders["pooled"].id, orders["cold"].id])
    assert len(idle) == 1
    assert sorted(each.cloud_id for each in cloud.present) == sorted(str(each.cloud_id) for each in in_use + idle)
    assert {each.tags["crossway-owner"] for each in cloud.present} == {OWNER}


def lying_cloud(clock: ManualClock) -> MemoryCloud:
    """A cloud that fails the cold order twice: with a machine in ERROR, then with a 503 after having created."""
    return MemoryCloud(clock, lies_for={"s2": deque([Lie.ERROR_MACHINE, Lie.CREATED_BUT_503])})


# Every step at its first passing; those around a creation also at the second, which follows a failed one.
CASES = [(step, 1) for step in STEPS] + [(step, 2) for step in STEPS if ".create" in step]


@pytest.mark.parametrize(("step", "nth"), CASES)
def test_dying_at_any_step_leaves_one_machine_per_order(step: str, nth: int, tmp_path: Path) -> None:
    """Whatever step the process dies at, its next life ends every accepted order once, with nothing left over."""
    clock = ManualClock()
    cloud = lying_cloud(clock)
    checkpoint = KillingCheckpoint(step, nth)

    ended = asyncio.run(story(tmp_path, clock, cloud, checkpoint))

    assert checkpoint.killed, f"the story never reaches {step}"
    assert not ended
    assert asyncio.run(story(tmp_path, clock, cloud, KillingCheckpoint()))


@pytest.mark.parametrize("step", PROVISION_STEPS)
def test_dying_with_records_that_others_share_leaves_one_machine_per_order(
    step: str, tmp_path: Path, served: ServerPlace
) -> None:
    """On a server nobody voids the dead one's leases, nor sends its results at once: its next life ends all."""
    cloud = lying_cloud(served.clock)
    checkpoint = KillingCheckpoint(step)

    assert not asyncio.run(story(tmp_path, served.clock, cloud, checkpoint, served))

    assert checkpoint.killed, f"the story never reaches {step}"
    assert asyncio.run(story(tmp_path, served.clock, cloud, KillingCheckpoint(), served))


def test_dying_again_and_again(tmp_path: Path) -> None:
    """A process that dies at a later step in each of its lives still gets everything done."""
    clock = ManualClock()
    cloud = lying_cloud(clock)

    for step in STEPS:
        asyncio.run(story(tmp_path, clock, cloud, KillingCheckpoint(step)))

    assert asyncio.run(story(tmp_path, clock, cloud, KillingCheckpoint()))


def test_no_step_is_unlisted(tmp_path: Path) -> None:
    """Every step that is reached is in the lists, so that it has its case above."""
    clock = ManualClock()
    checkpoint = KillingCheckpoint()

    assert asyncio.run(story(tmp_path, clock, lying_cloud(clock), checkpoint))

    assert set(checkpoint.reached_steps) == set(STEPS)
