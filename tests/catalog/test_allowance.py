"""What a grant admits of machines: its scope by name or id, its quotas by what each machine counts for."""

import pytest

from catalog.allowance import Wanted, refuse_beyond, refuse_outside, refuse_retry_beyond, room
from catalog.errors import Denied, QuotaExceeded
from catalog.model.consent import Grant
from catalog.model.ids import MachineId
from catalog.model.machine import Machine, MachineState
from catalog.model.offering import InventoryItem
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.ordering import OFFER, PLATFORM, order, seed
from tests.support.stores import Store

SMALL = {"vcpu": 2.0, "memory_mib": 4096}
GRANT = "grant_M"


@pytest.fixture
def world(store: Store) -> Store:
    """Return a platform in region "eu-1" with machines granted; size s1 ("small") counts, s2 ("large") does not."""

    def work(tx: Tx) -> None:
        seed(tx)
        rows.update(tx, rows.by_id(tx, Platform, PLATFORM), {"region": "eu-1"}, 1.0)
        small = rows.where(tx, InventoryItem, cloud_id="s1")[0]
        rows.update(tx, small, {"vcpu": 2.0, "memory_gib": 4.0}, 1.0)
        place = InventoryItem(platform_id=PLATFORM, kind="location", cloud_id="l1", name="Frankfurt")
        rows.insert(tx, place, 1.0)

    store.write(work)
    return store


def terms(world: Store, **given: object) -> None:
    """Give the grant these terms."""
    world.write(lambda tx: rows.update(tx, rows.by_id(tx, Grant, GRANT), given, 2.0))


def machine(world: Store, number: int, **facts: object) -> None:
    """Let the platform hold a machine."""
    row = Machine(
        id=MachineId(f"m{number}"), platform_id=PLATFORM, offer_id=OFFER, name=f"m{number}", size="s1", image="i1"
    )
    for name, value in facts.items():
        setattr(row, name, value)
    world.write(lambda tx: rows.insert(tx, row, 2.0))


@pytest.mark.parametrize(
    ("scope", "wanted", "wrong"),
    [
        pytest.param({}, Wanted(size="s2", image="i1"), None, id="no scope is any"),
        pytest.param({"sizes": ["s1"]}, Wanted(size="s1", image="i1"), None, id="by id"),
        pytest.param({"sizes": ["sm*"]}, Wanted(size="s1", image="i1"), None, id="by pattern of a name"),
        pytest.param({"sizes": ["sm*"]}, Wanted(size="s2", image="i1"), "size", id="another size"),
        pytest.param({"sizes": ["S1"]}, Wanted(size="s1", image="i1"), "size", id="case counts"),
        pytest.param({"images": ["debian-*"]}, Wanted(size="s1", image="i1"), None, id="an image"),
        pytest.param({"images": ["ubuntu-*"]}, Wanted(size="s1", image="i1"), "image", id="another image"),
        pytest.param({"regions": ["eu-*"]}, Wanted(size="s1", image="i1"), None, id="the platform's own region"),
        pytest.param({"regions": ["us-*"]}, Wanted(size="s1", image="i1"), "location", id="cloud's choice, outside"),
        pytest.param({"regions": ["Frank*"]}, Wanted(size="s1", image="i1", location="l1"), None, id="a location"),
        pytest.param({"regions": ["Frank*"]}, Wanted(size="s1", image="i1"), "location", id="a location left open"),
    ],
)
def test_only_what_is_in_scope_passes(world: Store, scope: object, wanted: Wanted, wrong: str | None) -> None:
    """A pattern fits the whole id or the whole name; what is outside is refused by the order's field."""
    terms(world, scope=scope)

    def ask(tx: Tx) -> None:
        refuse_outside(tx, rows.by_id(tx, Grant, GRANT), wanted)

    if wrong is None:
        world.read(ask)
        return
    with pytest.raises(Denied) as refused:
        world.read(ask)
    assert refused.value.field == wrong


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        pytest.param({}, None, id="no quota"),
        pytest.param({"quota": 3}, 2, id="machines: 3 - 1"),
        pytest.param({"cores": 7}, 2, id="cores: (7 - 2) / 2 rounded down"),
        pytest.param({"memory_gib": 8}, 1, id="memory: (8 - 4) / 4"),
        pytest.param({"quota": 9, "cores": 7, "memory_gib": 4}, 0, id="the least counts"),
    ],
)
def test_each_quota_counts_what_is_there(world: Store, limits: dict[str, int], left: int | None) -> None:
    """One machine of 2 vCPU and 4 GiB is there, one that is gone does not count, and another like it is wanted."""
    machine(world, 1, **SMALL)
    machine(world, 2, **SMALL, state=MachineState.GONE)
    terms(world, **limits)
    found, words = world.read(lambda tx: room(tx, rows.by_id(tx, Grant, GRANT), "s1"))
    assert found == left
    assert bool(words) == (left == 0)


def test_what_is_not_known_is_not_admitted_under_a_quota_that_counts_it(world: Store) -> None:
    """A size without figures, or a machine there without them: with a quota of cores no further one; without, any."""
    terms(world, cores=100)
    with pytest.raises(QuotaExceeded, match="not every machine's are known"):
        world.read(lambda tx: refuse_beyond(tx, rows.by_id(tx, Grant, GRANT), "s2"))
    machine(world, 1)
    with pytest.raises(QuotaExceeded, match="not every machine's are known"):
        world.read(lambda tx: refuse_beyond(tx, rows.by_id(tx, Grant, GRANT), "s1"))
    terms(world, cores=None)
    world.read(lambda tx: refuse_beyond(tx, rows.by_id(tx, Grant, GRANT), "s2"))


def test_of_those_that_wait_for_another_attempt_the_oldest_keep_their_places(world: Store) -> None:
    """One machine runs, three failed and wait, and the grant is narrowed to three: the two oldest go on, in any order.

    Only where nothing is narrowed may all of them.
    """
    machine(world, 9, **SMALL)

    def wait(tx: Tx) -> list[Machine]:
        for number in (1, 2, 3):
            placed = order(tx, None, 2.0 + number)
            rows.update(tx, placed, {"next_attempt_at_s": 99.0}, 3.0)
        return [each for each in rows.where(tx, Machine) if each.order_id]

    waiting = world.write(wait)
    for limits, going_on in (
        ({}, [1, 1, 1]),
        ({"quota": 3}, [1, 1, 0]),
        ({"cores": 4}, [1, 0, 0]),
        ({"quota": 1}, [0] * 3),
    ):
        terms(world, **{"quota": None, "cores": None, **limits})
        assert [_is_retried(world, each) for each in waiting] == going_on
        assert [_is_retried(world, each) for each in reversed(waiting)] == going_on[::-1]


def _is_retried(world: Store, machine: Machine) -> bool:
    try:
        world.read(lambda tx: refuse_retry_beyond(tx, rows.by_id(tx, Grant, GRANT), machine))
    except QuotaExceeded:
        return False
    return True
