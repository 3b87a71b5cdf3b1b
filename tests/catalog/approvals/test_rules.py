"""Which orders meet a rule, and who may make and remove one."""

from collections.abc import Sequence
from typing import Any

import pytest

from catalog import accounts
from catalog.access import Principal
from catalog.approvals import rules
from catalog.approvals.rules import Terms
from catalog.errors import Denied, InvalidValue
from catalog.holders import holder
from catalog.model.approval import ApprovalRule
from catalog.model.ids import ApprovalRuleId, OfferId, OrderId, PlatformId, ProjectId
from catalog.model.order import Order
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.approving import ADMIN, account, people, rule, who
from tests.support.ordering import OFFER, OTHER_PROJECT, PLATFORM, PROJECT, seed
from tests.support.stores import Store

OWNER = f"organisation_{PROJECT}"


def an_order(price: tuple[str, str, str] | None) -> Order:
    """Return an order of the offer at that price: amount, unit, currency."""
    kept = None if price is None else {"amount": price[0], "unit": price[1], "currency": price[2]}
    return Order(id=OrderId("o"), project_id=ProjectId("p"), offer_id=OFFER, name="n", size="s", image="i", price=kept)


def over(amount: str) -> dict[str, Any]:
    """Return the terms of a rule with this limit."""
    return {"over": amount, "currency": "EUR"}


@pytest.mark.parametrize(
    ("terms", "price", "is_met"),
    [
        pytest.param({}, None, True, id="a rule that names nothing is for every order"),
        pytest.param(over("730"), ("1", "hour", "EUR"), False, id="730 hours at 1 are not over 730"),
        pytest.param(over("729.99"), ("1", "hour", "EUR"), True, id="and over a cent less"),
        pytest.param(over("10"), ("10.01", "month", "EUR"), True, id="a monthly price is as it is"),
        pytest.param(over("10"), None, True, id="an unknown price is over every limit"),
        pytest.param(over("10"), ("0.001", "hour", "USD"), True, id="and so is another currency"),
        pytest.param(over("10"), ("1", "gib", "EUR"), True, id="and a price not of time"),
        pytest.param({"platforms": [PLATFORM]}, None, True, id="this platform"),
        pytest.param({"platforms": ["platform_Q"]}, None, False, id="another platform"),
        pytest.param({"offers": [OFFER]}, None, True, id="this offer"),
        pytest.param({"offers": [OfferId("offer_Q")]}, None, False, id="another offer"),
        pytest.param(
            {"platforms": [PLATFORM], "over": "10", "currency": "EUR"}, ("1", "month", "EUR"), False, id="all must hold"
        ),
    ],
)
def test_an_order_meets_a_rule_when_all_that_it_names_holds(
    terms: dict[str, Any], price: tuple[str, str, str] | None, *, is_met: bool
) -> None:
    """What is unknown meets every limit; nothing is converted."""
    rule = ApprovalRule(id=ApprovalRuleId("r"), name="r", wait_s=1.0, **terms)
    assert rules.is_met(rule, an_order(price), PlatformId(PLATFORM)) is is_met


def test_rules_of_project_organisation_and_gateway_hold_together(store: Store) -> None:
    """Each of the three is met by the project's order; a rival's meets the gateway's alone."""
    store.write(lambda tx: (seed(tx), people(tx)))
    for whose in (PROJECT, OWNER, None):
        store.write(lambda tx, whose=whose: rule(tx, "olga", whose=whose, name=str(whose)))
    mine, rival = an_order(None), an_order(None)
    mine.project_id, rival.project_id = PROJECT, OTHER_PROJECT
    named = [sorted(r.name for r in store.read(lambda tx, o=o: rules.met(tx, o, PLATFORM))) for o in (mine, rival)]
    assert named == [sorted([PROJECT, OWNER, "None"]), ["None"]]


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        pytest.param({"over": "5"}, "currency", id="an amount of nothing"),
        pytest.param({"currency": "EUR"}, "over", id="a currency without an amount"),
        pytest.param({"over": "-5", "currency": "EUR"}, "over", id="no amount"),
        pytest.param({"over": "5", "currency": "EEE"}, "currency", id="no currency"),
        pytest.param({"needed": 0}, "needed", id="nobody needed"),
        pytest.param({"needed": 2}, "needed", id="more than there are"),
        pytest.param({"approvers": []}, "approvers", id="nobody asked"),
        pytest.param({"approvers": ["nobody"]}, "approvers", id="an unknown user"),
        pytest.param({"approvers": ["role:viewer"]}, "approvers", id="a role that changes nothing"),
        pytest.param({"platforms": ["nowhere"]}, "platforms", id="an unknown platform"),
        pytest.param({"offers": ["nothing"]}, "offers", id="an unknown offer"),
    ],
)
def test_a_rule_that_says_nothing_sensible_is_refused(store: Store, terms: dict[str, Any], field: str) -> None:
    """The refusal names the field, and no rule is made."""
    store.write(lambda tx: (seed(tx), people(tx)))
    said = Terms(**{"name": "r", "approvers": ["olga"], **terms})
    with pytest.raises(InvalidValue) as refused:
        store.write(lambda tx: rules.add(tx, None, said, ADMIN, 1.0))
    assert refused.value.field == field
    assert store.read(lambda tx: rows.where(tx, ApprovalRule)) == []


