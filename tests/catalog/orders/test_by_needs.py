"""Orders by needs: the choice follows from what is known, is kept with its runners-up, and falls to the next one."""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog import accounts, consent, quotas
from catalog.connections import steps
from catalog.errors import CloudQuotaExhausted, Denied, InvalidValue, QuotaExceeded
from catalog.holders import holder
from catalog.messages.contracts import MachineCreated, MachineDestroyed, MachineFailed, Message
from catalog.model.approval import Verdict
from catalog.model.consent import Grant
from catalog.model.ids import MachineId, MessageId, OfferId, PlatformId, ProjectId
from catalog.model.machine import Machine, MachineState
from catalog.model.offering import InventoryItem, Offer, OfferState
from catalog.model.order import Order, OrderState
from catalog.model.placement import Placement
from catalog.model.tenancy import Project
from catalog.orders.by_needs import candidates_for, place_by_needs
from catalog.orders.candidates import System, best_image
from catalog.orders.policy import RetryPolicy
from catalog.orders.retry import cancel, retry_due
from catalog.orders.settle import settle
from catalog.prices import book, lines
from catalog.search.index import SearchIndex
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.approving import ADMIN, rule, says
from tests.support.markets import NOW_S, add_market
from tests.support.ordering import a_project
from tests.support.stores import Store

POLICY = RetryPolicy(attempts_limit=1)
PATIENT = RetryPolicy(attempts_limit=3)
NEEDS = {"os": "debian 12", "vcpu_min": "4", "memory_gib_min": "8", "prefer": "price"}
NUMBERS = itertools.count()


@pytest.fixture
def market(store: Store) -> Store:
    """Return a database with a project and 4 platforms, of which 1 and 2 are measured: 5 and 10 ms away."""
    store.write(lambda tx: (a_project(tx, NOW_S), add_market(tx, range(4), sizes=8, images=4)))
    return store


def project(store: Store) -> ProjectId:
    """Return the buyer's id."""
    return store.read(lambda tx: rows.where(tx, Project))[0].id


def ordered(store: Store, *, name: str | None = None, policy: RetryPolicy = POLICY, **needs: str) -> Order:
    """Order what meets NEEDS with ``needs`` in their place."""
    return placed(store, found(store, **needs), name=name, policy=policy, **needs)


def found(store: Store, **needs: str) -> list[dict[str, Any]]:
    """Return the candidates for what meets NEEDS with ``needs`` in their place, found without writing."""
    whose, asked = project(store), {**NEEDS, **needs}
    return store.read(lambda tx: candidates_for(tx, project_id=whose, needs=asked, index=SearchIndex(), now_s=NOW_S))


def placed(
    store: Store,
    candidates: list[dict[str, Any]],
    *,
    name: str | None = None,
    policy: RetryPolicy = POLICY,
    **needs: str,
) -> Order:
    """Place the order at the best of ``candidates``."""
    whose, asked = project(store), {**NEEDS, **needs}
    return store.write(
        lambda tx: place_by_needs(
            tx, project_id=whose, needs=asked, found=candidates, name=name, now_s=NOW_S, policy=policy
        )
    )


def placement(store: Store, order: Order) -> Placement:
    """Return where it was placed."""
    return store.read(lambda tx: rows.by_id(tx, Placement, order.id))


def now(store: Store, order: Order) -> Order:
    """Return the order as it is now."""
    return store.read(lambda tx: rows.by_id(tx, Order, order.id))


def machine(store: Store, order: Order) -> Machine:
    """Return the order's present machine."""
    return store.read(lambda tx: rows.by_id(tx, Machine, str(rows.by_id(tx, Order, order.id).machine_id)))


