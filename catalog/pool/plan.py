"""Decide what a pool needs; nothing here acts.

Pure: no I/O, no clock, no logging.
"""

from dataclasses import dataclass

from catalog.model.ids import MachineId


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """What an admin asked of one pool, by the hour that it is; ``failure_limit`` failures in a row stop its creations.

    It never has more than ``machine_limit`` machines in all; None = no limit.
    """

    idle_target: int
    idle_limit: int
    building_limit: int
    enabled: bool = True
    failure_limit: int = 5
    machine_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCensus:
    """What a pool has: idle machines oldest first, how many are being built, and what stands in the way.

    ``aged`` of them, the first ones, have been idle for too long. ``others`` counts what is in tenants' hands or being
    destroyed, ``ending`` the latter alone. ``room`` is how many more machines the grant's quota admits at the
    platform; None = no quota.
    """

    idle: tuple[MachineId, ...] = ()
    aged: int = 0
    building: int = 0
    others: int = 0
    ending: int = 0
    failures_in_a_row: int = 0
    room: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """How many machines to create, and which to destroy."""

    create: int = 0
    destroy: tuple[MachineId, ...] = ()


def plan(census: PoolCensus, policy: PoolPolicy) -> PoolPlan:
    """Return the work that brings ``census`` towards ``policy``.

    What has been idle for too long is destroyed once its replacement is ready; where nothing more may be created it
    makes room first, a few at a time. A disabled pool, or one whose creations keep failing, creates nothing and
    replaces nothing but still sheds its surplus: surplus costs money whatever else is wrong.
    """
    # The oldest go first: they are the furthest behind in patches.
    surplus = max(0, len(census.idle) - policy.idle_limit)
    if not policy.enabled or census.failures_in_a_row >= policy.failure_limit:
        return PoolPlan(destroy=census.idle[:surplus])
    aged = max(0, census.aged - surplus)
    kept = len(census.idle) - surplus
    target = min(policy.idle_target, policy.idle_limit)
    missing = max(0, min(target - (kept - aged) - census.building, policy.building_limit - census.building))
    room = _room(census, policy)
    create = missing if room is None else max(0, min(missing, room))
    spare = max(0, kept - target)
    # Whatever goes anyway makes room by itself.
    in_the_way = 0 if create or surplus or spare or census.ending else missing
    replaced = min(aged, spare + in_the_way)
    return PoolPlan(create=create, destroy=census.idle[: surplus + replaced])


def _room(census: PoolCensus, policy: PoolPolicy) -> int | None:
    """Return how many more machines there may be, by the quota and by the pool's own limit; None: any number."""
    limits = [] if census.room is None else [census.room]
    if policy.machine_limit is not None:
        limits.append(policy.machine_limit - len(census.idle) - census.building - census.others)
    return min(limits, default=None)
