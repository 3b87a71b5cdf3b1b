"""Machines that were there before us: who may import them, what may be done to them, and what never is."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from catalog import consent, drift, imported, publish, quotas, winding_down
from catalog.clouds import CloudMachine, CloudSize, MachineStatus
from catalog.costs import budgets
from catalog.costs.tally import Month, tally
from catalog.errors import AlreadyExists, BudgetExceeded, CatalogError, Denied, InvalidValue, QuotaExceeded, WrongState
from catalog.holders import holder
from catalog.leases import ending, rules
from catalog.machines import ours_among, release
from catalog.messages.contracts import TAG_MACHINE
from catalog.model.consent import Grant, Side
from catalog.model.event import Event
from catalog.model.ids import MachineId, ProjectId
from catalog.model.machine import Custody, Machine, MachineState
from catalog.model.platform import Platform
from catalog.model.terms import EndRule
from catalog.pool.give_back import give_back
from catalog.prices import book
from catalog.prices.lines import PriceLine
from catalog.store import costs, machines, outbox, rows
from catalog.store.database import Tx
from tests.support.ordering import OFFER, OTHER_PROJECT, PLATFORM, PROJECT, seed
from tests.support.stores import Store

OBSERVED, MANAGED = Custody.OBSERVED, Custody.MANAGED
VERBS = ["create", "list", "start", "stop", "destroy"]


def there(cloud_id: str, name: str = "", *, size: str = "s1", **tags: str) -> CloudMachine:
    """Return a machine as its cloud lists it."""
    return CloudMachine(
        cloud_id=cloud_id, name=name or f"name-of-{cloud_id}", status=MachineStatus.RUNNING, addresses=("192.0.2.9",),
        size=size, image="i1", tags=tags,
    )  # fmt: skip


def listed(store: Store, *found: CloudMachine) -> None:
    """Take over ``found`` as all that the cloud lists, and note the drift."""

    def work(tx: Tx) -> None:
        publish.store_inventory(tx, PLATFORM, "machine", found, store.now_s)
        drift.note(tx, PLATFORM, read_from_s=store.now_s, now_s=store.now_s)

    store.write(work)


@pytest.fixture
def seeded(store: Store) -> Store:
    """Return a store with a platform that has two machines of its own and grants to list, to steer and to adopt."""

    def work(tx: Tx) -> None:
        seed(tx, now_s=store.now_s)
        sizes = [CloudSize(cloud_id=each, name=each, vcpu=2, memory_mib=4096, disk_gib=10) for each in ("s1", "s2")]
        publish.store_inventory(tx, PLATFORM, "size", sizes, store.now_s)
        granted(tx, store, verbs=[*VERBS, "adopt"])

    store.write(work)
    listed(store, there("vm-1"), there("vm-2"))
    store.clock.advance(10)
    return store


def granted(tx: Tx, store: Store, **terms: Any) -> Grant:
    """Let the grant of machines have these terms."""
    return rows.update(tx, rows.by_id(tx, Grant, "grant_M"), terms, store.now_s)


def take(store: Store, machine: str = "vm-1", custody: Custody = OBSERVED, project: ProjectId = PROJECT) -> Machine:
    """Import ``machine`` in a transaction of its own."""

    def work(tx: Tx) -> Machine:
        platform = rows.by_id(tx, Platform, PLATFORM)
        return imported.import_machine(
            tx, platform, machine=machine, project_id=project, custody=custody, now_s=store.now_s
        )

    return store.write(work)


def now(store: Store, machine: Machine) -> Machine:
    """Return the machine as it is by now."""
    return store.read(lambda tx: rows.by_id(tx, Machine, machine.id))


def sent(store: Store) -> int:
    """Return how many messages wait for the provisioner."""
    return len(store.read(lambda tx: outbox.unsent(tx, 100)))


def deed(store: Store, verb: str = "stop", machine: str = "vm-1") -> None:
    """Ask whether ``verb`` may be done to the machine now."""
    store.read(lambda tx: imported.refuse_deed(tx, PLATFORM, machine, verb, store.now_s))


def test_an_observed_machine_is_shown_and_nothing_is_done_to_it(seeded: Store) -> None:
    """It has its facts and its project from the first moment on; whatever is asked of it is denied; nothing is sent."""
    machine = take(seeded, "name-of-vm-1")
    shown = (machine.cloud_id, machine.name, machine.size, machine.image, machine.addresses, machine.vcpu)
    assert shown == ("vm-1", "name-of-vm-1", "s1", "i1", ["192.0.2.9"], 2)
    assert (machine.state, machine.project_id, machine.lease_ends_at_s) == (MachineState.IN_USE, PROJECT, None)
    for verb in ("start", "stop", "reboot", "destroy"):
        with pytest.raises(Denied, match="observed"):
            deed(seeded, verb)
    assert sent(seeded) == 0
    told = seeded.read(lambda tx: rows.where(tx, Event, subject_id=machine.id))
    assert [(each.kind, each.data["custody"], each.project_id) for each in told] == [
        ("machine.in-use", "observed", PROJECT)
    ]


@pytest.mark.parametrize(
    ("terms", "found", "custody", "error"),
    [
        pytest.param({"verbs": ["create"]}, there("vm-1"), OBSERVED, Denied, id="not granted to list"),
        pytest.param({"verbs": VERBS}, there("vm-1"), MANAGED, Denied, id="not granted to adopt"),
        pytest.param({"scope": {"projects": ["project_U"]}}, there("vm-1"), OBSERVED, Denied, id="for another project"),
        pytest.param({"scope": {"sizes": ["s2"]}}, there("vm-1"), MANAGED, Denied, id="of another size"),
        pytest.param({"scope": {"networks": ["n1"]}}, there("vm-1"), MANAGED, Denied, id="of no known network"),
        pytest.param({"scope": {"sizes": ["s*"]}}, there("vm-1", size=""), MANAGED, Denied, id="of no known size"),
        pytest.param({"quota": 0}, there("vm-1"), MANAGED, QuotaExceeded, id="no room in the grant"),
        pytest.param({}, there("vm-1", **{"aws:autoscaling:groupName": "g"}), MANAGED, Denied, id="a group's"),
        pytest.param({}, there("vm-1", **{TAG_MACHINE: "machine_x"}), MANAGED, Denied, id="another gateway's"),
        pytest.param({}, there("vm-9"), OBSERVED, InvalidValue, id="not there"),
    ],
)
def test_what_is_refused(
    seeded: Store, terms: dict[str, Any], found: CloudMachine, custody: Custody, error: type[CatalogError]
) -> None:
    """Deny by default: without the owner's word for just this nothing is imported, and nothing is left behind."""
    seeded.write(lambda tx: granted(tx, seeded, **terms))
    listed(seeded, found)
    with pytest.raises(error):
        take(seeded, "vm-1", custody)
    assert seeded.read(lambda tx: rows.where(tx, Machine)) == []