def tell(store: Store, kind: str, held: Machine, now_s: float = NOW_S) -> None:
    """Settle a report about the machine."""
    facts = {"id": MessageId(f"message_{next(NUMBERS)}"), "created_at_s": NOW_S, "machine": MachineId(held.id)}
    message: Message
    match kind:
        case "created":
            message = MachineCreated(
                **facts, platform=held.platform_id, attempt=held.attempt, cloud_id="vm", addresses=()
            )  # type: ignore[arg-type]
        case "failed":
            message = MachineFailed(
                **facts,  # type: ignore[arg-type]
                platform=held.platform_id,
                attempt=held.attempt,
                code="cloud-refused",
                reason="no capacity",
                retryable=False,
            )
        case "quota":
            message = MachineFailed(
                **facts,  # type: ignore[arg-type]
                platform=held.platform_id,
                attempt=held.attempt,
                code=CloudQuotaExhausted.code,
                reason="the account's quota at the cloud is used up",
                retryable=True,
            )
        case _:
            message = MachineDestroyed(**facts, platform=held.platform_id)  # type: ignore[arg-type]
    store.write(lambda tx: settle(tx, message, now_s, PATIENT if kind == "quota" else POLICY))


def alive(tx: Tx, order: Order) -> list[Machine]:
    """Return the order's machines of which something may be left."""
    return [each for each in rows.where(tx, Machine, order_id=order.id) if each.state is not MachineState.GONE]


def test_the_cheapest_within_reach_is_chosen_and_the_runner_up_is_kept(market: Store) -> None:
    """Within 60 ms are cloud-001 and cloud-002; s2, 4 vCPU for x86_64, costs 0.0404 there and 0.0408 at the other.

    cloud-000 is cheaper and not measured, so it does not fit.
    """
    order = ordered(market, rtt_max_ms="60")
    kept = placement(market, order)
    assert [each["platform"] for each in kept.candidates] == ["cloud-001", "cloud-002"]
    assert [each["outcome"] for each in kept.candidates] == ["chosen", ""]
    assert [each["price"]["amount"] for each in kept.candidates] == ["0.0404", "0.0408"]
    assert (order.offer_id, order.size, order.image) == ("offer_machine_001", "s2", "i0")
    assert order.price is not None
    assert order.price["amount"] == "0.0404"
    assert kept.needs == {**NEEDS, "rtt_max_ms": "60"}
    assert {term["name"] for term in kept.candidates[1]["terms"]} == {"price", "fit", "availability", "reachability"}


def test_what_is_preferred_decides(market: Store) -> None:
    """The nearest is cloud-001, the cheapest cloud-000."""
    found = {
        prefer: placement(market, ordered(market, prefer=prefer)).candidates[0]["platform"]
        for prefer in ("price", "reachability")
    }
    assert found == {"price": "cloud-000", "reachability": "cloud-001"}


def test_nothing_that_fits_names_the_need_that_is_to_blame(market: Store) -> None:
    """10,000 GiB are nowhere; without that need the three other sizes of enough cores would do."""
    with pytest.raises(InvalidValue) as caught:
        ordered(market, memory_gib_min="10000")
    assert caught.value.field == "needs"
    assert (caught.value.fix or "").startswith("without memory_gib_min there would be")
    assert market.read(lambda tx: rows.where(tx, Order)) == []


def test_a_system_that_nobody_has_is_to_blame_and_what_there_is_is_named(market: Store) -> None:
    """No image of plan9 is anywhere, and no other need is called for less; debian 12 is what there is."""
    for needs in ({"os": "plan9"}, {"os": "debian 99", "vcpu_min": "0"}):
        with pytest.raises(InvalidValue) as caught:
            ordered(market, **needs)
        assert (caught.value.fix or "").startswith(f"os: there is no image of {needs['os']}; there is ")
        assert "debian 12" in (caught.value.fix or "")


def test_a_platform_that_refuses_is_passed_over_with_the_reason(market: Store) -> None:
    """cloud-000 has no room left: it comes last, and the order goes to cloud-001; a full market refuses as a whole."""

    def fill(tx: Tx, *numbers: int) -> None:
        for number in numbers:
            grant = rows.by_id(tx, Grant, f"grant_machine_{number:03}")
            rows.update(tx, grant, {"quota": 0}, NOW_S)

    market.write(lambda tx: fill(tx, 0))
    kept = placement(market, ordered(market))
    assert [each["platform"] for each in kept.candidates] == ["cloud-001", "cloud-002", "cloud-003", "cloud-000"]
    market.write(lambda tx: fill(tx, 1, 2, 3))
    with pytest.raises(QuotaExceeded):
        ordered(market)


