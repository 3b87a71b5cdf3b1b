"""Rules for leases: how long machines are lent where an order says nothing, and at most."""

from pydantic import Field

from catalog.delegation import check_lease
from catalog.errors import InvalidValue
from catalog.holders import Holder
from catalog.leases import rules
from catalog.model.lease import LeaseRule
from catalog.store.database import Tx
from gateway.api.bodies import Body, Lifetime, Nothing, Resource, stamp
from gateway.api.endpoints import Call, Routes
from gateway.api.holders import named, own_holder

routes = Routes("leases")


class LeaseRuleChangesIn(Body):
    """What shall change; null is without an end, and what is left out stays as it is."""

    default_s: Lifetime | None = None
    longest_s: Lifetime | None = None


class LeaseRuleOut(Resource):
    """How long machines are lent; an organisation's longest holds in all its projects."""

    kind: str = Field(description="`project` or `organisation`.")
    reference: str = Field(description="`ORGANISATION/PROJECT`, or the organisation's name.")
    default_s: float | None
    longest_s: float | None


@routes.plain(
    "GET",
    "/v1/lease-rules/{holder}",
    permission="lease:read",
    answer=LeaseRuleOut,
    summary="Show how long machines of a project or organisation are lent",
)
def get_lease_rule(tx: Tx, call: Call[Nothing]) -> LeaseRuleOut:
    """Return the rule; where nobody set one it has version 0 and says nothing."""
    whose = own_holder(tx, call)
    return _out(whose, rules.rule_of(tx, whose))


@routes.endpoint(
    "PATCH",
    "/v1/lease-rules/{holder}",
    permission="lease:write",
    body=LeaseRuleChangesIn,
    answer=LeaseRuleOut,
    errors=(InvalidValue,),
    summary="Change how long machines are lent; what is lent already keeps its end",
)
def change_lease_rule(tx: Tx, call: Call[LeaseRuleChangesIn]) -> LeaseRuleOut:
    """Return the changed rule."""
    whose = own_holder(tx, call)
    call.precondition.check(rules.rule_of(tx, whose))
    check_lease(tx, call.principal, whose, named(call.body))
    return _out(whose, rules.change_rule(tx, whose, named(call.body), call.now_s))


def _out(whose: Holder, row: LeaseRule) -> LeaseRuleOut:
    return LeaseRuleOut(
        **stamp(row),
        kind=whose.kind,
        reference=whose.reference,
        default_s=row.default_s,
        longest_s=row.longest_s,
    )
