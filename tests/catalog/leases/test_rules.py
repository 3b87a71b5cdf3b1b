"""How long a machine is lent: what was asked for, what rules say, and who may have it for longer."""

import pytest

from catalog.errors import InvalidValue, WrongState
from catalog.holders import holder
from catalog.leases.rules import change_rule, decided, extend, in_words, rule_of
from catalog.model.ids import MachineId
from catalog.model.lease import LeaseRule
from catalog.model.machine import Machine, MachineState
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.ordering import OFFER, PLATFORM, PROJECT, order, seed
from tests.support.stores import Store

OWNER = f"organisation_{PROJECT}"


def rule(default_s: float | None, longest_s: float | None) -> LeaseRule:
    """Return a rule that is stored nowhere."""
    return LeaseRule(id="x", default_s=default_s, longest_s=longest_s)


@pytest.mark.parametrize(
    ("rules", "asked_s", "lease_s"),
    [
        pytest.param([], None, None, id="nobody says anything: no end"),
        pytest.param([], 60.0, 60.0, id="as asked"),
        pytest.param([rule(50, None), rule(70, None)], None, 50, id="the nearest default"),
        pytest.param([rule(None, None), rule(70, None)], None, 70, id="the organisation's default"),
        pytest.param([rule(50, None)], 9000.0, 9000.0, id="a default is no limit"),
        pytest.param([rule(None, 100), rule(None, 80)], None, 80, id="without a default the shortest longest"),
        pytest.param([rule(50, None), rule(None, 30)], None, 30, id="no default gets past the organisation's longest"),
        pytest.param([rule(None, 100), rule(None, 80)], 80.0, 80.0, id="up to the longest"),
    ],
)
def test_the_lease_of_an_order(rules: list[LeaseRule], asked_s: float | None, lease_s: float | None) -> None:
    """What was asked for counts, else the nearest default; the shortest longest holds for both."""
    assert decided(rules, asked_s) == lease_s


def test_more_than_the_longest_is_refused_by_the_field(store: Store) -> None:
    """An order for longer than an organisation lets is refused in words, and a default beyond the longest as well."""
    store.write(seed)
    store.write(lambda tx: change_rule(tx, holder(tx, OWNER), {"longest_s": 7200.0}, 1.0))
    with pytest.raises(InvalidValue, match="at most 2 hours") as refused:
        store.write(lambda tx: order(tx, None, 2.0, lease_s=7201.0))
    assert refused.value.field == "lease_s"
    with pytest.raises(InvalidValue) as refused:
        store.write(lambda tx: change_rule(tx, holder(tx, OWNER), {"default_s": 7201.0}, 1.0))
    assert refused.value.field == "default_s"
    assert store.read(lambda tx: rule_of(tx, holder(tx, PROJECT))).version == 0
    kept = store.write(lambda tx: change_rule(tx, holder(tx, OWNER), {"default_s": 3600.0}, 1.0))
    assert (kept.default_s, kept.longest_s, kept.version) == (3600.0, 7200.0, 2)


def test_a_member_extends_up_to_the_longest_from_now_and_an_admin_beyond(store: Store) -> None:
    """Half an hour before the end two hours more are allowed again, three are not; an admin may, and may end leases."""

    def work(tx: Tx) -> Machine:
        seed(tx)
        change_rule(tx, holder(tx, PROJECT), {"longest_s": 7200.0}, 1.0)
        rows.insert(tx, idle(), 1.0)
        return rows.by_id(tx, Machine, order(tx, None, 1000.0).machine_id)

    machine = store.write(work)
    assert machine.lease_ends_at_s == 8200.0
    longer = store.write(lambda tx: extend(tx, rows.by_id(tx, Machine, "m1"), 7200.0, 6400.0, by_admin=False))
    assert longer.lease_ends_at_s == 13_600.0
    with pytest.raises(InvalidValue):
        store.write(lambda tx: extend(tx, rows.by_id(tx, Machine, "m1"), 10_800.0, 6400.0, by_admin=False))
    longest = store.write(lambda tx: extend(tx, rows.by_id(tx, Machine, "m1"), None, 7000.0, by_admin=False))
    assert longest.lease_ends_at_s == 14_200.0
    assert (
        store.write(lambda tx: extend(tx, rows.by_id(tx, Machine, "m1"), None, 7000.0, by_admin=True)).lease_ends_at_s
        is None
    )
    for state in (MachineState.BUILDING, MachineState.DESTROYING, MachineState.GONE, MachineState.IDLE):
        with pytest.raises(WrongState):
            store.write(lambda tx, state=state: extend(tx, idle(state), 1.0, 1.0, by_admin=True))


def test_what_is_lent_without_an_end_gets_none_by_being_extended(store: Store) -> None:
    """An hour more of what never ends would be its loss: it is refused, unless an end is meant; no end is no change."""

    def work(tx: Tx) -> Machine:
        seed(tx)
        rows.insert(tx, idle(), 1.0)
        return rows.by_id(tx, Machine, order(tx, None, 1000.0).machine_id)

    machine = store.write(work)
    assert machine.lease_ends_at_s is None
    for by_admin in (False, True):
        with pytest.raises(WrongState, match="without an end") as refused:
            store.write(
                lambda tx, by_admin=by_admin: extend(tx, rows.by_id(tx, Machine, "m1"), 60.0, 1001.0, by_admin=by_admin)
            )
        assert "--give-end" in (refused.value.fix or "")
    assert store.read(lambda tx: rows.by_id(tx, Machine, "m1")).lease_ends_at_s is None
    given = store.write(
        lambda tx: extend(tx, rows.by_id(tx, Machine, "m1"), 60.0, 1001.0, by_admin=False, may_give_end=True)
    )
    assert given.lease_ends_at_s == 1061.0


def idle(state: MachineState = MachineState.IDLE) -> Machine:
    """Return a machine that fits every ordinary order."""
    return Machine(
        id=MachineId("m1"), platform_id=PLATFORM, offer_id=OFFER, name="m1", size="s1", image="i1", state=state
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        pytest.param(86_400.0, "1 day", id="a day"),
        pytest.param(129_600.0, "36 hours", id="a day and a half"),
        pytest.param(5400.0, "90 minutes", id="an hour and a half"),
        pytest.param(61.0, "61 seconds", id="odd"),
    ],
)
def test_times_in_words(seconds: float, words: str) -> None:
    """The greatest unit that leaves no rest."""
    assert in_words(seconds) == words