def test_a_candidate_too_large_for_the_projects_quota_is_passed_over(market: Store) -> None:
    """4 vCPU are left. The nearest, cloud-001, has no size under 8, so cloud-002 serves with 4 of its own."""

    def narrow(tx: Tx) -> None:
        quotas.change(tx, holder(tx, "acme/shop"), {"cores": 4}, NOW_S)
        for item in rows.where(tx, InventoryItem, platform_id="platform_001", kind="size"):
            if item.vcpu is not None and item.vcpu < 8:
                rows.update(tx, item, {"vcpu": 8.0, "architecture": "x86_64"}, NOW_S)

    market.write(narrow)
    order = ordered(market, prefer="reachability")
    kept = placement(market, order)
    assert [each["platform"] for each in kept.candidates[:2]] == ["cloud-001", "cloud-002"]
    assert [each["outcome"] for each in kept.candidates[:2]] == ["refused", "chosen"]
    assert "8 are needed" in kept.candidates[0]["reason"]
    market.write(lambda tx: quotas.change(tx, holder(tx, "acme/shop"), {"cores": 3}, NOW_S))
    with pytest.raises(QuotaExceeded, match="vCPU"):
        ordered(market, prefer="reachability")


def test_a_failed_attempt_falls_to_the_next_once_nothing_is_left_of_it(market: Store) -> None:
    """Failed: nothing is begun. Destroyed: the next one is, at its own offer and its price."""
    order = ordered(market)
    first = machine(market, order)
    tell(market, "failed", first)
    assert (now(market, order).state, now(market, order).machine_id) == (OrderState.CREATING, first.id)
    assert placement(market, order).moving_since_s == NOW_S
    assert market.write(lambda tx: retry_due(tx, NOW_S + 1000, POLICY)) == 0
    tell(market, "destroyed", first)
    second = machine(market, order)
    assert (second.platform_id, second.state, second.order_id) == ("platform_001", MachineState.BUILDING, order.id)
    kept, held = placement(market, order), now(market, order)
    assert (kept.position, kept.moving_since_s) == (1, None)
    assert [each["outcome"] for each in kept.candidates] == ["failed", "chosen", "", ""]
    assert "no capacity" in kept.candidates[0]["reason"]
    assert held.price is not None
    assert (held.offer_id, held.price["amount"], held.reason) == ("offer_machine_001", "0.0404", "")
    tell(market, "created", second)
    assert now(market, order).state is OrderState.FULFILLED
    tell(market, "destroyed", first)
    tell(market, "created", first)
    assert now(market, order).machine_id == second.id


def test_the_next_candidate_is_judged_by_today_s_price(market: Store) -> None:
    """Cloud-001 has become dearer than its rule lets pass since the order: it waits there, at the price of today."""
    whose = project(market)
    market.write(lambda tx: people_of(tx, whose))
    market.write(lambda tx: rule(tx, "role:owner", whose=None, platforms=["cloud-001"], over="1000", currency="EUR"))
    order = ordered(market)
    first = machine(market, order)
    then = placement(market, order).candidates[1]
    text = "platform,item,unit,amount,currency,valid_from,source\ncloud-001,ITEM,hour,9,EUR,2027-01-16,list\n"
    dearer = lines.read(text.replace("ITEM", then["size"]), lines.ListFormat.CSV, source="", now_s=NOW_S)
    market.write(lambda tx: book.import_lines(tx, dearer, NOW_S))
    tell(market, "failed", first)
    tell(market, "destroyed", first, NOW_S + 86_400)
    held = now(market, order)
    assert (held.state, held.offer_id) == (OrderState.AWAITING_APPROVAL, then["offer"])
    assert held.price is not None
    assert (held.price["amount"], then["price"]["amount"]) == ("9", "0.0404")


