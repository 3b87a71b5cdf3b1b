"""Orders that wait for approval: who counts, what is reserved, what is judged again, and that each goes on once."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from catalog import accounts, quotas
from catalog.costs import budgets
from catalog.errors import AlreadyExists, BudgetExceeded, CatalogError, Denied, InvalidValue, QuotaExceeded, WrongState
from catalog.holders import holder
from catalog.messages.contracts import MachineCreated
from catalog.model.access import Account, Membership
from catalog.model.approval import Approval, ApprovalRule, ApprovalState, Verdict
from catalog.model.event import Event
from catalog.model.ids import MachineId, MessageId
from catalog.model.machine import Machine, MachineState
from catalog.model.offering import Offer, OfferState
from catalog.model.order import Order, OrderState
from catalog.orders.approving import settle_waiting
from catalog.orders.retry import cancel
from catalog.orders.settle import settle
from catalog.store import outbox, rows
from catalog.store.database import Tx
from tests.support.approving import account, costs, ordered, people, question, rule, says
from tests.support.clocks import ManualClock
from tests.support.ordering import OFFER, PLATFORM, PROJECT, RETRY, seed, seeded_database
from tests.support.stores import Store

YES, NO = Verdict.APPROVE, Verdict.DENY
DAY_S = 86_400.0
WAIT_S = 7 * DAY_S
NOW_S = 1_795_000_000.0  # 18 November 2026
TOMORROW_S = NOW_S + DAY_S
SAID = itertools.count()


@pytest.fixture
def world(store: Store) -> Store:
    """Return a database with a project, its people, and a platform whose small size costs 1 EUR an hour."""
    store.write(lambda tx: (seed(tx), people(tx), costs(tx, "1")))
    return store


def asked(world: Store, *approvers: str, needed: int = 1, allows_own: bool = False, by: str = "mara") -> Order:
    """Make a rule, and return an order that waits because of it."""
    world.write(lambda tx: rule(tx, *approvers, needed=needed, allows_own=allows_own, wait_s=WAIT_S))
    return world.write(lambda tx: ordered(tx, by, NOW_S))


def say(world: Store, name: str, verdict: Verdict, order: Order, now_s: float | None = None) -> Approval:
    """Let somebody answer, each a little later than the one before."""
    at_s = NOW_S + next(SAID) / 1000 if now_s is None else now_s
    return world.write(lambda tx: says(tx, name, verdict, order, at_s, comment="because"))


def now(world: Store, order: Order) -> Order:
    """Return the order as it is now."""
    return world.read(lambda tx: rows.by_id(tx, Order, order.id))


def newest(world: Store, order: Order) -> Approval:
    """Return the newest question about it."""
    return world.read(lambda tx: question(tx, order))


def machines(world: Store) -> list[Machine]:
    """Return every machine."""
    return list(world.read(lambda tx: rows.where(tx, Machine)))


def test_an_order_that_meets_a_rule_waits_and_nothing_is_begun(world: Store) -> None:
    """It holds no machine and no message; an order that meets none is begun at once."""
    waiting = asked(world, "role:owner")
    assert (waiting.state, waiting.machine_id) == (OrderState.AWAITING_APPROVAL, None)
    assert machines(world) == []
    assert world.read(lambda tx: outbox.unsent(tx, 1)) == []
    world.write(lambda tx: rows.delete(tx, rows.where(tx, ApprovalRule)[0]))
    assert world.write(lambda tx: ordered(tx, "mara", NOW_S)).state is OrderState.CREATING


def test_so_many_of_those_who_are_asked_let_it_go_on(world: Store) -> None:
    """Two of the owners: after one it waits, after the other it is begun, once, with who approved kept by name."""
    order = asked(world, "role:owner", needed=2)
    assert say(world, "olga", YES, order).state is ApprovalState.WAITING
    assert (now(world, order).state, machines(world)) == (OrderState.AWAITING_APPROVAL, [])
    ended = say(world, "otto", YES, order)
    assert (ended.state, ended.votes) == (ApprovalState.APPROVED, 2)
    assert [each["approved_by"] for each in ended.rules] == [["olga", "otto"]]
    [machine] = machines(world)
    held = now(world, order)
    assert (held.state, held.machine_id, held.attempts) == (OrderState.CREATING, machine.id, 1)
    with pytest.raises(WrongState):
        say(world, "olga", YES, order)
    created = MachineCreated(
        id=MessageId("m"), created_at_s=NOW_S, machine=MachineId(machine.id), platform=PLATFORM, attempt=1,
        cloud_id="vm", addresses=(),
    )  # fmt: skip
    world.write(lambda tx: settle(tx, created, NOW_S + 2, RETRY))
    assert now(world, order).state is OrderState.FULFILLED
    assert len(machines(world)) == 1


def test_every_rule_that_is_met_must_have_its_own(world: Store) -> None:
    """An owner's yes does for one rule; the other one asks mick by name, and both are needed."""
    world.write(lambda tx: rule(tx, "mick", name="mick's"))
    order = asked(world, "role:owner")
    say(world, "olga", YES, order)
    assert now(world, order).state is OrderState.AWAITING_APPROVAL
    say(world, "mick", YES, order)
    assert now(world, order).state is OrderState.CREATING


