"""People around the project of ``tests.support.ordering``, and rules that ask them."""

from typing import Any

from catalog import access, accounts
from catalog.access import Principal
from catalog.approvals import rules
from catalog.approvals.rules import Terms
from catalog.holders import holder
from catalog.model.access import Account, Role
from catalog.model.approval import Approval, ApprovalRule, Verdict
from catalog.model.ids import TokenId
from catalog.model.order import Order
from catalog.orders.approving import answer
from catalog.orders.place import place
from catalog.prices import book, lines
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.ordering import PROJECT, RETRY

ADMIN = Principal(role=Role.ADMIN, subject_id="", token_id=TokenId(""), name="root")
PEOPLE = {"olga": "owner", "otto": "owner", "mara": "member", "mick": "member", "vera": "viewer"}


def people(tx: Tx) -> None:
    """Add two owners, two members and a viewer of the project, and somebody who works nowhere."""
    for name, role in PEOPLE.items():
        account = accounts.create_user(tx, name=name, now_s=1.0)
        accounts.join(tx, ADMIN, account=account.id, role=role, project=PROJECT, now_s=1.0)
    accounts.create_user(tx, name="nils", now_s=1.0)


def account(tx: Tx, name: str) -> Account:
    """Return the account of somebody."""
    found = rows.first(tx, Account, path=name)
    assert found is not None
    return found


def who(tx: Tx, name: str) -> Principal:
    """Return somebody as he may act now."""
    return access.of_account(tx, account(tx, name), TokenId(""))


def rule(tx: Tx, *approvers: str, whose: str | None = PROJECT, now_s: float = 1.0, **terms: Any) -> ApprovalRule:
    """Make an admin's rule for ``whose`` orders, None: for everybody's."""
    said = Terms(name=terms.pop("name", "ask first"), approvers=approvers, **terms)
    return rules.add(tx, None if whose is None else holder(tx, whose), said, ADMIN, now_s)


def costs(tx: Tx, amount: str, *, since: str = "2026-01-01", item: str = "s1", currency: str = "EUR") -> None:
    """Let an hour of a size at the platform cost so much from that day on."""
    text = f"platform,item,unit,amount,currency,valid_from,source\nnorth,{item},hour,{amount},{currency},{since},list\n"
    book.import_lines(tx, lines.read(text, lines.ListFormat.CSV, source="", now_s=1.0), 1.0)


def ordered(tx: Tx, by: str, now_s: float, *, size: str = "small", lease_s: float | None = None) -> Order:
    """Place an order of the project as somebody."""
    return place(
        tx,
        project_id=PROJECT,
        offer="north",
        size=size,
        image="debian-12",
        name=None,
        lease_s=lease_s,
        by=who(tx, by).key,
        now_s=now_s,
        policy=RETRY,
    )


def question(tx: Tx, order: Order) -> Approval:
    """Return the newest question about the order."""
    return rows.where(tx, Approval, order_id=order.id)[-1]


def says(tx: Tx, name: str, verdict: Verdict, order: Order, now_s: float, *, comment: str = "") -> Approval:
    """Let somebody answer the newest question about the order."""
    asked = question(tx, order)
    return answer(tx, asked, who(tx, name), verdict, comment=comment, now_s=now_s, policy=RETRY)
