"""A machine (a VM at a platform) from intent to gone, and the pools that keep some ready (S2)."""

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column, Index, String, text
from sqlmodel import Field

from catalog.model.ids import MachineId, OfferId, OrderId, PlatformId, PoolId, ProjectId
from catalog.model.lifecycle import Transitions
from catalog.model.rows import Row, enum_column, json_column


class MachineState(StrEnum):
    """Where a machine stands."""

    BUILDING = "building"
    IDLE = "idle"
    IN_USE = "in-use"
    RETURNED = "returned"
    DESTROYING = "destroying"
    GONE = "gone"


class Custody(StrEnum):
    """How a machine came to be in the catalog, and what may be asked of its cloud for it."""

    MADE = "made"  # by us
    MANAGED = "managed"  # it was there before us, was imported, and is steered like one of ours
    OBSERVED = "observed"  # it was there before us, and is shown: nothing is ever done to it


class MachineEvent(StrEnum):
    """What can happen to a machine."""

    BUILT = "built"  # for a pool: it waits there
    DELIVERED = "delivered"  # for an order: it goes to the tenant at once
    BUILD_FAILED = "build-failed"
    CLAIM = "claim"
    GIVE_BACK = "give-back"
    RETIRE = "retire"
    DESTROYED = "destroyed"
    RELEASE = "release"  # of an imported one: forgotten, and left where it is


_S, _E = MachineState, MachineEvent

MACHINE_TRANSITIONS: Transitions[MachineState, MachineEvent] = {
    # A failed build may have left half a machine in the cloud, so it is destroyed too.
    _S.BUILDING: {
        _E.BUILT: _S.IDLE,
        _E.DELIVERED: _S.IN_USE,
        _E.BUILD_FAILED: _S.DESTROYING,
        _E.RETIRE: _S.DESTROYING,
    },
    _S.IDLE: {_E.CLAIM: _S.IN_USE, _E.RETIRE: _S.DESTROYING},
    # Gone from the catalog: what was there before us stays at its cloud when we let go of it.
    _S.IN_USE: {_E.GIVE_BACK: _S.RETURNED, _E.RETIRE: _S.DESTROYING, _E.RELEASE: _S.GONE},
    # No way leads from here back to IDLE: a tenant's data may only return to a pool through a proven wipe,
    # and until there is one a returned machine is destroyed.
    _S.RETURNED: {_E.RETIRE: _S.DESTROYING},
    _S.DESTROYING: {_E.DESTROYED: _S.GONE},
    _S.GONE: {},
}


_IMPORTED = text("custody <> 'made' AND state <> 'gone'")


class Machine(Row, table=True):
    """One VM. ``attempt`` counts creations asked of the provisioner; its messages carry it back."""

    __table_args__ = (
        # What a project holds is summed up with every order of it.
        Index("ix_machine_held", "project_id", "state", "custody", "vcpu", "memory_mib"),
        # Of two imports of one machine at the same time one stays.
        Index(
            "ix_machine_imported",
            "platform_id",
            "cloud_id",
            unique=True,
            sqlite_where=_IMPORTED,
            postgresql_where=_IMPORTED,
        ),
        # What platforms hold for us is, with every order and every search.
        Index("ix_machine_taken", "state", "platform_id", "custody", "vcpu", "memory_mib"),
        # Whose time is over is asked every half a second; the state comes first, or its own index would be taken.
        Index("ix_machine_ends", "state", "ends_at_s"),
    )

    id: MachineId = Field(primary_key=True, sa_type=String)
    platform_id: PlatformId = Field(foreign_key="platform.id", sa_type=String, index=True)
    offer_id: OfferId = Field(foreign_key="offer.id", sa_type=String)
    pool_id: PoolId | None = Field(default=None, foreign_key="pool.id", sa_type=String, index=True)
    order_id: OrderId | None = Field(default=None, sa_type=String, index=True)
    project_id: ProjectId | None = Field(default=None, sa_type=String)
    state: MachineState = enum_column(MachineState, MachineState.BUILDING, index=True)
    name: str
    size: str
    image: str
    location: str | None = None
    key_pair: str | None = None
    network: str | None = None  # to which it is attached; None = the cloud's choice
    vcpu: float | None = None  # as its size had them when it was asked for, None = not known
    memory_mib: int | None = None
    cloud_id: str | None = None
    addresses: list[str] = json_column(list)
    custody: str = Custody.MADE.value
    # What an hour costs, as an order keeps it, of one that was imported or resized; None = not known, or as ordered.
    price: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    drift: list[dict[str, str]] = json_column(list)  # where its cloud says another thing, see ``catalog.drift``
    # What was asked of its cloud and is not known to be done: {"deed", "at_s", "before", "after"}; None = nothing.
    changing: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    attempt: int = 1
    reason: str = ""
    epoch: int = 0  # of the grant under which its creation was asked for
    ends_at_s: float | None = None  # when it is destroyed because its grant has ended
    notice: str = ""  # what its holder should know of the grant behind it: that it has ended, and what follows
    lease_ends_at_s: float | None = Field(default=None, index=True)  # when its project loses it; None = never
    lease_set_at_s: float | None = None  # when somebody last said so
    idle_from_s: float | None = None  # since when it has waited in its pool; None: it never did
    fence: int = 0  # the fencing token of its newest claim from a pool: an older one gives no right to it any more
    used_from_s: float | None = None  # when it was handed over: from then on it costs its project ...
    used_to_s: float | None = None  # ... until nothing was left of it
    budget_stop_s: float | None = None  # when it was stopped because a budget was spent
    edge_s: float | None = None  # up to when its schedule is settled
    reminded_s: float | None = None  # the last reminder of its end that was given: so long before it


class Pool(Row, table=True):
    """Keep ``idle_target`` machines of one offer, size and image ready; more idle than ``idle_limit`` are destroyed.

    In each of ``hours``, windows by the clock of ``zone``, another ``idle_target`` counts. It never has more than
    ``machine_limit`` machines in all, and replaces those that have been idle for ``idle_age_limit_s``; None: no limit.
    """

    id: PoolId = Field(primary_key=True, sa_type=String)
    name: str = Field(unique=True)
    offer_id: OfferId = Field(foreign_key="offer.id", sa_type=String, index=True)
    size: str
    image: str
    idle_target: int = 1
    idle_limit: int = 2
    building_limit: int = 2
    machine_limit: int | None = None
    idle_age_limit_s: float | None = None
    zone: str = "UTC"
    hours: list[dict[str, object]] = json_column(list)
    enabled: bool = True
    failures_in_a_row: int = 0
    reason: str = ""


class PoolProject(Row, table=True):
    """A project that a pool serves; one without any serves everybody."""

    __tablename__ = "pool_project"

    pool_id: PoolId = Field(primary_key=True, foreign_key="pool.id", sa_type=String)
    project_id: ProjectId = Field(primary_key=True, foreign_key="project.id", sa_type=String)
