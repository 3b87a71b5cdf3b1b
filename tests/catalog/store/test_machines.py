"""What platforms hold for us, counted for one of them and for all."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from catalog.model.ids import MachineId, PlatformId
from catalog.model.machine import Machine, MachineState
from catalog.store import machines, rows
from catalog.store.database import Tx
from catalog.store.machines import Taken
from tests.support.markets import NOW_S, add_market
from tests.support.stores import Store, opened_store

NUMBERS = range(3)


def add_machines(tx: Tx) -> None:
    """Make a machine of every state at each of two platforms; of the second one's, one has no known memory."""
    for place, state in enumerate(MachineState):
        for number in NUMBERS[:2]:
            is_odd = number == 1 and state is MachineState.IN_USE
            machine = Machine(
                id=MachineId(f"machine_{state.value}_{number}"),
                name="m",
                platform_id=PlatformId(f"platform_{number:03}"),
                offer_id=f"offer_machine_{number:03}",  # type: ignore[arg-type]
                size="s0",
                image="i0",
                state=state,
                vcpu=float(2**place),
                memory_mib=None if is_odd else 1024,
            )
            rows.insert(tx, machine, NOW_S)


def test_one_platform_and_all_are_counted_alike(store: Store) -> None:
    """Every state but GONE counts; what one machine's part is not known of has no sum; without machines: none."""
    store.write(lambda tx: add_market(tx, NUMBERS, sizes=1, images=1, priced=False))
    store.write(add_machines)
    alive = [(place, state) for place, state in enumerate(MachineState) if state is not MachineState.GONE]
    count, vcpu = len(alive), float(sum(2**place for place, _ in alive))
    expected = {
        PlatformId("platform_000"): Taken(machines=count, vcpu=vcpu, memory_mib=1024 * count),
        PlatformId("platform_001"): Taken(machines=count, vcpu=vcpu, memory_mib=None),
    }
    assert store.read(machines.taken_everywhere) == expected
    nothing = Taken(machines=0, vcpu=0.0, memory_mib=0)
    for platform in (PlatformId(f"platform_{number:03}") for number in NUMBERS):
        one = store.read(lambda tx, platform=platform: machines.taken_at(tx, platform))  # type: ignore[misc]
        assert one == expected.get(platform, nothing)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(machines.taken_everywhere, id="all"),
        pytest.param(lambda tx: machines.taken_at(tx, PlatformId("platform_000")), id="one"),
    ],
)
def test_what_is_gone_costs_nothing(tmp_path: Path, count: Callable[[Tx], object]) -> None:
    """The states that count are looked up in an index that holds all that is summed; those gone are passed over."""
    with opened_store(tmp_path) as store:

        def plans(tx: Tx) -> list[str]:
            connection, asked = tx.connection(), list[tuple[str, tuple[object, ...]]]()

            def note(*told: object) -> None:
                asked.append((told[2], told[3]))  # type: ignore[arg-type]

            event.listen(connection, "before_cursor_execute", note)
            count(tx)
            event.remove(connection, "before_cursor_execute", note)
            plan = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}", told).all() for each, told in asked]
            return [str(step[3]) for steps in plan for step in steps]

        found = store.read(plans)
    assert [each for each in found if "machine" in each.lower()] != []
    assert all("COVERING INDEX ix_machine_taken (state=?" in each for each in found if " machine " in each)