def test_an_organisation_s_owner_adds_rules_for_it_and_removes_none_of_an_admin_s(store: Store) -> None:
    """For its projects and itself, not for a rival's or everybody's; a project's owner rules over nobody."""
    store.write(lambda tx: (seed(tx), people(tx)))
    store.write(
        lambda tx: accounts.join(tx, ADMIN, account=account(tx, "nils").id, role="owner", organisation=OWNER, now_s=1.0)
    )
    said = Terms(name="r", approvers=["role:owner"])

    def add(name: str, whose: str | None) -> ApprovalRule:
        return store.write(
            lambda tx: rules.add(tx, None if whose is None else holder(tx, whose), said, who(tx, name), 1.0)
        )

    own = [add("nils", whose) for whose in (PROJECT, OWNER)]
    assert [each.set_by_admin for each in own] == [False, False]
    for name, whose in (("nils", OTHER_PROJECT), ("nils", None), ("olga", PROJECT), ("mara", PROJECT)):
        with pytest.raises(Denied):
            add(name, whose)
    admins = store.write(lambda tx: rule(tx, "role:owner"))
    with pytest.raises(Denied, match="an admin made this rule"):
        store.write(lambda tx: rules.remove(tx, rows.by_id(tx, ApprovalRule, admins.id), who(tx, "nils")))
    with pytest.raises(Denied):
        store.write(lambda tx: rules.remove(tx, rows.by_id(tx, ApprovalRule, own[0].id), who(tx, "olga")))
    removed: Sequence[tuple[ApprovalRule, str]] = [(own[0], "nils"), (own[1], "nils")]
    for each, name in removed:
        store.write(lambda tx, e=each, n=name: rules.remove(tx, rows.by_id(tx, ApprovalRule, e.id), who(tx, n)))
    store.write(lambda tx: rules.remove(tx, rows.by_id(tx, ApprovalRule, admins.id), ADMIN))
    assert store.read(lambda tx: rows.where(tx, ApprovalRule)) == []


def test_an_owner_learns_of_no_account_that_he_does_not_see(store: Store) -> None:
    """Who works in his projects, or owns the organisation with him, is asked; a stranger is as nobody: one answer."""

    def fill(tx: Tx) -> None:
        seed(tx)
        people(tx)
        accounts.create_user(tx, name="stranger", now_s=1.0)
        accounts.create_user(tx, name="nora", now_s=1.0)
        for name in ("nils", "nora"):
            accounts.join(tx, ADMIN, account=account(tx, name).id, role="owner", organisation=OWNER, now_s=1.0)

    store.write(fill)

    def add(approver: str, by: Principal | None = None) -> ApprovalRule:
        said = Terms(name="r", approvers=[approver])
        return store.write(lambda tx: rules.add(tx, holder(tx, OWNER), said, by or who(tx, "nils"), 1.0))

    stranger = store.read(lambda tx: account(tx, "stranger").id)
    answers = []
    for approver in ("stranger", stranger, f"account:{stranger}", "nobody"):
        with pytest.raises(InvalidValue) as refused:
            add(approver)
        answers.append((str(refused.value).replace(approver.removeprefix("account:"), "X"), refused.value.fix))
    assert len(set(answers)) == 1
    seen = store.read(lambda tx: {name: f"account:{account(tx, name).id}" for name in ("olga", "nora", "nils")})
    assert {name: add(name).approvers for name in seen} == {name: [id_] for name, id_ in seen.items()}
    assert add("stranger", ADMIN).approvers == [f"account:{stranger}"]
