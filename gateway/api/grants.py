"""Grants: what owners granted, what an admin accepted, and the standing rules that accept without asking."""

from typing import Any

from pydantic import Field

from catalog import consent, grant_rules
from catalog.access import owns
from catalog.errors import AlreadyExists, InvalidValue, NotFound, WrongState
from catalog.messages.handshake import Capability
from catalog.model.consent import Grant, GrantRule, GrantState, GrantTerms, Side
from catalog.model.ids import GrantId
from catalog.model.platform import Platform
from catalog.model.terms import TERMS
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Nothing, Resource, Time, stamp
from gateway.api.endpoints import Call, Listing, Routes, one_of
from gateway.api.services import Wakes

routes = Routes("grants")

ANY = "*"


class GrantOut(Resource):
    """One capability of one platform, from request to offer.

    ``scope``: patterns of regions, sizes, images and projects, {} = any. ``on_end``: what becomes of machines when it
    ends; ``wind_down_until``: until when those are read and destroyed. ``proofs``: what the account could really do.
    """

    platform: str
    connection: str
    capability: str
    verbs: list[str]
    quota: int | None
    expires_at: Time | None
    destinations: list[str]
    scope: dict[str, list[str]]
    cores: int | None
    memory_gib: int | None
    calls_per_minute: int | None
    on_end: str | None
    wind_down_s: float | None
    wind_down_until: Time | None
    state: str
    suspended_by: list[str]
    proofs: list[dict[str, Any]]