def test_what_others_steer_may_be_observed(seeded: Store) -> None:
    """A look harms no controller; to be managed it is refused with its name, now and later."""
    listed(seeded, there("vm-1", **{"kubernetes.io/cluster/a": "owned"}))
    machine = take(seeded)
    with pytest.raises(Denied, match="a Kubernetes cluster"):
        seeded.write(lambda tx: imported.entrust(tx, machine, MANAGED, seeded.now_s))
    assert now(seeded, machine).custody == OBSERVED


def test_a_managed_machine_is_steered_while_its_owner_grants_it(seeded: Store) -> None:
    """Each verb and the right to adopt are asked for at each deed; a controller that comes later stops us, too."""
    take(seeded, "vm-1", MANAGED)
    deed(seeded)
    with pytest.raises(Denied):
        deed(seeded, "reboot")
    seeded.write(lambda tx: granted(tx, seeded, verbs=VERBS))
    with pytest.raises(Denied, match="adopt"):
        deed(seeded)
    seeded.write(lambda tx: granted(tx, seeded, verbs=[*VERBS, "adopt"]))
    deed(seeded)
    listed(seeded, there("vm-1", **{"eks:cluster-name": "c"}))
    with pytest.raises(Denied, match="EKS"):
        deed(seeded)


def test_deeds_to_other_machines_are_nobody_s_business_here(seeded: Store) -> None:
    """What is not imported is judged elsewhere, as ever."""
    deed(seeded, "stop", "vm-2")


def test_one_machine_has_one_row(seeded: Store) -> None:
    """It is imported once, whoever asks; the table itself refuses a second; released it may be imported again."""
    first = take(seeded)
    with pytest.raises(AlreadyExists):
        take(seeded, project=OTHER_PROJECT)
    again = first.model_dump() | {"id": "machine_other"}
    with pytest.raises(AlreadyExists):
        seeded.write(lambda tx: rows.insert(tx, Machine(**again), seeded.now_s))
    seeded.write(lambda tx: imported.let_go(tx, rows.by_id(tx, Machine, first.id), seeded.now_s))
    assert now(seeded, first).state is MachineState.GONE
    second = take(seeded, "vm-1", MANAGED, OTHER_PROJECT)
    found = seeded.read(lambda tx: ours_among(tx, PLATFORM, {"vm-1", "vm-2"}))
    assert {cloud_id: machine.id for cloud_id, machine in found.items()} == {"vm-1": second.id}
    assert sent(seeded) == 0