def test_a_fall_keeps_to_the_networks_that_the_next_platform_grants(market: Store) -> None:
    """The second has two granted and none was named: passed over. The third has one: the machine is in that."""
    order = ordered(market)

    def grant(tx: Tx, number: int, *networks: str) -> None:
        rows.update(tx, rows.by_id(tx, Grant, f"grant_machine_{number:03}"), {"scope": {"networks": ["lan-*"]}}, NOW_S)
        for network in networks:
            lan = {"platform_id": PlatformId(f"platform_{number:03}"), "kind": "network", "cloud_id": network}
            rows.insert(tx, InventoryItem(**lan, name=f"lan-{network}"), NOW_S)

    first = machine(market, order)
    market.write(lambda tx: (grant(tx, 1, "n1", "n2"), grant(tx, 2, "n3")))
    tell(market, "failed", first)
    tell(market, "destroyed", first)
    third = machine(market, order)
    assert (third.platform_id, third.network, now(market, order).network) == ("platform_002", "n3", "n3")
    assert [each["outcome"] for each in placement(market, order).candidates] == ["failed", "refused", "chosen", ""]


def test_a_machine_bears_the_tenants_name_wherever_it_is_made(market: Store) -> None:
    """At the second platform as at the first; without one it bears the order's, which is unique by itself."""
    for name in ("web", None):
        order = ordered(market, name=name)
        names = []
        for _ in range(2):
            held = machine(market, order)
            names.append(held.name)
            tell(market, "failed", held)
            tell(market, "destroyed", held)
        wanted = name or "crossway"
        assert names == [f"{wanted}-{order.id.removeprefix('order_').lower()}"] * 2
        assert order.name == (name or names[0])


def idle(tx: Tx, number: int, *, vcpu: float = 4.0) -> Machine:
    """Add an idle machine at the platform of this number, as an order of NEEDS wants it."""
    ready = Machine(
        id=MachineId(f"machine_idle_{next(NUMBERS)}"), platform_id=PlatformId(f"platform_{number:03}"), name="ready",
        offer_id=OfferId(f"offer_machine_{number:03}"), state=MachineState.IDLE, size="s2", image="i0", vcpu=vcpu,
    )  # fmt: skip
    return rows.insert(tx, ready, NOW_S)


def test_an_order_falls_to_an_idle_machine(market: Store) -> None:
    """Nothing is created where one is ready: it is handed over once the first attempt is gone, and then all is done."""
    ready = market.write(lambda tx: idle(tx, 1))
    order = ordered(market)
    # No further one may be made there.
    market.write(lambda tx: rows.update(tx, rows.by_id(tx, Grant, "grant_machine_001"), {"quota": 1}, NOW_S))
    first = machine(market, order)
    tell(market, "failed", first)
    assert market.read(lambda tx: rows.by_id(tx, Machine, ready.id)).state is MachineState.IDLE
    tell(market, "destroyed", first)
    held, kept = now(market, order), placement(market, order)
    assert (held.state, held.machine_id, held.served_from) == (OrderState.FULFILLED, ready.id, "pool")
    assert (held.code, held.reason, held.finished_at_s) == ("", "", NOW_S)
    assert (kept.position, kept.moving_since_s) == (1, None)
    assert [each["outcome"] for each in kept.candidates] == ["failed", "chosen", "", ""]
    assert [each.id for each in market.read(lambda tx: alive(tx, order))] == [ready.id]
    assert machine(market, order).used_from_s == NOW_S
    tell(market, "created", first)
    tell(market, "destroyed", first)
    assert market.write(lambda tx: retry_due(tx, NOW_S + 1e6, POLICY)) == 0
    assert [each.id for each in market.read(lambda tx: alive(tx, order))] == [ready.id]


def test_an_idle_machine_beyond_the_quota_is_passed_over(market: Store) -> None:
    """It counts for 8 vCPU by now and 4 are left: it stays idle, and the one after it is created."""
    ready = market.write(lambda tx: idle(tx, 1, vcpu=8.0))
    market.write(lambda tx: quotas.change(tx, holder(tx, "acme/shop"), {"cores": 4}, NOW_S))
    order = ordered(market)
    first = machine(market, order)
    tell(market, "failed", first)
    tell(market, "destroyed", first)
    left = market.read(lambda tx: rows.by_id(tx, Machine, ready.id))
    assert (left.state, left.order_id, left.project_id) == (MachineState.IDLE, None, None)
    assert machine(market, order).platform_id == "platform_002"
    assert [each["outcome"] for each in placement(market, order).candidates] == ["failed", "refused", "chosen", ""]


