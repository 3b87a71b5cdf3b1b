"""What a platform's account can do, as it was last proved, whether or not anybody granted it."""

from pydantic import Field

from catalog import rights
from catalog.store.database import Tx
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