@pytest.mark.parametrize("known", ["cloud_id", "tag", "name"])
def test_what_we_made_is_not_imported(seeded: Store, known: str) -> None:
    """A machine of ours is known by its id, our tag or its name, whichever its cloud still tells."""
    made = Machine(
        id=MachineId("machine_made"), platform_id=PLATFORM, offer_id=OFFER, project_id=PROJECT, name="web-1", size="s1",
        image="i1", state=MachineState.IN_USE, cloud_id="vm-1" if known == "cloud_id" else None,
    )  # fmt: skip
    seeded.write(lambda tx: rows.insert(tx, made, seeded.now_s))
    tags = {TAG_MACHINE: made.id} if known == "tag" else {}
    listed(seeded, there("vm-1", "web-1" if known == "name" else "", **tags))
    with pytest.raises(AlreadyExists, match="made here"):
        take(seeded)
    with pytest.raises(WrongState):
        seeded.write(lambda tx: release(tx, rows.by_id(tx, Machine, made.id), seeded.now_s, reason=""))
    with pytest.raises(WrongState):
        seeded.write(lambda tx: imported.entrust(tx, rows.by_id(tx, Machine, made.id), OBSERVED, seeded.now_s))


def test_managed_counts_in_the_quotas_and_observed_does_not(seeded: Store) -> None:
    """In the sums of project, grant and search; to manage one that was observed takes room, the way back frees it."""

    def sums() -> list[int]:
        def counted(tx: Tx) -> list[int]:
            everywhere = machines.taken_everywhere(tx)
            return [
                machines.held_by(tx, [PROJECT]).machines,
                machines.taken_at(tx, PLATFORM).machines,
                everywhere[PLATFORM].machines if PLATFORM in everywhere else 0,
            ]

        return seeded.read(counted)

    def limit(count: int) -> None:
        seeded.write(lambda tx: quotas.change(tx, holder(tx, PROJECT), {"machines": count}, seeded.now_s))

    def entrust(machine: Machine, custody: Custody) -> None:
        seeded.write(lambda tx: imported.entrust(tx, rows.by_id(tx, Machine, machine.id), custody, seeded.now_s))

    limit(0)
    machine = take(seeded)
    assert sums() == [0, 0, 0]
    with pytest.raises(QuotaExceeded):
        entrust(machine, MANAGED)
    limit(1)
    entrust(machine, MANAGED)
    assert sums() == [1, 1, 1]
    with pytest.raises(QuotaExceeded):
        take(seeded, "vm-2", MANAGED)
    entrust(machine, OBSERVED)
    assert sums() == [0, 0, 0]


@pytest.mark.parametrize("custody", [OBSERVED, MANAGED])
@pytest.mark.parametrize("rule", [None, *EndRule], ids=str)
def test_no_end_rule_destroys_what_was_there_before(seeded: Store, rule: EndRule | None, custody: Custody) -> None:
    """When its grant has ended it is left alone, and released when the others would be destroyed; nothing is sent."""
    machine = take(seeded, "vm-1", custody)
    seeded.write(lambda tx: granted(tx, seeded, on_end=rule and rule.value, wind_down_s=600.0))
    seeded.write(lambda tx: consent.revoke(tx, "grant_M", seeded.now_s))
    ended = sent(seeded)  # the end of the epoch
    assert (now(seeded, machine).state is MachineState.GONE) == (rule is EndRule.DESTROY)
    if rule is not EndRule.DESTROY:
        assert "left alone" in now(seeded, machine).notice
    assert seeded.read(lambda tx: winding_down.session_of(tx, PLATFORM, "machine", seeded.now_s)) is None, (
        "nothing of ours"
    )
    seeded.clock.advance(601)
    seeded.write(lambda tx: winding_down.end_due(tx, seeded.now_s))
    assert (now(seeded, machine).state is MachineState.GONE) == (rule is not None)
    assert sent(seeded) == ended


def test_a_grant_that_is_held_back_and_let_go_says_so_and_no_more(seeded: Store) -> None:
    """Suspended, nothing may be done to a managed machine and its holder is told; resumed, all is as before."""
    machine = take(seeded, "vm-1", MANAGED)
    seeded.write(lambda tx: consent.suspend(tx, "grant_M", Side.PLATFORM, seeded.now_s))
    assert "left alone" in now(seeded, machine).notice
    with pytest.raises(Denied):
        deed(seeded)
    seeded.write(lambda tx: consent.resume(tx, "grant_M", Side.PLATFORM, seeded.now_s))
    assert now(seeded, machine).notice == ""
    deed(seeded)


