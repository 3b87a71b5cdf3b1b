"""An asset: what a project holds at a platform beside machines, from its order to its end. One table for all kinds.

The row is the order as well: what was wanted, how often it was tried, and why it failed. Pools, placements and leases,
for which a machine's order is a row of its own, there are none of.
"""

from enum import StrEnum

from sqlalchemy import Index, String
from sqlmodel import Field

from catalog.model.ids import AssetId, OfferId, PlatformId, ProjectId
from catalog.model.lifecycle import Transitions
from catalog.model.rows import Row, enum_column, json_column


class AssetState(StrEnum):
    """Where an asset stands; FAILED and GONE are for ever, and nothing of it is left in the cloud."""

    CREATING = "creating"
    READY = "ready"
    CLEARING = "clearing"  # its creation failed; what there may be of it is destroyed
    FAILED = "failed"
    DESTROYING = "destroying"
    GONE = "gone"


class AssetEvent(StrEnum):
    """What can happen to an asset."""

    CREATE_AGAIN = "create-again"
    CREATED = "created"
    FAIL = "fail"
    DESTROY = "destroy"
    CLEARED = "cleared"


_S, _E = AssetState, AssetEvent

ASSET_TRANSITIONS: Transitions[AssetState, AssetEvent] = {
    _S.CREATING: {
        _E.CREATE_AGAIN: _S.CREATING,
        _E.CREATED: _S.READY,
        _E.FAIL: _S.CLEARING,
        _E.DESTROY: _S.DESTROYING,
    },
    _S.READY: {_E.DESTROY: _S.DESTROYING},
    _S.CLEARING: {_E.CLEARED: _S.FAILED},
    _S.DESTROYING: {_E.CLEARED: _S.GONE},
    _S.FAILED: {},
    _S.GONE: {},
}
# What may still be in the cloud, and counts in the quotas. Named one by one, so that an index finds them.
LIVE = (_S.CREATING, _S.READY, _S.CLEARING, _S.DESTROYING)


class Asset(Row, table=True):
    """One asset. ``attempt`` counts creations asked of the provisioner; its messages carry it back."""

    # What a project holds is summed up with every order of it; what is over is looked for again and again.
    __table_args__ = (
        Index("ix_asset_held", "project_id", "state", "kind"),
        Index("ix_asset_ends", "state", "ends_at_s"),
    )

    id: AssetId = Field(primary_key=True, sa_type=String)
    kind: str  # a catalog.cloud_assets.AssetKind
    capability: str  # under which it is made
    project_id: ProjectId = Field(foreign_key="project.id", sa_type=String)
    platform_id: PlatformId = Field(foreign_key="platform.id", sa_type=String, index=True)
    offer_id: OfferId = Field(foreign_key="offer.id", sa_type=String)
    state: AssetState = enum_column(AssetState, AssetState.CREATING, index=True)
    name: str  # as its owner calls it
    cloud_name: str  # as its cloud does, made unique by the id
    size_gib: int | None = None  # of a volume
    location: str | None = None
    options: dict[str, str] = json_column()  # what else was wanted, see ``catalog.cloud_assets.AssetSpec``
    parent_id: AssetId | None = Field(default=None, sa_type=String, index=True)  # what it is made from, or is in
    cloud_id: str | None = None
    facts: dict[str, str] = json_column()  # what its cloud says of it
    machines: list[str] = json_column(list)  # ids of ours that it is attached to, or is about to be
    attempt: int = 1
    next_attempt_at_s: float | None = None  # when a failed creation is tried again
    asked_at_s: float = 0.0  # when its creation was last asked for
    epoch: int = 0  # of the grant under which that was
    code: str = ""
    reason: str = ""
    ends_at_s: float | None = None  # when it is destroyed because its grant has ended
    notice: str = ""  # what its holder should know of the grant behind it
