"""The provisioner at each emulated provider, through the very driver and libcloud: one machine per order there too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from catalog.messages.contracts import CreateMachine, DestroyMachine, MachineCreated, MachineDestroyed
from catalog.model.ids import MachineId, MessageId, PlatformId
from drivers.provisioner.records import SqliteRecords
from drivers.provisioner.run import Provisioner
from tests.support.clocks import ManualClock
from tests.support.doubles import KillingCheckpoint, MemoryClouds
from tests.support.emulated import EMULATORS, IMAGES, SIZES
from tests.support.emulated.serving import Answer, Asked, Emulator, served
from tests.support.outlets import Outlet

PLATFORM = PlatformId("platform_P")
MACHINE = MachineId("machine_01JDN7ZK3V8X9Q2W4R6T8Y0ABC")


class Bench:
    """A provisioner, its clock, the provider and what was reported."""

    def __init__(self, provisioner: Provisioner, clock: ManualClock, emulator: Emulator, outlet: Outlet) -> None:
        self.provisioner, self.clock, self.emulator, self.outlet = provisioner, clock, emulator, outlet

    async def order(self) -> None:
        """Ask for the machine."""
        message = CreateMachine(
            id=MessageId("message_C"), created_at_s=self.clock.now_s(), machine=MACHINE, platform=PLATFORM,
            name="web-01jdn7zk3v8x9q2w4r6t8y0abc", size=SIZES[self.emulator.provider],
            image=IMAGES[self.emulator.provider], attempt=1, tags={"crossway-machine": MACHINE}, deadline_s=300.0,
        )  # fmt: skip
        await self.provisioner.receive(message)

    async def until_idle(self) -> None:
        """Do what falls due within the next 1,200 seconds, and report."""
        for _ in range(240):
            while await self.provisioner.work_one():
                pass
            self.clock.advance(5.0)
        await self.provisioner.publish_results()


@asynccontextmanager
async def bench(provider: str, folder: Path) -> AsyncIterator[Bench]:
    """Yield a provisioner at an emulated provider without machines."""
    clock, outlet = ManualClock(), Outlet()
    with served(EMULATORS[provider](), folder) as cloud:
        driver = cloud.driver()
        async with SqliteRecords.open(folder / "p.sqlite3") as records:
            provisioner = Provisioner(
                queue=outlet, clouds=MemoryClouds({PLATFORM: driver}), records=records, clock=clock,
                checkpoint=KillingCheckpoint(), owner="gateway_01JDN7ZK3V8X9Q2W4R6T8Y0ABC",
            )  # fmt: skip
            try:
                yield Bench(provisioner, clock, cloud.emulator, outlet)
            finally:
                await driver.close()


@pytest.mark.parametrize("provider", sorted(EMULATORS))
def test_an_order_whose_creation_was_not_answered_has_one_machine_and_then_none(provider: str, tmp_path: Path) -> None:
    """The answer to the creation is lost; the machine is adopted, reported as created, and destroyed when asked."""

    async def run() -> None:
        async with bench(provider, tmp_path) as at:
            at.emulator.loses = at.emulator.is_creation
            await at.order()
            await at.until_idle()
            assert at.emulator.loses is None
            (cloud_id,) = at.emulator.machines
            assert [each.cloud_id for each in at.outlet.published.values() if isinstance(each, MachineCreated)] == [
                cloud_id
            ]
            assert len(at.emulator.creations) == 1
            gone = DestroyMachine(
                id=MessageId("message_D"), created_at_s=at.clock.now_s(), machine=MACHINE, platform=PLATFORM,
                cloud_id=cloud_id, tags={"crossway-machine": MACHINE},
            )  # fmt: skip
            await at.provisioner.receive(gone)
            await at.until_idle()
            assert at.emulator.present == []
            assert at.outlet.results(MachineDestroyed)

    asyncio.run(run())


@pytest.mark.parametrize("provider", sorted(EMULATORS))
def test_a_cloud_that_asks_for_a_pause_gets_it(provider: str, tmp_path: Path) -> None:
    """After a 429 with 40 s to wait nothing is asked for 40 s, though our own first pause is one; then work goes on."""

    def asked(emulator: Emulator) -> list[Asked]:
        return list(emulator.asked)

    async def run() -> None:
        async with bench(provider, tmp_path) as at:
            body = at.emulator.refusal(429, "too many").body
            at.emulator.answers_next(Answer(status=429, body=body, headers={"Retry-After": "40"}))
            await at.order()
            assert await at.provisioner.work_one()
            assert len(asked(at.emulator)) == 1
            at.clock.advance(39.0)
            assert not await at.provisioner.work_one()
            at.clock.advance(2.0)
            assert await at.provisioner.work_one()
            assert len(asked(at.emulator)) > 1

    asyncio.run(run())
