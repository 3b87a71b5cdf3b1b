"""Rules that say which orders need whose approval."""

from typing import Annotated

from pydantic import Field

from catalog.approvals import rules
from catalog.approvals.rules import EVERYBODY, NEEDED_LIMIT, Terms
from catalog.errors import Denied, InvalidValue, NotFound
from catalog.model.approval import ApprovalRule
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Lifetime, Nothing, ProjectReference, Reference, Resource, Word, stamp
from gateway.api.budgets import Amount, Currency
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.holders import owned_holder

routes = Routes("approval-rules")

Approver = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+:-]{0,135}$", max_length=136)]


class ApprovalRuleIn(Body):
    """An order that is all that is named here needs so many approvals; naming nothing, every order does."""

    name: Word = Field(description="What approvers read: why they are asked.")
    holder: ProjectReference | None = Field(
        default=None, description="Whose orders: a project's or an organisation's; left out: everybody's."
    )
    over: Amount | None = Field(
        default=None, description="Only orders that cost more a month (730 hours), or nobody knows what."
    )
    currency: Currency | None = None
    offers: Annotated[list[Reference], Field(max_length=64)] = Field(default=[], description="Only of these, by id.")
    platforms: Annotated[list[Reference], Field(max_length=64)] = Field(default=[], description="Only at these.")
    needed: Annotated[int, Field(ge=1, le=NEEDED_LIMIT)] = 1
    approvers: Annotated[list[Approver], Field(min_length=1, max_length=64)] = Field(
        description="Users by name, accounts by id, `role:owner`, `role:member` or `role:admin`. Who is named needs a "
        "role in the order's project, or over all, to see what he approves."
    )
    allows_own: bool = Field(default=False, description="Whether who ordered may be one of them.")
    wait_s: Lifetime = Field(default=7 * 86_400.0, description="So long an order waits; then it fails.")


class ApprovalRuleOut(Resource):
    """A rule."""

    name: str
    holder: str = Field(description="Empty: everybody's orders.")
    over: str | None
    currency: str | None
    offers: list[str]
    platforms: list[str]
    needed: int
    approvers: list[str]
    allows_own: bool
    wait_s: float
    set_by_admin: bool = Field(description="Only an admin removes it.")


@routes.endpoint(
    "POST",
    "/v1/approval-rules",
    permission="approval-rule:write",
    body=ApprovalRuleIn,
    answer=ApprovalRuleOut,
    status=201,
    location="/v1/approval-rules/{id}",
    errors=(InvalidValue, NotFound, Denied),
    summary="Let orders need approval",
)
def add_approval_rule(tx: Tx, call: Call[ApprovalRuleIn]) -> ApprovalRuleOut:
    """Return the new rule; orders that wait already are judged by it too."""
    wanted = call.body
    whose = None if wanted.holder is None else owned_holder(tx, call, wanted.holder)
    terms = Terms(
        name=wanted.name,
        over=wanted.over,
        currency=wanted.currency,
        offers=wanted.offers,
        platforms=wanted.platforms,
        needed=wanted.needed,
        approvers=wanted.approvers,
        allows_own=wanted.allows_own,
        wait_s=wanted.wait_s,
    )
    return _out(tx, rules.add(tx, whose, terms, call.principal, call.now_s))


@routes.plain(
    "GET",
    "/v1/approval-rules",
    permission="approval-rule:read",
    answer=ApprovalRuleOut,
    many=True,
    summary="List the rules by which orders need approval",
)
def list_approval_rules(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of them: an admin's all, else those of the own projects and organisations."""
    mine = {} if call.sees_all else {"holder_id": call.scope.projects | call.principal.owned}
    found = page(tx, ApprovalRule, limit=call.limit, token=call.page_token, where=mine)
    return Listing(items=[_out(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "GET",
    "/v1/approval-rules/{id}",
    permission="approval-rule:read",
    answer=ApprovalRuleOut,
    summary="Show a rule",
)
def get_approval_rule(tx: Tx, call: Call[Nothing]) -> ApprovalRuleOut:
    """Return it."""
    return _out(tx, _own(tx, call))


@routes.plain(
    "DELETE",
    "/v1/approval-rules/{id}",
    permission="approval-rule:write",
    status=204,
    errors=(Denied,),
    summary="Remove a rule; what waits because of it alone goes on",
)
def remove_approval_rule(tx: Tx, call: Call[Nothing]) -> None:
    """Remove it."""
    rule = _own(tx, call)
    call.precondition.check(rule)
    rules.remove(tx, rule, call.principal)


def _own(tx: Tx, call: Call[Nothing]) -> ApprovalRule:
    rule = rows.find(tx, ApprovalRule, call.path["id"])
    mine = call.scope.visible | call.principal.owned
    if rule is None or not (call.principal.is_gateway_wide or rule.holder_id in mine):
        raise NotFound(f"there is no approval rule '{call.path['id']}'")
    return rule


def _out(tx: Tx, row: ApprovalRule) -> ApprovalRuleOut:
    return ApprovalRuleOut(
        **stamp(row),
        name=row.name,
        holder="" if row.holder_id == EVERYBODY else rules.reference_of(tx, row),
        over=row.over,
        currency=row.currency,
        offers=row.offers,
        platforms=[rows.by_id(tx, Platform, each).name for each in row.platforms],
        needed=row.needed,
        approvers=[rules.approver_words(tx, each) for each in row.approvers],
        allows_own=row.allows_own,
        wait_s=row.wait_s,
        set_by_admin=row.set_by_admin,
    )
