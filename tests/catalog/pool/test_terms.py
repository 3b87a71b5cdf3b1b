"""What a pool keeps to besides its target: its limit in all, the age of its machines, the hours, its projects."""

from datetime import UTC, datetime
from typing import Any

import pytest

from catalog.errors import InvalidValue
from catalog.model.ids import MachineId
from catalog.model.machine import MACHINE_TRANSITIONS, Machine, MachineEvent, MachineState, Pool
from catalog.model.offering import Offer, OfferState
from catalog.pool.apply import apply
from catalog.pool.manage import counts, create_pool, remove_pool, update_pool
from catalog.store import machines, rows
from catalog.store.database import Tx
from tests.support.ordering import OFFER, OTHER_PROJECT, PLATFORM, PROJECT, order, seed
from tests.support.stores import Store

NOON_S = datetime(2026, 1, 5, 12, 0, tzinfo=UTC).timestamp()  # a Monday
DAY_S = 86_400.0


@pytest.fixture
def world(store: Store) -> Store:
    """Return a catalog with a platform that grants machines."""
    store.write(seed)
    return store


def a_pool(tx: Tx, **terms: Any) -> Pool:
    """Return a new pool."""
    limits = {"idle_target": 2, "idle_limit": 5, "building_limit": 5, **terms}
    return create_pool(tx, name="ready", offer="north", size="small", image="debian-12", now_s=NOON_S, **limits)


def built(tx: Tx, pool: Pool, now_s: float) -> None:
    """Let everything that ``pool`` asked for be there."""
    for machine in rows.where(tx, Machine, pool_id=pool.id, state=MachineState.BUILDING):
        changes = {"idle_from_s": now_s}
        rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.BUILT, now_s, changes)


def an_idle_machine(tx: Tx, number: int, pool: Pool | None = None) -> Machine:
    """Add an idle machine of ``pool`` that fits ``order``."""
    machine = Machine(
        id=MachineId(f"machine_{number:03}"),
        platform_id=PLATFORM,
        offer_id=OFFER,
        pool_id=None if pool is None else pool.id,  # type: ignore[arg-type]
        state=MachineState.IDLE,
        name=f"m{number}",
        size="s1",
        image="i1",
    )
    return rows.insert(tx, machine, NOON_S)


def test_what_is_in_use_counts_for_the_limit_in_all(world: Store) -> None:
    """Of three in all two are idle; when one is taken one more is made, and when both are, none."""

    def work(tx: Tx) -> list[tuple[int, int, int]]:
        pool, seen = a_pool(tx, machine_limit=3), []
        for _ in range(3):
            apply(tx, pool.id, NOON_S)
            built(tx, pool, NOON_S)
            held = counts(tx, pool)
            seen.append((held.idle, held.building, held.in_use))
            order(tx, None, NOON_S)
        return seen

    assert world.write(work) == [(2, 0, 0), (2, 0, 1), (1, 0, 2)]


def test_what_was_idle_for_too_long_is_replaced(world: Store) -> None:
    """After two days two new ones are built first, and only then the old ones are destroyed."""

    def work(tx: Tx) -> tuple[list[int], set[MachineState]]:
        pool = a_pool(tx, idle_age_limit_s=2 * DAY_S)
        begun = [apply(tx, pool.id, NOON_S).create]
        built(tx, pool, NOON_S + DAY_S)
        first = {each.id for each in rows.where(tx, Machine, pool_id=pool.id)}
        begun.append(apply(tx, pool.id, NOON_S + 3 * DAY_S - 1).create)
        begun.append(apply(tx, pool.id, NOON_S + 3 * DAY_S).create)
        built(tx, pool, NOON_S + 3 * DAY_S)
        begun.append(len(apply(tx, pool.id, NOON_S + 3 * DAY_S).destroy))
        return begun, {each.state for each in rows.where(tx, Machine, pool_id=pool.id) if each.id in first}

    assert world.write(work) == ([2, 0, 2, 2], {MachineState.DESTROYING})