def _by_lease(tx: Tx, machine: MachineId, now_s: float) -> None:
    rules.extend(tx, rows.by_id(tx, Machine, machine), 1.0, now_s, by_admin=True, may_give_end=True)
    assert ending.end_due(tx, now_s + 2, ()) == 1


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(_by_lease, id="its lease is over"),
        pytest.param(lambda tx, machine, now_s: give_back(tx, machine, PROJECT, now_s), id="its project gives it back"),
    ],
)
def test_who_is_done_with_it_releases_it(seeded: Store, end: Callable[[Tx, MachineId, float], object]) -> None:
    """No end but an explicit destruction asks anything of its cloud."""
    machine = take(seeded, "vm-1", MANAGED)
    seeded.write(lambda tx: end(tx, machine.id, seeded.now_s))
    gone = now(seeded, machine)
    assert (gone.state, gone.cloud_id) == (MachineState.GONE, "vm-1")
    assert sent(seeded) == 0


def test_drift_is_against_what_was_imported(seeded: Store) -> None:
    """No mark of ours is missed; another name, another controller and absence are told, of an observed one, too."""
    managed, observed = take(seeded, "vm-1", MANAGED), take(seeded, "vm-2")
    seeded.clock.advance(10)
    listed(seeded, there("vm-1"), there("vm-2"))
    assert (now(seeded, managed).drift, now(seeded, observed).drift) == ([], [])
    seeded.clock.advance(10)
    listed(seeded, there("vm-1", "other", **{"eks:cluster-name": "c"}))
    assert now(seeded, managed).drift == [
        {"field": "name", "catalog": "name-of-vm-1", "cloud": "other"},
        {"field": "controller", "catalog": "", "cloud": "an EKS cluster (tag eks:…)"},
    ]
    assert [each["field"] for each in now(seeded, observed).drift] == ["existence"]


def test_what_a_managed_one_costs_is_its_project_s(seeded: Store) -> None:
    """Two hours at 0.25 from the import on, as the book had it then; an observed one only shows its price."""
    line = PriceLine(
        line=1, provider="memory", region="", item="s1", unit="hour", amount=Decimal("0.25"), currency="EUR",
        source="list", valid_from_s=0.0,
    )  # fmt: skip
    seeded.write(lambda tx: book.import_lines(tx, [line], seeded.now_s))
    observed, managed = take(seeded, "vm-1"), take(seeded, "vm-2", MANAGED)
    assert observed.price == managed.price
    assert managed.price is not None
    assert managed.price["amount"] == "0.25"
    seeded.clock.advance(7200)
    seeded.write(lambda tx: imported.let_go(tx, rows.by_id(tx, Machine, managed.id), seeded.now_s))
    month = Month.at(seeded.now_s)
    uses = seeded.read(lambda tx: costs.uses(tx, [PROJECT], month.begin_s, month.end_s))
    assert tally(uses, month, seeded.now_s).by_currency["EUR"].spent == Decimal("0.5")


def test_one_that_was_observed_costs_from_when_it_is_managed(seeded: Store) -> None:
    """Ten hours of looking are nobody's, and two of managing 0.5; a budget without room for it refuses, then too."""
    line = PriceLine(
        line=1, provider="memory", region="", item="s1", unit="hour", amount=Decimal("0.25"), currency="EUR",
        source="list", valid_from_s=0.0,
    )  # fmt: skip
    seeded.write(lambda tx: book.import_lines(tx, [line], seeded.now_s))
    machine = take(seeded)
    seeded.clock.advance(36_000)

    def manage() -> Machine:
        return seeded.write(lambda tx: imported.entrust(tx, now_in(tx, machine), MANAGED, seeded.now_s))

    def now_in(tx: Tx, row: Machine) -> Machine:
        return rows.by_id(tx, Machine, row.id)

    def limit(amount: str) -> None:
        terms = {"amount": amount, "currency": "EUR", "stops_orders": True}
        seeded.write(lambda tx: budgets.change(tx, holder(tx, PROJECT), terms, seeded.now_s))

    limit("0.1")
    with pytest.raises(BudgetExceeded):
        manage()
    with pytest.raises(BudgetExceeded):
        take(seeded, "vm-2", MANAGED)
    limit("1000")
    manage()
    manage()
    seeded.clock.advance(7200)
    month = Month.at(seeded.now_s)
    uses = seeded.read(lambda tx: costs.uses(tx, [PROJECT], month.begin_s, month.end_s))
    assert tally(uses, month, seeded.now_s).by_currency["EUR"].spent == Decimal("0.5")
