"""What a pool decides, on paper."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.ids import MachineId
from catalog.pool.plan import PoolCensus, PoolPlan, PoolPolicy, plan

A, B, C = (MachineId(f"machine_{letter}") for letter in "ABC")


def asked(idle_target: int, idle_limit: int, building_limit: int, **more: int) -> PoolPolicy:
    """Return a policy."""
    given: dict[str, Any] = more
    return PoolPolicy(idle_target=idle_target, idle_limit=idle_limit, building_limit=building_limit, **given)


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
        pytest.param(PoolCensus(others=3), asked(3, 3, 3, machine_limit=5), PoolPlan(create=2), id="up to the limit"),
        pytest.param(PoolCensus(others=6), asked(3, 3, 3, machine_limit=5), PoolPlan(), id="above the limit"),
        pytest.param(
            PoolCensus(idle=(A, B), aged=1), asked(2, 2, 2), PoolPlan(create=1), id="a replacement for the aged"
        ),
        pytest.param(
            PoolCensus(idle=(A, B), aged=1, building=1), asked(2, 3, 2), PoolPlan(), id="kept until it is there"
        ),
        pytest.param(
            PoolCensus(idle=(A, B, C), aged=1), asked(2, 3, 2), PoolPlan(destroy=(A,)), id="the aged goes when it is"
        ),
        pytest.param(
            PoolCensus(idle=(A, B, C), aged=2), asked(3, 3, 1, machine_limit=3), PoolPlan(destroy=(A,)), id="makes room"
        ),
        pytest.param(
            PoolCensus(idle=(B, C), aged=1, others=1, ending=1),
            asked(3, 3, 1, machine_limit=3),
            PoolPlan(),
            id="one after the other",
        ),
        pytest.param(
            PoolCensus(idle=(A, B), aged=2), asked(2, 2, 2, enabled=False), PoolPlan(), id="disabled replaces nothing"
        ),
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


@given(
    idle=st.integers(0, 6),
    aged=st.integers(0, 6),
    target=st.integers(0, 6),
    more=st.integers(0, 3),
    at_once=st.integers(1, 3),
    spare=st.integers(0, 2),
)
def test_aged_machines_are_replaced_without_an_end_of_the_pool(
    *, idle: int, aged: int, target: int, more: int, at_once: int, spare: int
) -> None:
    """Step by step every aged machine is gone in the end, and the pool is full of younger ones.

    On the way it never has more machines than its limit. With room for a replacement it never has fewer idle ones than
    its target, if it had that many; without, it lacks as many as may be built at once and no more.
    """
    machines = [MachineId(f"machine_{number}") for number in range(idle)]
    old, full_at = set(machines[: min(aged, idle)]), max(idle, target) + spare
    policy = PoolPolicy(
        idle_target=target, idle_limit=target + more, building_limit=at_once, machine_limit=max(1, full_at)
    )
    least = min(idle, target) - (0 if full_at > max(idle, target) else at_once)
    for round_ in range(40):
        decided = plan(PoolCensus(idle=tuple(machines), aged=len([each for each in machines if each in old])), policy)
        assert len(machines) + decided.create <= max(1, full_at)
        machines = [each for each in machines if each not in decided.destroy]
        assert len(machines) >= least
        machines += [MachineId(f"machine_n{round_}_{number}") for number in range(decided.create)]
        if decided == PoolPlan():
            break
    assert not old & set(machines)
    assert target <= len(machines) <= target + more