def test_after_the_last_candidate_the_order_ends_with_the_reason_of_each(market: Store) -> None:
    """Two candidates, both fail: FAILED, and nothing is begun any more; why, is told of both."""
    order = ordered(market, rtt_max_ms="60")
    for _ in range(2):
        held = machine(market, order)
        tell(market, "failed", held)
        tell(market, "destroyed", held)
    ended = now(market, order)
    assert (ended.state, ended.code) == (OrderState.FAILED, "cloud-refused")
    first, second = (each["platform"] for each in placement(market, order).candidates)
    why = "no machine could be created in 1 attempt: no capacity"
    assert ended.reason == f"none of 2 platforms gave a machine: {first}: {why}; {second}: {why}"
    assert market.read(lambda tx: alive(tx, order)) == []


def test_a_quota_that_is_used_up_moves_the_order_on_at_once(market: Store) -> None:
    """No pause and no second attempt at the first platform; the last one, without a next, is tried again."""
    order = ordered(market, rtt_max_ms="60", policy=PATIENT)
    first = machine(market, order)
    tell(market, "quota", first)
    assert (machine(market, order).state, now(market, order).next_attempt_at_s) == (MachineState.DESTROYING, None)
    tell(market, "destroyed", first)
    second = machine(market, order)
    assert (second.platform_id != first.platform_id, second.state) == (True, MachineState.BUILDING)
    tell(market, "quota", second)
    assert (machine(market, order).state, now(market, order).state) == (MachineState.BUILDING, OrderState.CREATING)
    assert now(market, order).next_attempt_at_s == NOW_S + PATIENT.pause_s(1)
    moved = [(each.step, each.detail) for each in market.read(lambda tx: steps(tx, order.id))]
    assert ("order.moved", f"to {placement(market, order).candidates[1]['platform']}") in moved


def test_a_grant_that_ends_meanwhile_moves_the_order_on(market: Store) -> None:
    """The platform takes its grant back while it builds: the next one is begun when nothing is left there."""
    order = ordered(market)
    first = machine(market, order)
    market.write(lambda tx: consent.revoke(tx, "grant_machine_000", NOW_S))
    market.write(lambda tx: consent.revoke(tx, "grant_machine_001", NOW_S))
    market.write(lambda tx: retry_due(tx, NOW_S, POLICY))
    assert now(market, order).state is OrderState.CREATING
    tell(market, "destroyed", first)
    assert machine(market, order).platform_id == "platform_002"
    assert [each["outcome"] for each in placement(market, order).candidates] == ["failed", "refused", "chosen", ""]


def test_an_order_that_was_cancelled_while_it_moved_stays_so(market: Store) -> None:
    """The report that nothing is left begins nothing."""
    order = ordered(market)
    first = machine(market, order)
    tell(market, "failed", first)
    market.write(lambda tx: cancel(tx, order.id, NOW_S))
    tell(market, "destroyed", first)
    assert now(market, order).state is OrderState.CANCELLED
    assert market.read(lambda tx: alive(tx, order)) == []


