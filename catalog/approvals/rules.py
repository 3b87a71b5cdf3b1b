"""Which orders need how many approvals of whom. What is unknown meets every limit: nobody has said that it is cheap."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from catalog import accounts, naming
from catalog.access import Principal
from catalog.costs.tally import hourly
from catalog.errors import Denied, InvalidValue, NotFound
from catalog.holders import Holder, holder, holders_of
from catalog.model.access import Account, AccountKind, Membership, Role
from catalog.model.approval import ApprovalRule
from catalog.model.ids import ApprovalRuleId, PlatformId, new_id
from catalog.model.offering import Offer
from catalog.model.order import Order
from catalog.model.platform import Platform
from catalog.model.tenancy import Project
from catalog.prices.currencies import CURRENCIES
from catalog.prices.lines import HOURS_PER_MONTH
from catalog.store import rows
from catalog.store.database import Tx

EVERYBODY: Final = ""  # the holder of a rule for the whole gateway
ROLES: Final = (Role.ADMIN, Role.OWNER, Role.MEMBER)  # by what one may approve: over all, or in the order's project
NEEDED_LIMIT: Final = 10
_BY_ROLE, _BY_ACCOUNT = "role:", "account:"
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a rule says: which orders meet it, and how many of whom must approve them.

    ``over`` and ``currency`` stand together or not at all; ``offers`` are ids, ``platforms`` names or ids,
    ``approvers`` "role:NAME", a user's name, or an account's id.
    """

    name: str
    over: str | None = None
    currency: str | None = None
    offers: Sequence[str] = ()
    platforms: Sequence[str] = ()
    needed: int = 1
    approvers: Sequence[str]
    allows_own: bool = False
    wait_s: float = 7 * 86_400.0


def add(tx: Tx, whose: Holder | None, terms: Terms, by: Principal, now_s: float) -> ApprovalRule:
    """Return the new rule for the orders of ``whose`` projects, None: for everybody's.

    Raises InvalidValue naming the field, Denied for one who neither owns the organisation nor is an admin.
    """
    _require_above(tx, whose, by)
    approvers = list(dict.fromkeys(_approver(tx, text, by) for text in terms.approvers))
    _check(terms, approvers)
    rule = ApprovalRule(
        id=ApprovalRuleId(new_id("approval-rule", now_s)),
        holder_id=EVERYBODY if whose is None else whose.id,
        name=naming.label(terms.name, field="name"),
        over=terms.over,
        currency=terms.currency,
        offers=[_known(tx, Offer, text, "offers") for text in dict.fromkeys(terms.offers)],
        platforms=[_known(tx, Platform, text, "platforms") for text in dict.fromkeys(terms.platforms)],
        needed=terms.needed,
        approvers=approvers,
        allows_own=terms.allows_own,
        wait_s=terms.wait_s,
        set_by_admin=by.role is Role.ADMIN,
    )
    return rows.insert(tx, rule, now_s)


def remove(tx: Tx, rule: ApprovalRule, by: Principal) -> None:
    """Remove the rule; orders that wait because of it alone go on. Raises Denied: an owner removes no admin's."""
    _require_above(tx, _holder(tx, rule), by)
    if rule.set_by_admin and by.role is not Role.ADMIN:
        raise Denied("an admin made this rule", fix="ask an admin")
    rows.delete(tx, rule)


def met(tx: Tx, order: Order, platform_id: PlatformId) -> Sequence[ApprovalRule]:
    """Return the rules that ``order`` meets as its row describes it now, oldest first; none: nobody is asked."""
    holders = {EVERYBODY, *(whose.id for whose in holders_of(tx, order.project_id))}
    return [rule for rule in rows.where(tx, ApprovalRule, holder_id=holders) if is_met(rule, order, platform_id)]


def is_met(rule: ApprovalRule, order: Order, platform_id: PlatformId) -> bool:
    """Return whether all that ``rule`` names holds for ``order`` at this platform."""
    if rule.offers and order.offer_id not in rule.offers:
        return False
    if rule.platforms and platform_id not in rule.platforms:
        return False
    if rule.over is None:
        return True
    cost, currency = monthly(order.price)
    return cost is None or currency != rule.currency or cost > Decimal(rule.over)


def monthly(price: dict[str, Any] | None) -> tuple[Decimal | None, str]:
    """Return what a machine costs in a month of 730 hours by a price as an order keeps it; None where nobody knows."""
    each, currency = hourly(price)
    return (None if each is None else each * HOURS_PER_MONTH), currency