def test_what_was_idle_for_too_long_stays_while_nothing_can_be_made(world: Store) -> None:
    """A platform that is out of reach for a while costs no pool its machines, however old they are."""

    def work(tx: Tx) -> tuple[int, str]:
        pool = a_pool(tx, idle_age_limit_s=2 * DAY_S)
        apply(tx, pool.id, NOON_S)
        built(tx, pool, NOON_S)
        (offer,) = rows.where(tx, Offer, id=pool.offer_id)
        rows.update(tx, offer, {"state": OfferState.DEGRADED, "reason": "no connection"}, NOON_S)
        apply(tx, pool.id, NOON_S + 3 * DAY_S)
        return counts(tx, pool).idle, rows.by_id(tx, Pool, pool.id).reason

    assert world.write(work) == (2, "the offer is degraded: no connection")


def test_more_are_kept_ready_in_the_hours_that_say_so(world: Store) -> None:
    """On Mondays from noon on four are ready instead of one; afterwards what is too much for the limit is destroyed."""
    hours = [{"days": ["mon"], "start": "12:00", "stop": "13:00", "idle_target": 4}]

    def work(tx: Tx) -> list[int]:
        pool = a_pool(tx, idle_target=1, idle_limit=4, hours=hours)
        found = []
        for now_s in (NOON_S - 1, NOON_S, NOON_S + 3600):
            apply(tx, pool.id, now_s)
            built(tx, pool, now_s)
            found.append(counts(tx, pool).idle)
        update_pool(tx, pool, {"idle_limit": 1, "hours": []}, NOON_S + 3600)
        apply(tx, pool.id, NOON_S + 3600)
        return [*found, counts(tx, pool).idle]

    assert world.write(work) == [1, 4, 4, 1]


def test_a_pool_for_some_serves_nobody_else(world: Store) -> None:
    """Its idle machine is not another project's; when it serves everybody again it is."""

    def work(tx: Tx) -> list[str]:
        pool = a_pool(tx, projects=[PROJECT])
        for number in range(3):
            an_idle_machine(tx, number, pool)
        served = [order(tx, None, NOON_S, project=OTHER_PROJECT).served_from]
        served.append(order(tx, None, NOON_S, project=PROJECT).served_from)
        update_pool(tx, pool, {}, NOON_S, projects=[])
        served.append(order(tx, None, NOON_S, project=OTHER_PROJECT).served_from)
        return served

    assert world.write(work) == ["cold", "pool", "pool"]


def test_a_pool_for_a_project_can_be_removed(world: Store) -> None:
    """Whom it served goes with it, and its idle machine is destroyed."""

    def work(tx: Tx) -> tuple[int, MachineState]:
        pool = a_pool(tx, projects=[PROJECT, OTHER_PROJECT])
        machine = an_idle_machine(tx, 1, pool)
        remove_pool(tx, pool, NOON_S)
        return len(machines.projects_of(tx, pool.id)), rows.by_id(tx, Machine, machine.id).state

    assert world.write(work) == (0, MachineState.DESTROYING)


def test_each_claim_has_a_greater_fencing_token(world: Store) -> None:
    """A machine that would be handed out again carries a token that its first holder never saw."""

    def work(tx: Tx) -> list[int]:
        machine, seen = an_idle_machine(tx, 1), []
        for _ in range(3):
            rows.update(tx, machine, {"state": MachineState.IDLE}, NOON_S)
            order(tx, None, NOON_S)
            machine = rows.by_id(tx, Machine, machine.id)
            seen.append(machine.fence)
        return seen

    assert world.write(work) == [1, 2, 3]


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        pytest.param({"machine_limit": 1}, "machine_limit", id="it could never be full"),
        pytest.param(
            {
                "idle_limit": 4,
                "machine_limit": 3,
                "hours": [{"days": ["mon"], "start": "12:00", "stop": "13:00", "idle_target": 4}],
            },
            "hours",
            id="it could not be full in an hour",
        ),
        pytest.param({"zone": "Mars/Base"}, "zone", id="zone"),
        pytest.param({"hours": [{"days": ["mon"], "start": "1", "stop": "2", "idle_target": 1}]}, "hours", id="hours"),
    ],
)
def test_terms_that_contradict_each_other_are_refused(world: Store, terms: dict[str, Any], field: str) -> None:
    """A new pool and a changed one alike, with the field."""
    for attempt in (lambda tx: a_pool(tx, **terms), lambda tx: update_pool(tx, a_pool(tx), terms, NOON_S)):
        with pytest.raises(InvalidValue) as refused:
            world.write(attempt)
        assert refused.value.field == field
