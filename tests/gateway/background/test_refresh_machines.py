"""Delivered machines are read again; what a cloud does not say is left as it was."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from catalog.clouds import CloudMachine, MachineStatus
from catalog.model.ids import MachineId, PlatformId, SiteId
from catalog.model.machine import Machine, MachineState
from catalog.model.platform import Platform
from catalog.store import rows
from gateway.background.in_turn import SILENT_IN_A_ROW
from gateway.background.refresh_machines import RefreshMachines
from tests.support.doubles import MemoryCloud, MemoryClouds
from tests.support.ordering import OFFER, PLATFORM, seed
from tests.support.rounds import one_round
from tests.support.stores import Store, opened_store

SECOND = PlatformId("platform_Q")


@dataclass
class SayingCloud(MemoryCloud):
    """A cloud that says of every machine what a test sets; ``asked`` keeps the ids."""

    says: CloudMachine | None = None
    asked: list[str] = field(default_factory=list)
    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def machine(self, cloud_id: str) -> CloudMachine | None:
        """Return what is set."""
        self.asked.append(cloud_id)
        self._answer()
        if self.meanwhile is not None:
            await self.meanwhile()
        return self.says


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a database with two machines of one platform in use, a building one, and one of another platform."""
    with opened_store(tmp_path) as opened:

        def work(tx: Any) -> None:
            seed(tx)
            rows.insert(
                tx,
                Platform(id=SECOND, name="south", provider="memory", site_id=SiteId("site_S"), account="main"),
                opened.now_s,
            )
            for name, platform, state in (
                ("m1", PLATFORM, MachineState.IN_USE),
                ("m2", PLATFORM, MachineState.IDLE),
                ("m3", PLATFORM, MachineState.BUILDING),
                ("m4", SECOND, MachineState.IN_USE),
            ):
                machine = Machine(
                    id=MachineId(f"machine_{name}"), platform_id=platform, offer_id=OFFER, state=state,
                    name=name, size="s1", image="i1", cloud_id=f"vm-{name}", addresses=["192.0.2.1"],
                )  # fmt: skip
                rows.insert(tx, machine, opened.now_s)

        opened.write(work)
        yield opened


def refreshed(store: Store, clouds: dict[PlatformId, SayingCloud]) -> int:
    """Look at every platform once and return how many machines changed by it."""

    def known() -> list[tuple[list[str], str]]:
        return [held(store, name) for name in ("m1", "m2", "m3", "m4")]

    task = RefreshMachines(database=store.database, clock=store.clock, clouds=MemoryClouds(dict(clouds)))
    before = known()
    asyncio.run(one_round(task))
    return sum(one != other for one, other in zip(before, known(), strict=True))


def held(store: Store, name: str) -> tuple[list[str], str]:
    """Return addresses and reason of a machine as the database has them."""
    machine = store.read(lambda tx: rows.by_id(tx, Machine, f"machine_{name}"))
    return machine.addresses, machine.reason


def said(status: MachineStatus, *addresses: str) -> CloudMachine:
    """Return what a cloud says."""
    return CloudMachine(cloud_id="vm", name="m", status=status, addresses=addresses)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        pytest.param(said(MachineStatus.RUNNING, "192.0.2.1"), (["192.0.2.1"], ""), id="as it was"),
        pytest.param(said(MachineStatus.RUNNING, "192.0.2.7"), (["192.0.2.7"], ""), id="another address"),
        pytest.param(said(MachineStatus.STOPPED), ([], "the cloud says: stopped"), id="stopped"),
        pytest.param(None, (["192.0.2.1"], "the cloud says: gone"), id="gone: the last address is kept"),
        pytest.param(said(MachineStatus.UNKNOWN), (["192.0.2.1"], ""), id="it does not say"),
    ],
)
def test_what_the_cloud_says_is_kept(store: Store, says: CloudMachine | None, expected: tuple[list[str], str]) -> None:
    """Addresses and state of delivered machines follow the cloud; a second look changes nothing more."""
    cloud = SayingCloud(store.clock, says=says)
    changed = expected != (["192.0.2.1"], "")
    assert refreshed(store, {PLATFORM: cloud}) == 2 * changed
    assert refreshed(store, {PLATFORM: cloud}) == 0
    assert (held(store, "m1"), held(store, "m2")) == (expected, expected)
    assert "vm-m3" not in cloud.asked
    assert held(store, "m4") == (["192.0.2.1"], "")


def test_a_platform_out_of_reach_costs_three_calls(store: Store) -> None:
    """The silence of three machines speaks for the platform's others; another platform's machines are read."""

    def more(tx: Any) -> None:
        for number in range(5, 15):
            machine = Machine(
                id=MachineId(f"machine_m{number}"), platform_id=PLATFORM, offer_id=OFFER, state=MachineState.IN_USE,
                name=f"m{number}", size="s1", image="i1", cloud_id=f"vm-m{number}",
            )  # fmt: skip
            rows.insert(tx, machine, store.now_s)

    store.write(more)
    silent = SayingCloud(store.clock, unreachable=True)
    well = SayingCloud(store.clock, says=said(MachineStatus.STOPPED))
    assert refreshed(store, {PLATFORM: silent, SECOND: well}) == 1
    assert len(silent.asked) == SILENT_IN_A_ROW
    assert held(store, "m4") == ([], "the cloud says: stopped")


def test_what_left_meanwhile_is_left_alone(store: Store) -> None:
    """A machine that is being destroyed by the time the cloud answers keeps what its row says."""

    async def destroy() -> None:
        def work(tx: Any) -> None:
            for machine in rows.where(tx, Machine, platform_id=SECOND):
                rows.update(tx, machine, {"state": MachineState.DESTROYING}, store.now_s)

        await store.database.write(work)

    cloud = SayingCloud(store.clock, says=None, meanwhile=destroy)
    assert refreshed(store, {SECOND: cloud}) == 0
    assert held(store, "m4") == (["192.0.2.1"], "")
