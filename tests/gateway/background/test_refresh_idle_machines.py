"""An idle machine that its cloud lost is disposed of; one in use, or merely stopped, is not."""

import asyncio
from pathlib import Path

import pytest

from catalog.clouds import CloudMachine, MachineStatus
from catalog.messages.contracts import DestroyMachine, from_json
from catalog.model.ids import MachineId
from catalog.model.machine import Machine, MachineState
from catalog.pool.apply import apply
from catalog.pool.manage import create_pool
from catalog.store import machines, outbox, rows
from gateway.background.refresh_machines import RefreshMachines
from tests.support.clocks import ManualClock
from tests.support.doubles import MemoryCloud, MemoryClouds
from tests.support.ordering import OFFER, PLATFORM, seeded_database
from tests.support.rounds import one_round


class SayingCloud(MemoryCloud):
    """A cloud that says the same of every machine."""

    says: MachineStatus = MachineStatus.GONE

    async def machine(self, cloud_id: str) -> CloudMachine | None:
        """Return it with the status that is set, or None when that is GONE."""
        return None if self.says is MachineStatus.GONE else CloudMachine(cloud_id=cloud_id, name="m", status=self.says)


@pytest.mark.parametrize(
    ("says", "after"),
    [
        pytest.param(MachineStatus.GONE, MachineState.DESTROYING, id="gone"),
        pytest.param(MachineStatus.FAILED, MachineState.DESTROYING, id="failed"),
        pytest.param(MachineStatus.STOPPED, MachineState.IDLE, id="stopped"),
        pytest.param(MachineStatus.UNKNOWN, MachineState.IDLE, id="it does not say"),
    ],
)
@pytest.mark.parametrize("noted", ["", "the cloud says: gone"], ids=["new", "noted by an earlier release"])
def test_an_idle_machine_that_is_lost_is_disposed_of(
    tmp_path: Path, says: MachineStatus, after: MachineState, noted: str
) -> None:
    """Its destruction is asked for; the tenant's machine beside it stays theirs; a stopped one is not counted idle."""

    async def run() -> None:
        clock = ManualClock()
        cloud = SayingCloud(clock)
        cloud.says = says
        now_s = clock.now_s()
        async with seeded_database(tmp_path, clock) as database:

            def fill(tx: object) -> str:
                pool = create_pool(tx, name="p", offer="north", size="small", image="debian-12", now_s=now_s)
                for number, state in enumerate((MachineState.IDLE, MachineState.IN_USE)):
                    machine = Machine(
                        id=MachineId(f"machine_{number}"), platform_id=PLATFORM, offer_id=OFFER, pool_id=pool.id,
                        state=state, name=f"m{number}", size="s1", image="i1", cloud_id=f"vm-{number}", reason=noted,
                    )  # fmt: skip
                    rows.insert(tx, machine, now_s)
                return pool.id

            pool = await database.write(fill)
            task = RefreshMachines(database=database, clock=clock, clouds=MemoryClouds({PLATFORM: cloud}))
            await one_round(task)
            idle, used = await database.read(lambda tx: rows.where(tx, Machine))
            assert (idle.state, used.state) == (after, MachineState.IN_USE)
            asked = [from_json(each.body) for each in await database.read(lambda tx: outbox.unsent(tx, 10))]
            lost = after is MachineState.DESTROYING
            assert [each.machine for each in asked if isinstance(each, DestroyMachine)] == ["machine_0"] * lost
            fit = says is MachineStatus.UNKNOWN and not noted
            assert len(await database.read(lambda tx: machines.idle_of(tx, pool))) == fit
            assert (await database.write(lambda tx: apply(tx, pool, now_s))).create == 1 - fit

    asyncio.run(run())
