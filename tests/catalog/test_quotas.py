"""Quotas of projects and organisations: what counts, from when until when, and that no order gets past one."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog import quotas
from catalog.allowance import Weight
from catalog.errors import CatalogError, NotFound, QuotaExceeded
from catalog.holders import Holder, HolderKind, holder, holders_of
from catalog.messages.contracts import MachineCreated, MachineDestroyed, MachineFailed, Message
from catalog.model.approval import Approval, ApprovalRule, ApprovalState, Verdict
from catalog.model.ids import MachineId, MessageId, OrderId, ProjectId, new_id
from catalog.model.machine import Machine, MachineState
from catalog.model.offering import InventoryItem
from catalog.model.order import Order, OrderState
from catalog.model.quota import Quota
from catalog.model.tenancy import Project
from catalog.orders.approving import answer, settle_waiting
from catalog.orders.retry import cancel, retry_due
from catalog.orders.settle import settle
from catalog.pool.give_back import destroy, give_back
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.machines import Taken
from tests.support.approving import ADMIN, rule
from tests.support.ordering import OFFER, OTHER_PROJECT, PLATFORM, PROJECT, RETRY, order, seed
from tests.support.stores import Store, opened_store

SIZES = {"s1": (2.0, 4.0), "s2": (8.0, 32.0)}
OWNER = f"organisation_{PROJECT}"
SISTER = ProjectId("project_sister")


def prepare(tx: Tx) -> None:
    """Write two sizes that count, and a second project of the first organisation."""
    seed(tx)
    for item in rows.where(tx, InventoryItem, kind="size"):
        vcpu, memory_gib = SIZES[item.cloud_id]
        rows.update(tx, item, {"vcpu": vcpu, "memory_gib": memory_gib}, 1.0)
    owner = rows.by_id(tx, Project, PROJECT).organisation_id
    rows.insert(tx, Project(id=SISTER, organisation_id=owner, name="sister"), 1.0)


@pytest.fixture
def world(store: Store) -> Store:
    """Return the prepared database."""
    store.write(prepare)
    return store


def limit(tx: Tx, whose: str, **limits: int | None) -> Quota:
    """Set limits of the holder."""
    return quotas.change(tx, holder(tx, whose), limits, 1.0)


def refusal(world: Store, work: Callable[[Tx], object]) -> str:
    """Return in which words ``work`` is refused; nothing of it stays."""
    with pytest.raises(QuotaExceeded) as refused:
        world.write(work)
    assert refused.value.field == "quota"
    return str(refused.value)


@pytest.mark.parametrize(
    ("limits", "held", "wanted", "words"),
    [
        pytest.param({}, (9, 99.0, None), (None, None), "", id="no limit, whatever is not known"),
        pytest.param({"machines": 3}, (2, None, None), (None, None), "", id="the last machine"),
        pytest.param({"machines": 3}, (3, 6.0, 1024), (2, 4096), "3 are used, 0 are left, 1 are needed", id="machines"),
        pytest.param({"cores": 8}, (3, 6.0, 1024), (2, 4096), "", id="the last cores"),
        pytest.param({"cores": 7}, (3, 6.0, 1024), (2, 4096), "6 are used, 1 are left, 2 are needed", id="cores"),
        pytest.param({"memory_gib": 4}, (1, 1.0, 1024), (1, 3072), "", id="the last memory"),
        pytest.param({"memory_gib": 4}, (1, 1.0, 1024), (1, 3584), "1 are used, 3 are left, 3.5 are", id="memory"),
        pytest.param({"cores": 9}, (1, 1.0, 1024), (None, 3584), "not every machine's are known", id="unknown size"),
        pytest.param({"cores": 9}, (1, None, 1024), (1, 3584), "not every machine's are known", id="unknown machine"),
        pytest.param({"machines": 2}, (5, 1.0, 1), (1, 1), "5 are used, 0 are left", id="lowered below what is held"),
        pytest.param({"machines": 0}, (0, 0.0, 0), (1, 1), "0 are used", id="none at all"),
    ],
)
def test_what_a_quota_has_room_for(
    limits: dict[str, int],
    held: tuple[int, float | None, int | None],
    wanted: tuple[float | None, int | None],
    words: str,
) -> None:
    """One more is admitted up to the limit and not beyond; what cannot be counted is not admitted where it counts."""
    taken = Taken(machines=held[0], vcpu=held[1], memory_mib=held[2])
    said = quotas.shortage(
        Quota.model_validate({"id": "p", **limits}), taken, Weight(vcpu=wanted[0], memory_mib=wanted[1])
    )
    assert words in said
    assert bool(said) == bool(words)


def test_a_project_s_quota_refuses_in_words_that_help(world: Store) -> None:
    """The refusal says whose quota of what it is, how much is used, left and needed; a smaller size still fits."""
    world.write(lambda tx: limit(tx, PROJECT, cores=10))
    world.write(lambda tx: order(tx, None, 2.0, size="small"))
    said = refusal(world, lambda tx: order(tx, None, 2.0, size="large") and order(tx, None, 2.0, size="large"))
    assert said == (
        "the quota of project owner-of-project_T/shop is 10 vCPU at once: 10 are used, 0 are left, 8 are needed"
    )
    world.write(lambda tx: order(tx, None, 2.0, size="small"))
    world.write(lambda tx: order(tx, None, 2.0, project=OTHER_PROJECT, size="large"))


def test_an_organisation_s_quota_holds_for_all_its_projects_together(world: Store) -> None:
    """Two machines of one project leave one for its sister; a rival organisation is not touched."""
    world.write(lambda tx: limit(tx, OWNER, machines=3))
    for project in (PROJECT, PROJECT, SISTER):
        world.write(lambda tx, project=project: order(tx, None, 2.0, project=project))
    for project in (PROJECT, SISTER):
        assert "organisation owner-of-project_T" in refusal(
            world, lambda tx, project=project: order(tx, None, 2.0, project=project)
        )
    world.write(lambda tx: order(tx, None, 2.0, project=OTHER_PROJECT))
    used = world.read(lambda tx: quotas.used(tx, holder(tx, OWNER)))
    assert used == Taken(machines=3, vcpu=6.0, memory_mib=3 * 4096)


def test_a_machine_from_a_pool_counts_for_what_it_is(world: Store) -> None:
    """An idle machine of no known size is not handed over under a quota of cores; without one it is."""

    def idle(tx: Tx) -> Machine:
        machine = Machine(
            id=MachineId("m1"),
            platform_id=PLATFORM,
            offer_id=OFFER,
            name="m1",
            size="s1",
            image="i1",
            state=MachineState.IDLE,
        )
        return rows.insert(tx, machine, 1.0)

    world.write(idle)
    world.write(lambda tx: limit(tx, PROJECT, cores=100))
    assert "not every machine's are known" in refusal(world, lambda tx: order(tx, None, 2.0))
    world.write(lambda tx: limit(tx, PROJECT, cores=None, machines=1))
    assert world.write(lambda tx: order(tx, None, 2.0)).machine_id == "m1"
    assert "1 machines at once: 1 are used" in refusal(world, lambda tx: order(tx, None, 2.0))


def test_only_what_is_named_changes_and_none_takes_a_limit_away(world: Store) -> None:
    """A quota is one row per holder that grows in versions; what nobody set is of version 0 and limits nothing."""
    whose = world.read(lambda tx: holder(tx, PROJECT))
    assert world.read(lambda tx: quotas.quota_of(tx, whose)).version == 0
    world.write(lambda tx: limit(tx, PROJECT, machines=3, cores=9))
    now = world.write(lambda tx: limit(tx, PROJECT, cores=None, memory_gib=64))
    assert (now.machines, now.cores, now.memory_gib, now.version) == (3, None, 64, 2)


def test_holders_are_called_as_people_call_them(world: Store) -> None:
    """A project by id or ORGANISATION/PROJECT, an organisation by id or name; both rules of a project are found."""
    project = Holder(kind=HolderKind.PROJECT, id=PROJECT, reference="owner-of-project_T/shop")
    owner = Holder(kind=HolderKind.ORGANISATION, id=OWNER, reference="owner-of-project_T")
    for text, found in ((PROJECT, project), (project.reference, project), (OWNER, owner), (owner.reference, owner)):
        assert world.read(lambda tx, text=text: holder(tx, text)) == found
    assert world.read(lambda tx: holders_of(tx, PROJECT)) == (project, owner)
    for text in ("shop", "owner-of-project_T/none", "none/shop", "none"):
        with pytest.raises(NotFound):
            world.read(lambda tx, text=text: holder(tx, text))


DEEDS = ("place", "place-large", "created", "failed", "gave-up", "cancel", "destroy", "give-back", "gone", "retry")
APPROVING = ("rule", "approve", "deny", "withdraw", "time-out")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(st.tuples(st.sampled_from(DEEDS + APPROVING), st.integers(0, 7)), max_size=30))
def test_whatever_happens_in_whatever_order_no_quota_is_exceeded(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[tuple[str, int]]
) -> None:
    """After every deed of any story, what is counted is what exists and within the limits; what fits is admitted."""
    with opened_store(tmp_path_factory.mktemp("quotas")) as store:
        store.write(lambda tx: _told(tx, deeds))


def _told(tx: Tx, deeds: list[tuple[str, int]]) -> None:
    prepare(tx)
    limit(tx, PROJECT, machines=4, cores=20, memory_gib=64)
    for moment, (deed, which) in enumerate(deeds, start=1):
        now_s = 1000.0 * moment
        before = _existing(tx)
        try:
            with tx.begin_nested():
                _do(tx, deed, which, now_s)
        except QuotaExceeded:
            vcpu, memory_gib = SIZES["s2" if deed == "place-large" else "s1"]
            assert before[0] + 1 > 4 or before[1] + vcpu > 20 or before[2] + memory_gib > 64
        except CatalogError:
            pass  # not possible where this machine or order stands
        exist = _existing(tx)
        used = quotas.used(tx, holder(tx, PROJECT))
        assert (used.machines, used.vcpu, (used.memory_mib or 0) / 1024) == exist
        assert exist[0] <= 4
        assert exist[1] <= 20
        assert exist[2] <= 64


def _existing(tx: Tx) -> tuple[int, float, float]:
    """Return what exists or waits for approval, by the sizes and not by what is written of them."""
    sizes = [SIZES[row.size] for row in rows.where(tx, Machine) if row.state is not MachineState.GONE]
    sizes += [SIZES[row.size] for row in rows.where(tx, Order, state=OrderState.AWAITING_APPROVAL)]
    return len(sizes), sum(size[0] for size in sizes), sum(size[1] for size in sizes)


def _do(tx: Tx, deed: str, which: int, now_s: float) -> None:
    if deed.startswith("place"):
        order(tx, None, now_s, size="large" if deed == "place-large" else "small")
        return
    if deed == "retry":
        retry_due(tx, now_s, RETRY)
        return
    if deed in APPROVING:
        _approve(tx, deed, which, now_s)
        return
    known = rows.where(tx, Machine)
    if not known:
        return
    machine = known[which % len(known)]
    match deed:
        case "cancel":
            cancel(tx, OrderId(machine.order_id or ""), now_s)
        case "destroy":
            destroy(tx, MachineId(machine.id), PROJECT, now_s)
        case "give-back":
            give_back(tx, MachineId(machine.id), PROJECT, now_s)
        case _:
            settle(tx, _report(deed, machine, now_s), now_s, RETRY)


def _approve(tx: Tx, deed: str, which: int, now_s: float) -> None:
    """Make or remove the one rule, or let something become of an order that waits."""
    if deed == "rule":
        made = rows.where(tx, ApprovalRule)
        if made:
            rows.delete(tx, made[0])
        else:
            rule(tx, "role:admin", now_s=now_s, wait_s=5000.0)
        return
    waiting = rows.where(tx, Approval, state=ApprovalState.WAITING)
    if deed == "time-out" or not waiting:
        settle_waiting(tx, now_s, RETRY)
        return
    question = waiting[which % len(waiting)]
    if deed == "withdraw":
        cancel(tx, question.order_id, now_s)
    else:
        answer(tx, question, ADMIN, Verdict(deed), now_s=now_s, policy=RETRY)


def _report(deed: str, machine: Machine, now_s: float) -> Message:
    id_, name, at = MessageId(new_id("message", now_s)), MachineId(machine.id), PLATFORM
    match deed:
        case "created":
            return MachineCreated(
                id=id_, created_at_s=now_s, machine=name, platform=at, attempt=machine.attempt, cloud_id=f"vm-{name}"
            )
        case "gone":
            return MachineDestroyed(id=id_, created_at_s=now_s, machine=name, platform=at)
    return MachineFailed(
        id=id_,
        created_at_s=now_s,
        machine=name,
        platform=at,
        attempt=machine.attempt,
        code="refused",
        reason="no",
        retryable=deed == "failed",
    )
