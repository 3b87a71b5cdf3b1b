"""Quotas: how much a project, or all projects of an organisation together, may hold at once."""

from typing import Annotated

from pydantic import Field

from catalog import quotas
from catalog.allowance import MIB_PER_GIB
from catalog.assets import quota
from catalog.cloud_assets import AssetKind
from catalog.delegation import check_quota
from catalog.holders import Holder, holder
from catalog.model.quota import Quota
from catalog.store.assets import Kept
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Composite, Nothing, Out, stamp
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.holders import named, own_holder

routes = Routes("quotas")

Limit = Annotated[int, Field(ge=0, le=1_000_000)]


class QuotaChangesIn(Body):
    """Limits that shall change; null takes one away, and what is left out stays as it is."""

    machines: Limit | None = None
    cores: Limit | None = None
    memory_gib: Limit | None = None
    volumes: Limit | None = None
    volume_gib: Limit | None = None
    snapshots: Limit | None = None
    containers: Limit | None = None
    zones: Limit | None = None
    records: Limit | None = None
    balancers: Limit | None = None


class HeldOut(Out):
    """What is held now; null: of some machine it is not known."""

    machines: int
    cores: float | None
    memory_gib: float | None
    volumes: int
    volume_gib: int
    snapshots: int
    containers: int
    zones: int
    records: int
    balancers: int


class QuotaOut(Composite):
    """The limits, null where there is none, and what is used of them."""

    kind: str = Field(description="`project` or `organisation`.")
    reference: str = Field(description="`ORGANISATION/PROJECT`, or the organisation's name.")
    machines: int | None
    cores: int | None
    memory_gib: int | None
    volumes: int | None
    volume_gib: int | None
    snapshots: int | None
    containers: int | None
    zones: int | None
    records: int | None
    balancers: int | None
    used: HeldOut


@routes.plain(
    "GET", "/v1/quotas", permission="quota:read", answer=QuotaOut, many=True, summary="List the quotas that were set"
)
def list_quotas(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of them: an admin's all, else those of the own projects and organisations."""
    mine = {} if call.sees_all else {"id": call.scope.projects | call.principal.owned}
    found = page(tx, Quota, limit=call.limit, token=call.page_token, where=mine)
    return Listing(items=[_out(tx, holder(tx, row.id), row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "GET",
    "/v1/quotas/{holder}",
    permission="quota:read",
    answer=QuotaOut,
    summary="Show the quota of a project or organisation, and what is used of it",
)
def get_quota(tx: Tx, call: Call[Nothing]) -> QuotaOut:
    """Return it; where nobody set one it has version 0 and no limits."""
    whose = own_holder(tx, call)
    return _out(tx, whose, quotas.quota_of(tx, whose))


@routes.endpoint(
    "PATCH",
    "/v1/quotas/{holder}",
    permission="quota:write",
    body=QuotaChangesIn,
    answer=QuotaOut,
    summary="Change the quota of a project or organisation; what it holds beyond it already stays",
)
def change_quota(tx: Tx, call: Call[QuotaChangesIn]) -> QuotaOut:
    """Return the changed quota."""
    whose = own_holder(tx, call)
    call.precondition.check(quotas.quota_of(tx, whose))
    check_quota(tx, call.principal, whose, named(call.body))
    return _out(tx, whose, quotas.change(tx, whose, named(call.body), call.now_s))


def _out(tx: Tx, whose: Holder, row: Quota) -> QuotaOut:
    held, assets = quotas.used(tx, whose), quota.used(tx, whose)
    kept = {kind: assets.get(kind, Kept()) for kind in AssetKind}
    return QuotaOut(
        **stamp(row),
        kind=whose.kind,
        reference=whose.reference,
        **{name: getattr(row, name) for name in Quota.LIMITS},
        used=HeldOut(
            machines=held.machines,
            cores=held.vcpu,
            memory_gib=None if held.memory_mib is None else held.memory_mib / MIB_PER_GIB,
            volume_gib=kept[AssetKind.VOLUME].gib,
            **{f"{kind}s": each.count for kind, each in kept.items()},
        ),
    )