def names_account(rule: ApprovalRule, account_id: str | None) -> bool:
    """Return whether the rule names this very account."""
    return account_id is not None and f"{_BY_ACCOUNT}{account_id}" in rule.approvers


def names_role(rule: ApprovalRule, role: Role | None) -> bool:
    """Return whether the rule names this role."""
    return role is not None and f"{_BY_ROLE}{role.value}" in rule.approvers


def approver_words(tx: Tx, text: str) -> str:
    """Return who a rule's approver is, as people call him: "role:owner", or an account's name."""
    if text.startswith(_BY_ROLE):
        return text
    account = rows.find(tx, Account, text.removeprefix(_BY_ACCOUNT))
    return text if account is None else account.name


def offered_at(tx: Tx, offer_id: str) -> PlatformId:
    """Return whose offer this is."""
    return rows.by_id(tx, Offer, offer_id).platform_id


def reference_of(tx: Tx, rule: ApprovalRule) -> str:
    """Return for whose orders the rule is, "" for everybody's."""
    whose = _holder(tx, rule)
    return "" if whose is None else whose.reference


def _holder(tx: Tx, rule: ApprovalRule) -> Holder | None:
    return holder(tx, rule.holder_id) if rule.holder_id else None


def _require_above(tx: Tx, whose: Holder | None, by: Principal) -> None:
    """Raise Denied unless ``by`` is above who orders: an admin, or an owner of the organisation."""
    if by.role is Role.ADMIN:
        return
    organisation = None
    if whose is not None:
        organisation = whose.id if whose.project_id is None else rows.by_id(tx, Project, whose.id).organisation_id
    if organisation not in by.owned:
        raise Denied("only an owner of the organisation, or an admin, rules over this", fix="ask one of them")


def _check(terms: Terms, approvers: Sequence[str]) -> None:
    if (terms.over is None) != (terms.currency is None):
        missing = "currency" if terms.currency is None else "over"
        raise InvalidValue("a limit is an amount of a currency", field=missing, fix="give both, or neither")
    if terms.over is not None and not _AMOUNT.fullmatch(terms.over):
        raise InvalidValue("this is no amount", field="over", fix="such as 500 or 99.50")
    if terms.currency is not None and terms.currency not in CURRENCIES:
        raise InvalidValue("this is no currency", field="currency", fix="its ISO 4217 code, such as EUR")
    if not 1 <= terms.needed <= NEEDED_LIMIT:
        raise InvalidValue("so many approvals cannot be needed", field="needed", fix=f"1 to {NEEDED_LIMIT}")
    if not approvers:
        raise InvalidValue("somebody must be able to approve", field="approvers", fix="role:owner, or accounts")
    if terms.needed > len(approvers) and not any(each.startswith(_BY_ROLE) for each in approvers):
        raise InvalidValue(
            f"{len(approvers)} approvers cannot give {terms.needed} approvals",
            field="needed",
            fix=f"at most {len(approvers)}, or a role",
        )


def _approver(tx: Tx, text: str, by: Principal) -> str:
    if text.startswith(_BY_ROLE):
        if text.removeprefix(_BY_ROLE) not in {role.value for role in ROLES}:
            fix = ", ".join(f"{_BY_ROLE}{role.value}" for role in ROLES)
            raise InvalidValue("nobody approves by this role", field="approvers", fix=fix)
        return text
    wanted = text.removeprefix(_BY_ACCOUNT)
    account = rows.find(tx, Account, wanted) or rows.first(tx, Account, path=wanted, kind=AccountKind.USER)
    if account is None or not _is_known_to(tx, account, by):
        raise InvalidValue(f"there is no account '{wanted}'", field="approvers", fix="a user's name, or an id")
    return f"{_BY_ACCOUNT}{account.id}"


def _is_known_to(tx: Tx, account: Account, by: Principal) -> bool:
    """Return whether the account exists for ``by``: somebody in his projects, or another owner of his organisation."""
    return accounts.may_decide(tx, by, account, "account:read") or any(
        each.organisation_id in by.owned for each in rows.where(tx, Membership, account_id=account.id)
    )


def _known(tx: Tx, kind: type[Offer] | type[Platform], text: str, field: str) -> str:
    try:
        row = rows.by_id(tx, Offer, text) if kind is Offer else rows.by_name_or_id(tx, Platform, text)
    except NotFound as error:
        raise InvalidValue(str(error), field=field, fix="one that there is") from error
    return row.id
