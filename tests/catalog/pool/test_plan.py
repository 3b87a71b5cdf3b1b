"""What a pool decides, on paper."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.ids import MachineId
from catalog.pool.plan import PoolCensus, PoolPlan, PoolPolicy, plan

A, B, C = (MachineId(f"machine_{letter}") for letter in "ABC")


def asked(idle_target: int, idle_limit: int, building_limit: int, **more: bool) -> PoolPolicy:
    """Return a policy."""
    return PoolPolicy(idle_target=idle_target, idle_limit=idle_limit, building_limit=building_limit, **more)


@pytest.mark.parametrize(
    ("census", "policy", "expected"),
    [
        pytest.param(PoolCensus(), asked(2, 3, 5), PoolPlan(create=2), id="empty"),
        pytest.param(PoolCensus(), asked(5, 5, 2), PoolPlan(create=2), id="not all at once"),
        pytest.param(PoolCensus(idle=(A,), building=1), asked(2, 3, 5), PoolPlan(), id="being built counts"),
        pytest.param(PoolCensus(idle=(A, B, C)), asked(1, 2, 1), PoolPlan(destroy=(A,)), id="the oldest surplus goes"),
        pytest.param(PoolCensus(idle=(A, B)), asked(1, 2, 1), PoolPlan(), id="between target and limit"),
        pytest.param(PoolCensus(failures_in_a_row=5), asked(1, 1, 1), PoolPlan(), id="five failures stop it"),
        pytest.param(PoolCensus(failures_in_a_row=4), asked(1, 1, 1), PoolPlan(create=1), id="four do not"),
        pytest.param(PoolCensus(), asked(1, 1, 1, enabled=False), PoolPlan(), id="disabled"),
        pytest.param(
            PoolCensus(idle=(A, B)), asked(0, 0, 1, enabled=False), PoolPlan(destroy=(A, B)), id="disabled still sheds"
        ),
        pytest.param(PoolCensus(room=1), asked(3, 3, 3), PoolPlan(create=1), id="the quota leaves one"),
    ],
)
def test_plan(census: PoolCensus, policy: PoolPolicy, expected: PoolPlan) -> None:
    """The plan fills up to the target and no further, and sheds what is above the limit."""
    assert plan(census, policy) == expected


COUNTS = st.integers(0, 12)


@given(
    census=st.builds(
        PoolCensus,
        idle=COUNTS.map(lambda count: tuple(MachineId(f"machine_{number:02}") for number in range(count))),
        building=COUNTS,
        failures_in_a_row=COUNTS,
        room=st.none() | COUNTS,
    ),
    policy=st.builds(PoolPolicy, idle_target=COUNTS, idle_limit=COUNTS, building_limit=COUNTS, enabled=st.booleans()),
)
def test_no_plan_exceeds_a_limit(census: PoolCensus, policy: PoolPolicy) -> None:
    """Whatever is counted: never above the target, the building limit or the room of the quota.

    Destroyed are the oldest, exactly down to the limit; nothing is created and destroyed in one plan.
    """
    decided = plan(census, policy)
    idle = len(census.idle)

    assert decided.create >= 0
    if decided.create:
        assert idle + census.building + decided.create <= min(policy.idle_target, policy.idle_limit)
        assert census.building + decided.create <= policy.building_limit
        assert census.room is None or decided.create <= census.room
        assert census.failures_in_a_row < 5
        assert policy.enabled
        assert decided.destroy == ()
    assert decided.destroy == census.idle[: max(0, idle - policy.idle_limit)]


@given(idle=COUNTS, target=COUNTS)
def test_carrying_a_plan_out_leaves_nothing_to_do(idle: int, target: int) -> None:
    """When its machines came, the same pool has no further plan."""
    policy = PoolPolicy(idle_target=target, idle_limit=12, building_limit=12)
    machines = tuple(MachineId(f"machine_{number:02}") for number in range(idle))
    decided = plan(PoolCensus(idle=machines), policy)
    after = machines + tuple(MachineId(f"machine_n{number}") for number in range(decided.create))

    assert plan(PoolCensus(idle=after), policy) == PoolPlan()
