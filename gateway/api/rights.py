"""What a platform's account can do, as last proved, and the machines that are there, as last listed."""

from pydantic import Field

from catalog import rights
from catalog.claims import claimed_by
from catalog.machines import ours_among
from catalog.messages.handshake import Capability
from catalog.model.machine import Custody, Machine
from catalog.model.offering import InventoryItem
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Nothing, Out, Time
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.platforms import own_platform

routes = Routes("platforms")


class RightOut(Out):
    """One capability of a platform's account and its newest proof."""

    capability: str
    state: str = Field(
        description="`held`; `proposed`: held, and nobody has been asked to grant it; `lost`: held before; `absent`."
    )
    request: str = Field(description="How it was proved, such as `DryRun RunInstances`.")
    request_id: str = Field(description="The cloud's own id of that request, empty where it gives none.")
    detail: str
    proved_at: Time


@routes.plain(
    "GET",
    "/v1/platforms/{ref}/rights",
    permission="platform:read",
    answer=RightOut,
    many=True,
    summary="Show what a platform's account can do, as it was last proved",
)
def list_rights(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return the rights by capability, all in one page: there are as many as capabilities at most."""
    row = own_platform(tx, call)
    items = [
        RightOut(
            capability=each.capability,
            state=each.state.value,
            request=each.request,
            request_id=each.request_id,
            detail=each.detail,
            proved_at=each.proved_at_s,
        )
        for each in rights.of_platform(tx, row.id)
    ]
    return Listing(items=items)


class CloudMachineOut(Out):
    """A machine at a platform, as its cloud listed it last."""

    cloud_id: str
    name: str
    status: str
    size: str = Field(description="Empty where the cloud does not say.")
    image: str
    addresses: list[str]
    machine: str | None = Field(description="The id of the machine in the catalog that it is; null: it is in none.")
    custody: str | None = Field(description="How that one came there: `made`, `managed` or `observed`.")
    project: str | None = Field(description="Whose that one is; to a platform's owner it is not told.")
    claimed_by: str = Field(description="Another controller that steers it, by its tags at the cloud; empty: none.")
    seen_at: Time = Field(description="When this was first listed as it is now.")


@routes.plain(
    "GET",
    "/v1/platforms/{ref}/machines",
    permission="platform:read",
    answer=CloudMachineOut,
    many=True,
    summary="List the machines at a platform, ours and others', as its cloud listed them last",
)
def list_cloud_machines(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of them."""
    row = own_platform(tx, call)
    where = {"platform_id": row.id, "kind": Capability.MACHINE.value}
    found = page(tx, InventoryItem, limit=call.limit, token=call.page_token, where=where)
    ours = ours_among(tx, row.id, {item.cloud_id for item in found.items})
    items = [
        CloudMachineOut(
            cloud_id=item.cloud_id,
            name=item.name,
            status=str(item.facts.get("status", "")),
            size=str(item.facts.get("size", "")),
            image=str(item.facts.get("image", "")),
            addresses=[str(each) for each in item.facts.get("addresses", ())],
            machine=None if held is None else held.id,
            custody=None if held is None else held.custody,
            project=held.project_id if held is not None and call.sees_all else None,
            claimed_by=_claimed_by(item, held),
            seen_at=item.updated_at_s,
        )
        for item in found.items
        for held in (ours.get(item.cloud_id),)
    ]
    return Listing(items=items, next_token=found.next_token)


def _claimed_by(item: InventoryItem, held: Machine | None) -> str:
    """Return who else steers the machine; what we made carries our own mark."""
    return "" if held is not None and held.custody == Custody.MADE else claimed_by(item.facts.get("tags") or {})
