"""When machines run: the schedules of machines, and of projects for all of theirs that have none."""

from typing import Annotated, Literal

from pydantic import Field

from catalog import tenancy
from catalog.errors import Denied, InvalidValue, NotFound, WrongState
from catalog.model.ids import ProjectId
from catalog.model.machine import Machine
from catalog.model.schedule import Schedule
from catalog.schedules import keeping
from catalog.schedules.windows import DAYS, WINDOWS_LIMIT, next_edge
from catalog.store import rows, scoped
from catalog.store.database import Tx
from gateway.api.bodies import Body, Nothing, Out, Resource, Time, stamp
from gateway.api.endpoints import Call, Listing, Routes

routes = Routes("schedules")

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5, description="Such as `08:00`.")]
Zone = Annotated[
    str,
    Field(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}$", max_length=64, description="IANA, such as `Europe/Berlin`."),
]


class WindowIn(Body):
    """Time in which machines run, each of these days; a stop that is not later than the start is on the next day."""

    days: Annotated[list[Day], Field(min_length=1, max_length=len(DAYS))]
    start: Clock
    stop: Clock


class ScheduleIn(Body):
    """The windows by the clock of a zone; an empty list leaves alone what a project's schedule would stop."""

    zone: Zone = "UTC"
    windows: Annotated[list[WindowIn], Field(max_length=WINDOWS_LIMIT)]


class WindowOut(Out):
    """Time in which machines run."""

    days: list[str]
    start: str
    stop: str


class ScheduleOut(Resource):
    """A schedule. Machines start and stop at its edges alone: what somebody does by hand stays until the next one."""

    project: str
    machine: str | None = Field(description="null: of all machines of the project that have none of their own.")
    zone: str
    windows: list[WindowOut]
    next_at: Time | None = Field(description="When machines start or stop next; null: never.")
    next_runs: bool | None = Field(description="Whether they start then.")


@routes.plain(
    "GET", "/v1/schedules", permission="schedule:read", answer=ScheduleOut, many=True, summary="List the schedules"
)
def list_schedules(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of them: those of the own projects and their machines, a gateway-wide role's all."""
    found = scoped.page(tx, call.scope, Schedule, limit=call.limit, token=call.page_token)
    return Listing(items=[_out(row, call.now_s) for row in found.items], next_token=found.next_token)


@routes.plain(
    "GET",
    "/v1/machines/{id}/schedule",
    permission="schedule:read",
    answer=ScheduleOut,
    summary="Show the schedule that a machine keeps to: its own, or its project's",
)
def get_machine_schedule(tx: Tx, call: Call[Nothing]) -> ScheduleOut:
    """Return it."""
    found = keeping.of_machine(tx, scoped.find(tx, call.scope, Machine, call.path["id"]))
    if found is None:
        raise NotFound("the machine has no schedule")
    return _out(found, call.now_s)


@routes.endpoint(
    "PUT",
    "/v1/machines/{id}/schedule",
    permission="machine:write",
    body=ScheduleIn,
    answer=ScheduleOut,
    errors=(InvalidValue, WrongState),
    summary="Let a machine start and stop by the clock, from its next edge on",
)
def set_machine_schedule(tx: Tx, call: Call[ScheduleIn]) -> ScheduleOut:
    """Return its schedule."""
    machine = scoped.find(tx, call.scope, Machine, call.path["id"])
    _check(tx, call, machine.id)
    body = call.body
    row = keeping.set_for_machine(tx, machine, zone=body.zone, windows=_windows(body), now_s=call.now_s)
    return _out(row, call.now_s)


@routes.plain(
    "DELETE",
    "/v1/machines/{id}/schedule",
    permission="machine:write",
    status=204,
    summary="Remove a machine's own schedule; its project's counts again",
)
def remove_machine_schedule(tx: Tx, call: Call[Nothing]) -> None:
    """Remove it."""
    _remove(tx, call, scoped.find(tx, call.scope, Machine, call.path["id"]).id)


@routes.plain(
    "GET",
    "/v1/schedules/{project}",
    permission="schedule:read",
    answer=ScheduleOut,
    summary="Show a project's schedule",
)
def get_project_schedule(tx: Tx, call: Call[Nothing]) -> ScheduleOut:
    """Return it."""
    return _out(_held(tx, _project(tx, call)), call.now_s)


@routes.endpoint(
    "PUT",
    "/v1/schedules/{project}",
    permission="schedule:write",
    body=ScheduleIn,
    answer=ScheduleOut,
    errors=(InvalidValue, Denied),
    summary="Let a project's machines start and stop by the clock, but for those with a schedule of their own",
)
def set_project_schedule(tx: Tx, call: Call[ScheduleIn]) -> ScheduleOut:
    """Return its schedule."""
    project = _project(tx, call)
    _check(tx, call, project)
    body = call.body
    row = keeping.set_for_project(tx, project, zone=body.zone, windows=_windows(body), now_s=call.now_s)
    return _out(row, call.now_s)


@routes.plain(
    "DELETE", "/v1/schedules/{project}", permission="schedule:write", status=204, summary="Remove a project's schedule"
)
def remove_project_schedule(tx: Tx, call: Call[Nothing]) -> None:
    """Remove it."""
    _remove(tx, call, _project(tx, call))


def _project(tx: Tx, call: Call[Nothing] | Call[ScheduleIn]) -> ProjectId:
    found = tenancy.visible_project(tx, call.scope, call.path["project"]).id
    if not call.scope.everything and found not in call.scope.projects:
        raise Denied("your role in this project does not include this", fix="ask an owner of the project")
    return found


def _held(tx: Tx, id_: str) -> Schedule:
    found = keeping.held(tx, id_)
    if found is None:
        raise NotFound("there is no such schedule")
    return found


def _check(tx: Tx, call: Call[ScheduleIn], id_: str) -> None:
    call.precondition.check(keeping.held(tx, id_) or keeping.unset(id_))


def _remove(tx: Tx, call: Call[Nothing], id_: str) -> None:
    found = _held(tx, id_)
    call.precondition.check(found)
    rows.delete(tx, found)


def _windows(body: ScheduleIn) -> list[dict[str, object]]:
    return [{"days": list(each.days), "start": each.start, "stop": each.stop} for each in body.windows]


def _out(row: Schedule, now_s: float) -> ScheduleOut:
    coming = next_edge(keeping.planned(row), now_s)
    return ScheduleOut(
        **stamp(row),
        project=row.project_id,
        machine=row.machine_id,
        zone=row.zone,
        windows=[WindowOut.model_validate(each) for each in row.windows],
        next_at=None if coming is None else coming.at_s,
        next_runs=None if coming is None else coming.runs,
    )