@pytest.mark.parametrize(
    ("approvers", "allows_own", "name", "may"),
    [
        pytest.param(["role:owner"], False, "olga", True, id="by role"),
        pytest.param(["role:owner"], False, "mick", False, id="of another role"),
        pytest.param(["mick"], False, "mick", True, id="by name"),
        pytest.param(["mick"], False, "olga", False, id="another than who is named"),
        pytest.param(["mara", "olga"], False, "mara", False, id="never who ordered"),
        pytest.param(["mara", "olga"], True, "mara", True, id="but where the rule says so"),
        pytest.param(["vera", "olga"], False, "vera", False, id="a viewer changes nothing, named or not"),
        pytest.param(["nils", "olga"], False, "nils", False, id="nobody who has no role in the project"),
    ],
)
def test_only_those_who_are_asked_may_answer(
    world: Store, approvers: list[str], name: str, *, allows_own: bool, may: bool
) -> None:
    """Mara ordered; the others are refused, and nothing of theirs is kept."""
    order = asked(world, *approvers, allows_own=allows_own)
    if may:
        assert say(world, name, YES, order).state is ApprovalState.APPROVED
        return
    for verdict in (YES, NO):
        with pytest.raises(Denied):
            say(world, name, verdict, order)
    assert (newest(world, order).votes, now(world, order).state) == (0, OrderState.AWAITING_APPROVAL)


def test_nobody_answers_twice(world: Store) -> None:
    """Neither yes again, nor no after a yes."""
    order = asked(world, "role:owner", needed=2)
    say(world, "olga", YES, order)
    for verdict in (YES, NO):
        with pytest.raises(AlreadyExists):
            say(world, "olga", verdict, order)
    assert newest(world, order).votes == 1


@pytest.mark.parametrize("lost", ["membership", "account"])
def test_an_approver_counts_for_as_long_as_he_may_approve(world: Store, lost: str) -> None:
    """Olga approves and is no owner, or nobody any more, when otto does: his is the only yes, until she is back."""

    def lose(tx: Tx) -> None:
        olga = account(tx, "olga")
        if lost == "account":
            accounts.change(tx, olga, {"enabled": False}, NOW_S)
        else:
            [held] = rows.where(tx, Membership, account_id=olga.id)
            rows.update(tx, held, {"role": "member"}, NOW_S)

    def regain(tx: Tx) -> None:
        olga = account(tx, "olga")
        rows.update(tx, rows.by_id(tx, Account, olga.id), {"enabled": True}, NOW_S)
        [held] = rows.where(tx, Membership, account_id=olga.id)
        rows.update(tx, held, {"role": "owner"}, NOW_S)

    order = asked(world, "role:owner", needed=2)
    say(world, "olga", YES, order)
    world.write(lose)
    assert say(world, "otto", YES, order).state is ApprovalState.WAITING
    assert world.write(lambda tx: settle_waiting(tx, NOW_S + 100, RETRY)) == 0
    world.write(regain)
    assert world.write(lambda tx: settle_waiting(tx, NOW_S + 200, RETRY)) == 1
    assert now(world, order).state is OrderState.CREATING


def deny(world: Store, order: Order) -> None:
    """Let an owner say no."""
    say(world, "olga", NO, order)


def give_up(world: Store, order: Order) -> None:
    """Cancel it."""
    world.write(lambda tx: cancel(tx, order.id, NOW_S + 1))


def time_out(world: Store, order: Order) -> None:
    """Let nobody answer in time."""
    assert world.write(lambda tx: settle_waiting(tx, NOW_S + WAIT_S - 1, RETRY)) == 0
    assert now(world, order).state is OrderState.AWAITING_APPROVAL
    assert world.write(lambda tx: settle_waiting(tx, NOW_S + WAIT_S, RETRY)) == 1


