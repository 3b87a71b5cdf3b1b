"""Decide what a pool needs; nothing here acts.

Pure: no I/O, no clock, no logging.
"""

from dataclasses import dataclass

from catalog.model.ids import MachineId


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """What an admin asked of one pool; ``failure_limit`` failed creations in a row stop it from creating."""

    idle_target: int
    idle_limit: int
    building_limit: int
    enabled: bool = True
    failure_limit: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCensus:
    """What a pool has: idle machines oldest first, how many are being built, and what stands in the way.

    ``room`` is how many more machines the grant's quota admits at the platform; None = no quota.
    """

    idle: tuple[MachineId, ...] = ()
    building: int = 0
    failures_in_a_row: int = 0
    room: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """How many machines to create, and which to destroy."""

    create: int = 0
    destroy: tuple[MachineId, ...] = ()


def plan(census: PoolCensus, policy: PoolPolicy) -> PoolPlan:
    """Return the work that brings ``census`` towards ``policy``.

    A disabled pool, or one whose creations keep failing, creates nothing but still sheds its surplus: surplus
    costs money whatever else is wrong.
    """
    # The oldest go first: they are the furthest behind in patches.
    surplus = census.idle[: max(0, len(census.idle) - policy.idle_limit)]
    if not policy.enabled or census.failures_in_a_row >= policy.failure_limit:
        return PoolPlan(destroy=surplus)
    missing = min(policy.idle_target, policy.idle_limit) - len(census.idle) - census.building
    may_start = policy.building_limit - census.building
    room = missing if census.room is None else census.room
    return PoolPlan(create=max(0, min(missing, may_start, room)), destroy=surplus)
