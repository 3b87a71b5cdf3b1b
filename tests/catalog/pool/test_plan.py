"""What a pool decides, on paper."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.ids import MachineId
from catalog.pool.plan import PoolCensus, PoolPlan, PoolPolicy, plan

A, B, C = (MachineId(f"machine_{letter}") for letter in "ABC")


@pytest.mark.parametrize(
    ("census", "policy", "expected"),
    [
        pytest.param(PoolCensus(), PoolPolicy(idle_target=2, idle_limit=3, building_limit=5), PoolPlan(create=2), id="empty"),
        pytest.param(PoolCensus(), PoolPolicy(idle_target=5, idle_limit=5, building_limit=2), PoolPlan(create=2), id="not all at once"),
        pytest.param(PoolCensus(idle=(A,), building=1), PoolPolicy(idle_target=2, idle_limit=3, building_limit=5), PoolPlan(), id="being built counts"),
        pytest.param(PoolCensus(idle=(A, B, C)), PoolPolicy(idle_target=1, idle_limit=2, building_limit=1), PoolPlan(destroy=(A,)), id="the oldest surplus goes"),
        pytest.param(PoolCensus(idle=(A, B)), PoolPolicy(idle_target=1, idle_limit=2, building_limit=1), PoolPlan(), id="between target and limit"),
        pytest.param(PoolCensus(failures_in_a_row=5), PoolPolicy(idle_target=1, idle_limit=1, building_limit=1), PoolPlan(), id="five failures stop it"),
        pytest.param(PoolCensus(failures_in_a_row=4), PoolPolicy(idle_target=1, idle_limit=1, building_limit=1), PoolPlan(create=1), id="four do not"),
        pytest.param(PoolCensus(), PoolPolicy(idle_target=1, idle_limit=1, building_limit=1, enabled=False), PoolPlan(), id="disabled"),
        pytest.param(PoolCensus(idle=(A, B)), PoolPolicy(idle_target=0, idle_limit=0, building_limit=1, enabled=False), PoolPlan(destroy=(A, B)), id="disabled still sheds"),
        pytest.param(PoolCensus(room=1), PoolPolicy(idle_target=3, idle_limit=3, building_limit=3), PoolPlan(create=1), id="the quota leaves one"),
    ],
)  # fmt: skip
def test_plan(census: PoolCensus, policy: PoolPolicy, expected: PoolPlan) -> None:
    """The plan fills up to the target and no further, and sheds what is above the limit."""
    assert plan(census, policy) == expected


COUNTS = st.integers(0, 12)


@given(
    idle=COUNTS, building=COUNTS, failures=COUNTS, room=st.none() | COUNTS, target=COUNTS, limit=COUNTS, at_once=COUNTS
)
def test_no_plan_exceeds_a_limit(
    idle: int, building: int, failures: int, room: int | None, target: int, limit: int, at_once: int
) -> None:
    """Whatever is counted: never above the target, the building limit or the room; and never below what is asked.

    Destroyed are the oldest, exactly down to the limit; nothing is created and destroyed in one plan.
    """
    machines = tuple(MachineId(f"machine_{number:02}") for number in range(idle))
    census = PoolCensus(idle=machines, building=building, failures_in_a_row=failures, room=room)
    decided = plan(census, PoolPolicy(idle_target=target, idle_limit=limit, building_limit=at_once))

    assert decided.create >= 0
    if decided.create:
        assert idle + building + decided.create <= min(target, limit)
        assert building + decided.create <= at_once
        assert room is None or decided.create <= room
        assert failures < 5
        assert decided.destroy == ()
    assert decided.destroy == machines[: max(0, idle - limit)]


@given(idle=COUNTS, target=COUNTS)
def test_carrying_a_plan_out_leaves_nothing_to_do(idle: int, target: int) -> None:
    """When its machines came, the same pool has no further plan."""
    policy = PoolPolicy(idle_target=target, idle_limit=12, building_limit=12)
    machines = tuple(MachineId(f"machine_{number:02}") for number in range(idle))
    decided = plan(PoolCensus(idle=machines), policy)
    after = machines + tuple(MachineId(f"machine_n{number}") for number in range(decided.create))

    assert plan(PoolCensus(idle=after), policy) == PoolPlan()