@pytest.mark.parametrize("verdict", [YES, NO])
def test_an_answer_after_its_time_is_none_whether_or_not_anybody_looked(world: Store, verdict: Verdict) -> None:
    """At the end of its time it is refused, and the order ends as timed out, not as approved or denied."""
    order = asked(world, "role:owner")
    with pytest.raises(WrongState, match="time to answer is over"):
        say(world, "olga", verdict, order, NOW_S + WAIT_S)
    assert (newest(world, order).state, newest(world, order).votes) == (ApprovalState.WAITING, 0)
    assert world.write(lambda tx: settle_waiting(tx, NOW_S + WAIT_S, RETRY)) == 1
    assert now(world, order).code == "approval-timed-out"


@pytest.mark.parametrize(
    ("end", "state", "code", "stands"),
    [
        pytest.param(deny, OrderState.FAILED, "approval-denied", ApprovalState.DENIED, id="denied"),
        pytest.param(give_up, OrderState.CANCELLED, "", ApprovalState.WITHDRAWN, id="cancelled"),
        pytest.param(time_out, OrderState.FAILED, "approval-timed-out", ApprovalState.TIMED_OUT, id="timed out"),
    ],
)
def test_quota_and_budget_are_reserved_while_it_waits_and_given_back(
    world: Store, end: Callable[[Store, Order], None], state: OrderState, code: str, stands: ApprovalState
) -> None:
    """One machine is allowed: a second order is refused while the first waits, and not afterwards."""
    order = asked(world, "role:owner")
    world.write(lambda tx: quotas.change(tx, holder(tx, PROJECT), {"machines": 1}, NOW_S))
    assert world.read(lambda tx: quotas.used(tx, holder(tx, PROJECT))).machines == 1
    with pytest.raises(QuotaExceeded):
        world.write(lambda tx: ordered(tx, "mick", NOW_S))
    world.write(lambda tx: quotas.change(tx, holder(tx, PROJECT), {"machines": None}, NOW_S))
    terms = {"amount": "15", "currency": "EUR", "stops_orders": True}
    world.write(lambda tx: budgets.change(tx, holder(tx, PROJECT), terms, NOW_S))
    with pytest.raises(BudgetExceeded):
        world.write(lambda tx: ordered(tx, "mick", NOW_S, lease_s=10 * 3600.0))

    end(world, order)
    ended = now(world, order)
    assert (ended.state, ended.code, newest(world, order).state) == (state, code, stands)
    assert world.read(lambda tx: quotas.used(tx, holder(tx, PROJECT))).machines == 0
    later_s = NOW_S + WAIT_S
    assert world.write(lambda tx: ordered(tx, "mick", later_s, lease_s=10 * 3600.0)).id != order.id
    with pytest.raises(WrongState):
        say(world, "olga", YES, order)


def test_its_own_place_is_not_taken_from_it(world: Store) -> None:
    """With a quota of one machine, the one that waited for its approval is begun."""
    world.write(lambda tx: quotas.change(tx, holder(tx, PROJECT), {"machines": 1}, NOW_S))
    order = asked(world, "role:owner")
    say(world, "olga", YES, order)
    assert now(world, order).state is OrderState.CREATING


def test_a_higher_price_is_asked_about_anew_and_a_lower_one_is_not(world: Store) -> None:
    """At 2 EUR an hour yesterday's yes to 1 counts for nothing; at 0.5 the yes to 2 does, and the order keeps 0.5."""
    order = asked(world, "role:owner", needed=2)
    say(world, "olga", YES, order)
    first = newest(world, order)
    world.write(lambda tx: costs(tx, "2", since="2026-11-19"))
    assert say(world, "otto", YES, order, TOMORROW_S).state is ApprovalState.SUPERSEDED
    again = newest(world, order)
    assert (again.id != first.id, again.state, again.votes) == (True, ApprovalState.WAITING, 0)
    assert (again.price or {})["amount"] == "2"
    assert (now(world, order).price or {})["amount"] == "2"
    say(world, "olga", YES, order, TOMORROW_S)
    world.write(lambda tx: costs(tx, "0.5", since="2026-11-20"))
    assert say(world, "otto", YES, order, TOMORROW_S + DAY_S).state is ApprovalState.APPROVED
    held = now(world, order)
    assert (held.state, (held.price or {})["amount"]) == (OrderState.CREATING, "0.5")
    kept = world.read(lambda tx: [each.state.value for each in rows.where(tx, Approval, order_id=order.id)])
    assert kept == ["superseded", "approved"]


def test_a_grant_that_ended_meanwhile_ends_the_order_with_its_reason(world: Store) -> None:
    """An approval makes nothing of an offer that there is not any more."""
    order = asked(world, "role:owner")
    withdrawn = {"state": OfferState.WITHDRAWN, "reason": "the grant ended"}
    world.write(lambda tx: rows.update(tx, rows.by_id(tx, Offer, OFFER), withdrawn, NOW_S))
    assert say(world, "olga", YES, order).state is ApprovalState.APPROVED
    held = now(world, order)
    assert (held.state, held.code, machines(world)) == (OrderState.FAILED, "wrong-state", [])