def test_no_order_waits_for_ever_for_the_end_of_an_attempt(market: Store) -> None:
    """Nothing is heard within a creation's deadline and silence: FAILED; the late report begins nothing."""
    order = ordered(market)
    first = machine(market, order)
    tell(market, "failed", first)
    late_s = NOW_S + POLICY.creation_deadline_s + POLICY.silence_s
    assert market.write(lambda tx: retry_due(tx, late_s - 1, POLICY)) == 0
    assert market.write(lambda tx: retry_due(tx, late_s, POLICY)) == 1
    assert (now(market, order).state, now(market, order).code) == (OrderState.FAILED, "not-heard-of")
    tell(market, "destroyed", first)
    assert market.read(lambda tx: alive(tx, order)) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reports=st.lists(st.tuples(st.sampled_from(["failed", "destroyed", "created"]), st.integers(0, 3)), max_size=14),
    ready=st.integers(0, 4),
)
def test_whatever_is_reported_in_whatever_order_there_is_one_machine_at_most(
    market: Store, reports: list[tuple[str, int]], ready: int
) -> None:
    """Reports of any kind about any of the order's machines, repeated and late ones too, with one idle somewhere.

    Who has ended well has exactly one.
    """
    market.write(lambda tx: [rows.delete(tx, each) for each in rows.where(tx, Machine, state=MachineState.IDLE)])
    order = ordered(market)
    if ready:
        market.write(lambda tx: idle(tx, ready % 4))
    for kind, which in reports:
        made = sorted(market.read(lambda tx: rows.where(tx, Machine, order_id=order.id)), key=lambda each: each.id)
        held = made[which % len(made)]
        # A provisioner says "destroyed" only of what it was asked to destroy.
        if kind == "destroyed" and held.state is not MachineState.DESTROYING:
            continue
        tell(market, kind, held)
        has = [each.id for each in market.read(lambda tx: alive(tx, order))]
        assert len(has) <= 1
        if now(market, order).state is OrderState.FULFILLED:
            assert has == [now(market, order).machine_id]


def image(name: str, version: str | None, architecture: str | None = None, family: str = "debian") -> InventoryItem:
    """Return an image."""
    return InventoryItem(
        platform_id="p",  # type: ignore[arg-type]
        kind="image",
        cloud_id=name,
        name=name,
        os_family=family,
        os_version=version,
        architecture=architecture,
    )


IMAGES = [
    image("a", "9"),
    image("b", "12", "arm64"),
    image("c", "12"),
    image("d", "12", "x86_64"),
    image("e", "13", "arm64"),
]


@pytest.mark.parametrize(
    ("system", "architecture", "expected"),
    [
        pytest.param(
            System(family="debian", version="12"), "x86_64", "d", id="the same architecture before an unknown one"
        ),
        pytest.param(System(family="debian"), "x86_64", "d", id="12 is newer than 9"),
        pytest.param(System(family="debian"), "arm64", "e", id="the newest"),
        pytest.param(System(family="debian", version="12"), None, "c", id="nobody knows either"),
        pytest.param(System(family="debian", version="11"), None, None, id="no such version"),
        pytest.param(System(family="rocky"), None, None, id="no such family"),
        pytest.param(System(family="debian", version="13"), "x86_64", None, id="another architecture"),
    ],
)
def test_the_best_image(system: System, architecture: str | None, expected: str | None) -> None:
    """The newest that runs; the same architecture said outright comes before one that nobody knows."""
    found = best_image(IMAGES, system, architecture)
    assert (found.cloud_id if found else None) == expected


def test_what_changed_since_it_was_found_is_judged_again(market: Store) -> None:
    """Found first, then one is withdrawn, the size of another is gone, one is full: the order goes to the fourth."""
    candidates = found(market)
    assert [each["platform"] for each in candidates] == [f"cloud-00{number}" for number in range(4)]

    def change(tx: Tx) -> None:
        consent.revoke(tx, "grant_machine_000", NOW_S)
        for item in rows.where(tx, InventoryItem, platform_id="platform_001", cloud_id=candidates[1]["size"]):
            rows.delete(tx, item)
        rows.update(tx, rows.by_id(tx, Grant, "grant_machine_002"), {"quota": 0}, NOW_S)

    market.write(change)
    order = placed(market, candidates)
    assert machine(market, order).platform_id == "platform_003"
    assert [each["outcome"] for each in placement(market, order).candidates] == [*["refused"] * 3, "chosen"]


def test_denied_is_a_refusal_too(market: Store) -> None:
    """Every grant without the verb: the order is refused as its best candidate refuses it."""

    def narrow(tx: Tx) -> None:
        for grant in rows.where(tx, Grant, capability="machine"):
            rows.update(tx, grant, {"verbs": ["list"]}, NOW_S)

    market.write(narrow)
    with pytest.raises(Denied):
        ordered(market)


