"""Pools: machines kept ready, so that an order need not wait for a creation."""

from typing import Annotated

from pydantic import Field

from catalog import tenancy
from catalog.errors import AlreadyExists, InvalidValue
from catalog.model.ids import PoolId, ProjectId
from catalog.model.machine import Pool
from catalog.pool import manage
from catalog.schedules.windows import DAYS, WINDOWS_LIMIT
from catalog.store import machines, rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import (
    Body,
    Composite,
    Count,
    Lifetime,
    Name,
    Nothing,
    Out,
    ProjectReference,
    Reference,
    Word,
    absent,
    stamp,
)
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.schedules import Clock, Day, WindowOut, Zone
from gateway.api.services import Wakes

routes = Routes("pools")


class HoursIn(Body):
    """Time in which so many machines are kept ready instead; a stop not later than the start is on the next day."""

    days: Annotated[list[Day], Field(min_length=1, max_length=len(DAYS))]
    start: Clock
    stop: Clock
    idle_target: Count


Hours = Annotated[list[HoursIn], Field(max_length=WINDOWS_LIMIT)]
Projects = Annotated[list[ProjectReference], Field(max_length=256)]


class PoolIn(Body):
    """A new pool."""

    name: Name
    offer: Reference = Field(description="An offer's id, or the name of a platform that offers machines.")
    size: Word
    image: Word
    idle_target: Count = Field(default=1, description="So many machines are kept ready.")
    idle_limit: Count = Field(default=2, description="More idle machines than this are destroyed.")
    building_limit: Count = Field(default=2, description="At most so many are created at once.")
    machine_limit: Count | None = Field(default=None, description="At most so many in all, those in use included.")
    idle_age_limit_s: Lifetime | None = Field(default=None, description="What is idle for longer is replaced.")
    zone: Zone = "UTC"
    hours: Hours = Field(default=[], description="By the clock of the zone; of several windows the most counts.")
    projects: Projects = Field(default=[], description="The pool serves these alone; empty: everybody.")
    enabled: bool = True


class PoolChange(Body):
    """What changes of a pool; what is left out stays."""

    name: Name = absent()
    idle_target: Count = absent()
    idle_limit: Count = absent()
    building_limit: Count = absent()
    machine_limit: Count | None = absent()
    idle_age_limit_s: Lifetime | None = absent()
    zone: Zone = absent()
    hours: Hours = absent()
    projects: Projects = absent()
    enabled: bool = absent()


class HoursOut(WindowOut):
    """Time in which so many machines are kept ready instead."""

    idle_target: int


class CensusOut(Out):
    """What a pool holds now."""

    idle: int
    building: int
    in_use: int


class PoolOut(Composite):
    """A pool with its census; ``reason`` says what hinders it."""

    name: str
    offer: str
    size: str
    image: str
    idle_target: int
    idle_limit: int
    building_limit: int
    machine_limit: int | None
    idle_age_limit_s: float | None
    zone: str
    hours: list[HoursOut]
    projects: list[str]
    enabled: bool
    failures_in_a_row: int
    reason: str
    census: CensusOut


@routes.endpoint(
    "POST",
    "/v1/pools",
    permission="pool:write",
    body=PoolIn,
    answer=PoolOut,
    status=201,
    location="/v1/pools/{id}",
    wakes=(Wakes.POOLS,),
    errors=(AlreadyExists, InvalidValue),
    summary="Make a pool",
)
def create_pool(tx: Tx, call: Call[PoolIn]) -> PoolOut:
    """Return the new pool; it fills in the background."""
    terms = call.body.model_dump()
    terms["projects"] = _projects(tx, call, call.body.projects)
    return _out(tx, manage.create_pool(tx, **terms, now_s=call.now_s))


@routes.plain("GET", "/v1/pools", permission="pool:read", answer=PoolOut, many=True, summary="List the pools")
def list_pools(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of pools."""
    found = page(tx, Pool, limit=call.limit, token=call.page_token)
    return Listing(items=[_out(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/pools/{ref}", permission="pool:read", answer=PoolOut, summary="Show a pool and its census")
def get_pool(tx: Tx, call: Call[Nothing]) -> PoolOut:
    """Return the pool with this name or id."""
    return _out(tx, rows.by_name_or_id(tx, Pool, call.path["ref"]))


@routes.endpoint(
    "PATCH",
    "/v1/pools/{ref}",
    permission="pool:write",
    body=PoolChange,
    answer=PoolOut,
    wakes=(Wakes.POOLS,),
    errors=(AlreadyExists, InvalidValue),
    summary="Change a pool; any change lets one that gave up begin again",
)
def change_pool(tx: Tx, call: Call[PoolChange]) -> PoolOut:
    """Return the pool with the given fields changed."""
    pool = rows.by_name_or_id(tx, Pool, call.path["ref"])
    call.precondition.check(pool)
    changes = call.body.model_dump(exclude_unset=True)
    projects = _projects(tx, call, call.body.projects) if "projects" in changes else None
    changes.pop("projects", None)
    return _out(tx, manage.update_pool(tx, pool, changes, call.now_s, projects=projects))


@routes.plain(
    "DELETE",
    "/v1/pools/{ref}",
    permission="pool:write",
    status=204,
    wakes=(Wakes.DISPATCH,),
    summary="Remove a pool and destroy what it holds; machines in use stay with their tenants",
)
def remove_pool(tx: Tx, call: Call[Nothing]) -> None:
    """Remove the pool."""
    pool = rows.by_name_or_id(tx, Pool, call.path["ref"])
    call.precondition.check(pool)
    manage.remove_pool(tx, pool, call.now_s)


def _projects(tx: Tx, call: Call[PoolIn] | Call[PoolChange], named: list[str]) -> list[ProjectId]:
    return [tenancy.visible_project(tx, call.scope, each).id for each in named]


def _out(tx: Tx, row: Pool) -> PoolOut:
    census = manage.counts(tx, row)
    return PoolOut(
        **stamp(row),
        name=row.name,
        offer=row.offer_id,
        size=row.size,
        image=row.image,
        idle_target=row.idle_target,
        idle_limit=row.idle_limit,
        building_limit=row.building_limit,
        machine_limit=row.machine_limit,
        idle_age_limit_s=row.idle_age_limit_s,
        zone=row.zone,
        hours=[HoursOut.model_validate(each) for each in row.hours],
        projects=list(machines.projects_of(tx, PoolId(row.id))),
        enabled=row.enabled,
        failures_in_a_row=row.failures_in_a_row,
        reason=row.reason,
        census=CensusOut(idle=census.idle, building=census.building, in_use=census.in_use),
    )