@routes.plain(
    "GET",
    "/v1/grants",
    permission="grant:read",
    answer=GrantOut,
    many=True,
    filters={
        "state": one_of(GrantState, "Only grants in this state."),
        "capability": one_of(Capability, "Only grants of this capability."),
    },
    summary="List the grants",
)
def list_grants(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of grants: a platform's own, an admin's all."""
    mine = {} if call.sees_all else {"platform_id": call.principal.subject_id}
    found = page(tx, Grant, limit=call.limit, token=call.page_token, where={**mine, **call.filters})
    return Listing(items=[grant_out(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/grants/{id}", permission="grant:read", answer=GrantOut, summary="Show or watch a grant")
def get_grant(tx: Tx, call: Call[Nothing]) -> GrantOut:
    """Return the grant."""
    return grant_out(tx, own_grant(tx, call))


@routes.plain(
    "POST",
    "/v1/grants/{id}/accept",
    permission="grant:write",
    answer=GrantOut,
    wakes=(Wakes.GRANTS, Wakes.RELAYS),
    errors=(WrongState,),
    summary="Accept what the owner granted; it becomes an offer once it is proved",
)
def accept_grant(tx: Tx, call: Call[Nothing]) -> GrantOut:
    """Return the accepted grant."""
    return grant_out(tx, consent.accept(tx, GrantId(own_grant(tx, call).id), call.now_s))


@routes.plain(
    "POST",
    "/v1/grants/{id}/refuse",
    permission="grant:write",
    answer=GrantOut,
    errors=(WrongState,),
    summary="Refuse what the owner granted",
)
def refuse_grant(tx: Tx, call: Call[Nothing]) -> GrantOut:
    """Return the refused grant."""
    return grant_out(tx, consent.refuse(tx, GrantId(own_grant(tx, call).id), call.now_s))


@routes.plain(
    "POST",
    "/v1/grants/{id}/revoke",
    permission="grant:revoke",
    answer=GrantOut,
    wakes=(Wakes.ENFORCEMENT, Wakes.PASSAGES, Wakes.DISPATCH, Wakes.GRANTS, Wakes.RELAYS),
    errors=(WrongState,),
    summary="Take a grant back; its offer is withdrawn at once",
)
def revoke_grant(tx: Tx, call: Call[Nothing]) -> GrantOut:
    """Return the revoked grant. What becomes of machines that exist is what its terms say: ``on_end``."""
    return grant_out(tx, consent.revoke(tx, GrantId(own_grant(tx, call).id), call.now_s))


@routes.plain(
    "POST",
    "/v1/grants/{id}/suspend",
    permission="grant:revoke",
    answer=GrantOut,
    wakes=(Wakes.ENFORCEMENT, Wakes.PASSAGES, Wakes.DISPATCH, Wakes.GRANTS, Wakes.RELAYS),
    errors=(WrongState,),
    summary="Hold an accepted grant back; its offer is withdrawn at once",
)
def suspend_grant(tx: Tx, call: Call[Nothing]) -> GrantOut:
    """Return the suspended grant; the side that holds it back may resume it."""
    return grant_out(tx, consent.suspend(tx, own_grant(tx, call).id, _side(call), call.now_s))


@routes.plain(
    "POST",
    "/v1/grants/{id}/resume",
    permission="grant:revoke",
    answer=GrantOut,
    wakes=(Wakes.GRANTS, Wakes.RELAYS),
    errors=(WrongState,),
    summary="Let go of a grant that your side holds back; it is offered again once it is proved",
)
def resume_grant(tx: Tx, call: Call[Nothing]) -> GrantOut:
    """Return the grant, accepted again unless the other side holds it back too."""
    return grant_out(tx, consent.resume(tx, own_grant(tx, call).id, _side(call), call.now_s))


class TermsOut(Resource):
    """One version of a grant's terms. ``evidence`` is the owner's signed answer that gave them."""

    number: int
    terms: dict[str, Any]
    given_at: Time
    superseded_at: Time | None
    reason: str
    evidence: str


@routes.plain(
    "GET",
    "/v1/grants/{id}/history",
    permission="grant:read",
    answer=TermsOut,
    many=True,
    summary="List every version of a grant's terms",
)
def list_terms(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of versions, oldest first; the one in force is not superseded."""
    found = page(tx, GrantTerms, limit=call.limit, token=call.page_token, where={"grant_id": own_grant(tx, call).id})
    return Listing(items=[_terms(row) for row in found.items], next_token=found.next_token)


class RuleIn(Body):
    """A standing rule: what such platforms grant of this capability is accepted."""

    platform: str = Field(pattern=r"^(\*|[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?)$", max_length=63, description="`*`: any.")
    capability: str = Field(pattern=r"^(\*|" + "|".join(Capability) + ")$", max_length=32, description="`*`: any.")


class RuleOut(Resource):
    """A standing rule."""

    platform: str
    capability: str


@routes.endpoint(
    "POST",
    "/v1/grant-rules",
    permission="grant:write",
    body=RuleIn,
    answer=RuleOut,
    status=201,
    wakes=(Wakes.GRANTS,),
    errors=(AlreadyExists, InvalidValue),
    summary="Accept certain grants without asking, those that wait now included",
)
def create_grant_rule(tx: Tx, call: Call[RuleIn]) -> RuleOut:
    """Return the new rule, applied to every platform that it names."""
    rule = grant_rules.add(tx, platform=call.body.platform, capability=call.body.capability, now_s=call.now_s)
    named = {} if rule.platform == ANY else {"name": rule.platform}
    for platform in rows.where(tx, Platform, **named):
        grant_rules.apply(tx, platform.id, call.now_s)
    return _rule(rule)


@routes.plain(
    "GET", "/v1/grant-rules", permission="grant:write", answer=RuleOut, many=True, summary="List the standing rules"
)
def list_grant_rules(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of rules."""
    found = page(tx, GrantRule, limit=call.limit, token=call.page_token)
    return Listing(items=[_rule(row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "DELETE",
    "/v1/grant-rules/{id}",
    permission="grant:write",
    status=204,
    summary="Remove a standing rule; what it accepted stays accepted",
)
def remove_grant_rule(tx: Tx, call: Call[Nothing]) -> None:
    """Remove the rule."""
    text = call.path["id"]
    if not text.isascii() or not text.isdecimal() or len(text) > 18:  # noqa: PLR2004 what an SQL integer holds
        raise NotFound(f"there is no grant rule '{text}'")
    row = rows.by_id(tx, GrantRule, int(text))
    call.precondition.check(row)
    grant_rules.remove(tx, int(text))


def own_grant(tx: Tx, call: Call[Any]) -> Grant:
    """Return the grant of the path. Raises NotFound also for one that is not the caller's."""
    row = rows.find(tx, Grant, call.path["id"])
    if row is None or not owns(call.principal, row.platform_id):
        raise NotFound(f"there is no grant '{call.path['id']}'")
    return row


def grant_out(tx: Tx, row: Grant) -> GrantOut:
    """Return the grant as the API shows it."""
    return GrantOut(
        **stamp(row),
        platform=rows.by_id(tx, Platform, row.platform_id).name,
        connection=row.connection_id,
        capability=row.capability,
        **{name: rows.value(row, name) for name in TERMS if name != "expires_at_s"},
        expires_at=row.expires_at_s,
        wind_down_until=row.wind_down_until_s,
        state=row.state.value,
        suspended_by=row.suspended_by,
        proofs=list(row.proofs),
    )


def _side(call: Call[Nothing]) -> Side:
    return Side.GATEWAY if call.sees_all else Side.PLATFORM


def _terms(row: GrantTerms) -> TermsOut:
    return TermsOut(
        **stamp(row),
        number=row.number,
        terms=row.terms,
        given_at=row.given_at_s,
        superseded_at=row.superseded_at_s,
        reason=row.reason,
        evidence=row.evidence,
    )


def _rule(row: GrantRule) -> RuleOut:
    return RuleOut(**stamp(row), platform=row.platform, capability=row.capability)