def test_a_budget_that_is_spent_meanwhile_refuses_what_was_approved(world: Store) -> None:
    """It is judged by what the budget says at the approval."""
    order = asked(world, "role:owner")
    terms = {"amount": "1", "currency": "EUR", "stops_orders": True}
    world.write(lambda tx: budgets.change(tx, holder(tx, PROJECT), terms, NOW_S))
    say(world, "olga", YES, order)
    assert (now(world, order).state, now(world, order).code) == (OrderState.FAILED, "budget-exceeded")


def test_rules_are_judged_as_they_are_now(world: Store) -> None:
    """One that is added asks more of who waits; once both are gone it goes on within a minute, by itself."""
    order = asked(world, "role:owner")
    more = world.write(lambda tx: rule(tx, "mick"))
    assert say(world, "olga", YES, order).state is ApprovalState.WAITING
    world.write(lambda tx: rows.delete(tx, rows.by_id(tx, ApprovalRule, more.id)))
    assert world.write(lambda tx: settle_waiting(tx, NOW_S + 30, RETRY)) == 0
    assert world.write(lambda tx: settle_waiting(tx, NOW_S + 61, RETRY)) == 1
    assert now(world, order).state is OrderState.CREATING


def test_an_idle_machine_of_a_pool_is_handed_over_at_the_approval(world: Store) -> None:
    """It stays idle, and anybody's, while the order waits."""
    ready = Machine(
        id=MachineId("idle"), platform_id=PLATFORM, offer_id=OFFER, name="m", size="s1", image="i1",
        state=MachineState.IDLE,
    )  # fmt: skip
    world.write(lambda tx: rows.insert(tx, ready, NOW_S))
    order = asked(world, "role:owner")
    assert machines(world)[0].state is MachineState.IDLE
    say(world, "olga", YES, order)
    held = now(world, order)
    assert (held.state, held.served_from, held.machine_id) == (OrderState.FULFILLED, "pool", "idle")


def test_approvers_are_told(world: Store) -> None:
    """Asked, answered and ended are events of the project; a comment with control characters is refused."""
    order = asked(world, "role:owner", needed=2)
    with pytest.raises(InvalidValue):
        world.write(lambda tx: says(tx, "olga", YES, order, NOW_S, comment="a\x1b[2J"))
    say(world, "olga", YES, order)
    say(world, "otto", NO, order)
    told = world.read(lambda tx: rows.where(tx, Event, project_id=PROJECT))
    kinds = [each.kind for each in told if each.subject_id in {order.id, newest(world, order).id}]
    assert kinds == [
        *("order.placed", "approval.waiting", "order.awaiting-approval", "approval.changed"),
        *("approval.changed", "approval.denied", "order.failed"),
    ]
    assert now(world, order).reason == "otto denied it: because"


def test_many_orders_and_answers_at_once_find_no_place_twice(tmp_path: Path) -> None:
    """Of 20 orders at once 5 have a place to wait at; both owners say yes to each at once, and 5 machines are begun."""

    async def run() -> tuple[list[object], list[object], int]:
        async with seeded_database(tmp_path, ManualClock()) as database:

            async def tried(work: Callable[[Tx], object]) -> object:
                try:
                    return await database.write(work)
                except CatalogError as refused:
                    return type(refused)

            async def at_once(works: Sequence[Callable[[Tx], object]]) -> list[object]:
                async with asyncio.TaskGroup() as tasks:
                    doing = [tasks.create_task(tried(work)) for work in works]
                return [each.result() for each in doing]

            await database.write(lambda tx: (people(tx), costs(tx, "1"), rule(tx, "role:owner")))
            await database.write(lambda tx: quotas.change(tx, holder(tx, PROJECT), {"machines": 5}, NOW_S))
            placed = await at_once([lambda tx: ordered(tx, "mara", NOW_S)] * 20)
            waiting = [each for each in placed if isinstance(each, Order)]
            answers = [
                lambda tx, n=name, o=order: says(tx, n, YES, o, NOW_S + 1)
                for order in waiting
                for name in ("olga", "otto")
            ]
            answered = await at_once(answers)
            return placed, answered, len(await database.read(lambda tx: rows.where(tx, Machine)))

    placed, answered, begun = asyncio.run(run())
    assert (placed.count(QuotaExceeded), len(placed)) == (15, 20)
    assert (answered.count(WrongState), len(answered)) == (5, 10)
    assert begun == 5
