"""Orders that wait for approval: whoever is asked answers once, and who answered what is kept with the order."""

from typing import Annotated

from pydantic import Field

from catalog.approvals import judging, rules
from catalog.errors import AlreadyExists, Denied, WrongState
from catalog.model.approval import Approval, ApprovalState, Verdict
from catalog.model.platform import Platform
from catalog.orders.approving import answer
from catalog.store import rows, scoped
from catalog.store.database import Tx
from gateway.api.bodies import PRINTABLE, Body, Composite, Nothing, Out, Time, stamp
from gateway.api.endpoints import Call, Listing, Routes, one_of
from gateway.api.prices import KeptPriceOut, kept_price_out
from gateway.api.services import Wakes

routes = Routes("approvals")


class AnswerIn(Body):
    """An answer; it stands."""

    comment: Annotated[str, Field(pattern=PRINTABLE, max_length=128)] = Field(
        default="", description="Kept with the order, and shown to its project."
    )


class VoteOut(Out):
    """What one approver said."""

    approver: str = Field(description="`account:ID`, or `admin`.")
    name: str
    verdict: str = Field(description="`approve` or `deny`.")
    comment: str
    at: Time


class RequirementOut(Out):
    """One rule that the order meets, and who has approved for it."""

    rule: str
    name: str
    needed: int
    approved_by: list[str] = Field(description="Those who count: they are still let in, and still asked.")


class ApprovalOut(Composite):
    """The question whether an order may be served by this offer at this price."""

    order: str
    project: str
    offer: str
    platform: str
    state: str
    asked_by: str = Field(description="Who ordered.")
    price: KeptPriceOut | None = Field(description="What its size costs; null: unknown.")
    requirements: list[RequirementOut] = Field(description="As of now while it waits, as of its end afterwards.")
    votes: list[VoteOut]
    expires_at: Time
    ended_at: Time | None
    reason: str


@routes.plain(
    "GET",
    "/v1/approvals",
    permission="approval:read",
    answer=ApprovalOut,
    many=True,
    filters={
        "state": one_of(ApprovalState, "Only those in this state."),
        "order": "Only those about this order.",
    },
    summary="List what was asked about orders",
)
def list_approvals(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of them: those of the own projects' orders, a gateway-wide role's all."""
    where: dict[str, object] = {name: text for name, text in call.filters.items() if name != "order"}
    if "order" in call.filters:
        where["order_id"] = call.filters["order"]
    found = scoped.page(tx, call.scope, Approval, limit=call.limit, token=call.page_token, where=where)
    return Listing(items=[_out(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "GET", "/v1/approvals/{id}", permission="approval:read", answer=ApprovalOut, summary="Show or watch an approval"
)
def get_approval(tx: Tx, call: Call[Nothing]) -> ApprovalOut:
    """Return it."""
    return _out(tx, scoped.find(tx, call.scope, Approval, call.path["id"]))


@routes.endpoint(
    "POST",
    "/v1/approvals/{id}/approve",
    permission="approval:write",
    body=AnswerIn,
    answer=ApprovalOut,
    wakes=(Wakes.DISPATCH, Wakes.POOLS),
    errors=(WrongState, Denied, AlreadyExists),
    summary="Approve an order that waits for it",
)
def approve(tx: Tx, call: Call[AnswerIn]) -> ApprovalOut:
    """Return the question as it then is: approved once everybody who is needed has said so, and the order goes on."""
    return _answered(tx, call, Verdict.APPROVE)


@routes.endpoint(
    "POST",
    "/v1/approvals/{id}/deny",
    permission="approval:write",
    body=AnswerIn,
    answer=ApprovalOut,
    errors=(WrongState, Denied, AlreadyExists),
    summary="Deny an order that waits for approval: it ends",
)
def deny(tx: Tx, call: Call[AnswerIn]) -> ApprovalOut:
    """Return the question, which has ended."""
    return _answered(tx, call, Verdict.DENY)


def _answered(tx: Tx, call: Call[AnswerIn], verdict: Verdict) -> ApprovalOut:
    question = scoped.find(tx, call.scope, Approval, call.path["id"])
    policy = call.services.retry_policy
    comment = call.body.comment
    return _out(tx, answer(tx, question, call.principal, verdict, comment=comment, now_s=call.now_s, policy=policy))


def _out(tx: Tx, row: Approval) -> ApprovalOut:
    offered = rules.offered_at(tx, row.offer_id)
    return ApprovalOut(
        **stamp(row),
        order=row.order_id,
        project=row.project_id,
        offer=row.offer_id,
        platform=rows.by_id(tx, Platform, offered).name,
        state=row.state.value,
        asked_by=row.asked_by,
        price=None if row.price is None else kept_price_out(row.price),
        requirements=[RequirementOut.model_validate(each) for each in judging.standing(tx, row)],
        votes=[
            VoteOut(
                approver=vote.approver,
                name=vote.name,
                verdict=vote.verdict.value,
                comment=vote.comment,
                at=vote.created_at_s,
            )
            for vote in judging.votes_of(tx, row)
        ],
        expires_at=row.expires_at_s,
        ended_at=row.ended_at_s,
        reason=row.reason,
    )
