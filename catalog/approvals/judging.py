"""Whether an order has the approvals that it needs, judged by what holds at this moment and by nothing older.

Rules are the ones there are now, prices today's, and an approver counts for as long as he would still be let in and
asked. One person has one voice, however many tokens he has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from catalog import access, tokens
from catalog.access import Principal
from catalog.approvals import rules
from catalog.model.access import ADMIN_KEY, Account, AccountKind, Role, account_of_key
from catalog.model.approval import Approval, ApprovalRule, ApprovalState, ApprovalVote, Verdict
from catalog.model.ids import TokenId
from catalog.model.offering import Offer
from catalog.model.order import Order
from catalog.model.tenancy import Project
from catalog.store import rows
from catalog.store.database import Tx

PERMISSION = "approval:write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One rule that the order meets now, and the votes that count for it now."""

    rule: ApprovalRule
    approvals: Sequence[ApprovalVote]

    @property
    def is_met(self) -> bool:
        """Whether enough of those who may have approved."""
        return len(self.approvals) >= self.rule.needed


def requirements(tx: Tx, approval: Approval, order: Order) -> Sequence[Requirement]:
    """Return what the order needs as it is described now, and has of it."""
    votes = votes_of(tx, approval)
    platform_id = rows.by_id(tx, Offer, order.offer_id).platform_id
    return [
        Requirement(
            rule=rule,
            approvals=[
                vote
                for vote in votes
                if vote.verdict is Verdict.APPROVE and is_asked(tx, rule, order, known(tx, vote.approver))
            ],
        )
        for rule in rules.met(tx, order, platform_id)
    ]


def standing(tx: Tx, approval: Approval) -> list[Mapping[str, object]]:
    """Return what the order needs and has of it: as of now while the question waits, as of its end afterwards."""
    if approval.state is not ApprovalState.WAITING:
        return list(approval.rules)
    return told(requirements(tx, approval, rows.by_id(tx, Order, approval.order_id)))


def votes_of(tx: Tx, approval: Approval) -> Sequence[ApprovalVote]:
    """Return what was answered, the earliest first."""
    return sorted(rows.where(tx, ApprovalVote, approval_id=approval.id), key=lambda each: each.created_at_s)


def is_asked(tx: Tx, rule: ApprovalRule, order: Order, who: Principal | None) -> bool:
    """Return whether ``rule`` asks this very principal about ``order`` now."""
    if who is None or (not rule.allows_own and is_own(tx, order, who)):
        return False
    reach = access.scope(who, PERMISSION)
    if not reach.everything and order.project_id not in reach.projects:
        return False
    if rules.names_account(rule, who.account_id):
        return True
    # A program's token is in the hands of whoever owns its project: it speaks by its own name or not at all.
    return _is_person(tx, who) and (
        rules.names_role(rule, who.works_in.get(order.project_id))
        or (who.role is Role.ADMIN and rules.names_role(rule, Role.ADMIN))
    )


def is_own(tx: Tx, order: Order, who: Principal) -> bool:
    """Return whether ``order`` is the deed of ``who``: ordered by himself, or with a token that he had issued.

    One by a project's token, or by a program whose token nobody is known to have issued, is nobody's in particular: it
    is own to everybody who works in the project, but for those above it.
    """
    deed = tokens.behind(tx, order.ordered_by, order.ordered_with)
    if who.key == order.ordered_by or deed in {who.key, tokens.behind(tx, who.key, who.token_id)} - {""}:
        return True
    is_persons = deed == ADMIN_KEY or account_of_key(deed) is not None
    if is_persons or not (order.ordered_by and order.project_id in who.works_in):
        return False
    return who.role is not Role.ADMIN and rows.by_id(tx, Project, order.project_id).organisation_id not in who.owned


def is_somebody(who: Principal) -> bool:
    """Return whether an answer of this principal can be anybody's in particular: a project's own token is nobody's."""
    return who.account_id is not None or who.role is Role.ADMIN


def known(tx: Tx, key: str) -> Principal | None:
    """Return whoever has this key, with what he may do now; None for one who is let in nowhere any more."""
    if key == ADMIN_KEY:
        return Principal(role=Role.ADMIN, subject_id="", token_id=TokenId(""), name=ADMIN_KEY)
    account_id = account_of_key(key)
    account = None if account_id is None else rows.find(tx, Account, account_id)
    return access.of_account(tx, account, TokenId("")) if account is not None and account.enabled else None


def told(found: Sequence[Requirement]) -> list[Mapping[str, object]]:
    """Return the requirements as they are kept with the question when it ends."""
    return [
        {
            "rule": each.rule.id,
            "name": each.rule.name,
            "needed": each.rule.needed,
            "approved_by": [vote.name for vote in each.approvals],
        }
        for each in found
    ]


def _is_person(tx: Tx, who: Principal) -> bool:
    if who.account_id is None:
        return who.role is Role.ADMIN
    return rows.by_id(tx, Account, who.account_id).kind is AccountKind.USER