def test_no_candidate_is_for_other_projects(market: Store) -> None:
    """cloud-000 is for others: not a candidate. One that becomes so meanwhile is passed over when its turn comes."""

    def narrow(tx: Tx, number: int) -> None:
        rows.update(
            tx, rows.by_id(tx, Grant, f"grant_machine_{number:03}"), {"scope": {"projects": ["acme/x*"]}}, NOW_S
        )

    market.write(lambda tx: narrow(tx, 0))
    order = ordered(market)
    first = machine(market, order)
    assert first.platform_id == "platform_001"
    market.write(lambda tx: narrow(tx, 2))
    tell(market, "failed", first)
    tell(market, "destroyed", first)
    assert machine(market, order).platform_id == "platform_003"
    assert [each["outcome"] for each in placement(market, order).candidates] == ["failed", "refused", "chosen"]


def test_the_next_candidate_is_judged_by_the_rules_too(market: Store) -> None:
    """Only cloud-001 needs an approval: the order begins at cloud-000, falls, waits, and goes on at cloud-001 once.

    While it waits nothing of it is left anywhere; an approval that finds the grant gone leads to cloud-002.
    """
    whose = project(market)
    market.write(lambda tx: people_of(tx, whose))
    rule_for(market, "cloud-001")
    for revoked, last in ((False, "platform_001"), (True, "platform_002")):
        order = ordered(market)
        first = machine(market, order)
        tell(market, "failed", first)
        tell(market, "destroyed", first)
        waiting = now(market, order)
        assert (waiting.state, waiting.machine_id) == (OrderState.AWAITING_APPROVAL, None)
        assert market.read(lambda tx, o=order: alive(tx, o)) == []
        if revoked:
            offer = market.read(lambda tx: rows.by_id(tx, Offer, "offer_machine_001"))
            market.write(lambda tx, o=offer: rows.update(tx, o, {"state": OfferState.WITHDRAWN}, NOW_S))
        approve(market, order)
        held = now(market, order)
        assert (held.state, machine(market, order).platform_id) == (OrderState.CREATING, last)
        outcomes = [each["outcome"] for each in placement(market, order).candidates[:3]]
        assert outcomes == (["failed", "refused", "chosen"] if revoked else ["failed", "chosen", ""])
        assert len(market.read(lambda tx, o=order: alive(tx, o))) == 1


def people_of(tx: Tx, whose: ProjectId) -> None:
    """Add an owner of the project."""
    account = accounts.create_user(tx, name="olga", now_s=NOW_S)
    accounts.join(tx, ADMIN, account=account.id, role="owner", project=whose, now_s=NOW_S)


def rule_for(market: Store, platform: str) -> None:
    """Let orders at the platform need an owner's approval."""
    market.write(lambda tx: rule(tx, "role:owner", whose=None, platforms=[platform]))


def approve(market: Store, order: Order) -> None:
    """Let the owner approve."""
    market.write(lambda tx: says(tx, "olga", Verdict.APPROVE, order, NOW_S))


def test_a_plain_image_comes_before_one_with_more_on_it() -> None:
    """Though the other's name is the greater one; a newer system comes before both."""
    plain, more = image("Debian-12-amd64", "12"), image("web-on-debian-12", "12")
    newer = image("web-on-debian-13", "13")
    assert best_image([plain, more], System(family="debian", version="12"), None) == plain
    assert best_image([plain, more, newer], System(family="debian"), None) == newer


def test_where_no_price_is_known_the_size_that_fits_best_is_chosen(store: Store) -> None:
    """The cheapest are wanted, and nobody knows what any costs: the later one that gives no more than is asked for."""

    def work(tx: Tx) -> None:
        a_project(tx, NOW_S)
        (platform,) = add_market(tx, range(1), sizes=8, images=4, priced=False)
        exact = {"vcpu": 3.0, "memory_gib": 5.0, "architecture": "x86_64"}
        item = InventoryItem(platform_id=platform, kind="size", cloud_id="exact", name="exact", facts={}, **exact)
        rows.insert(tx, item, NOW_S)

    store.write(work)
    assert [each["size"] for each in found(store, vcpu_min="3", memory_gib_min="5")] == ["exact"]
