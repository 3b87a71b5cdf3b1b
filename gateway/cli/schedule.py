"""``crossway schedule``: when machines run."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.cli.door import Door, Key, Limit, Yes, remote
from gateway.cli.output import Column
from gateway.cli.windows import text_of, window_of

schedules = typer.Typer(help="When machines run: of a machine, or of a project for all of its.")

Whose = Annotated[str, typer.Argument(metavar="MACHINE|ORG/PROJECT", help="A machine's id, or a project.")]


def _is_machine(whose: str) -> bool:
    return whose.startswith("machine_")


def _windows(schedule: Mapping[str, Any]) -> str:
    return "; ".join(text_of(each) for each in schedule["windows"]) or "left alone"


def _next(schedule: Mapping[str, Any]) -> str:
    if schedule["next_at"] is None:
        return ""
    return f"{'start' if schedule['next_runs'] else 'stop'} at {schedule['next_at']}"


_SCHEDULES = (
    Column("WHOSE", lambda each: str(each["machine"] or each["project"])),
    Column("WINDOWS", _windows),
    Column("ZONE", "zone"),
    Column("NEXT", _next),
)


@remote(schedules, "list")
def list_schedules(door: Door, *, limit: Limit = None) -> None:
    """List the schedules."""
    door.show_list(door.client.schedules.list(), _SCHEDULES, limit)


@remote(schedules, "show")
def show_schedule(door: Door, *, whose: Whose) -> None:
    """Show what a machine keeps to, its own or its project's; or a project's schedule."""
    door.show(door.client.schedules.of_machine(whose) if _is_machine(whose) else door.client.schedules.get(whose))


@remote(schedules, "set")
def set_schedule(
    door: Door,
    *,
    whose: Whose,
    window: Annotated[
        list[str], typer.Argument(metavar="WINDOW...", help="When it runs: 'weekdays 08:00-18:00'. Repeatable.")
    ],
    zone: Annotated[str, typer.Option(help="By the clock of this IANA zone.")] = "UTC",
) -> None:
    """Start and stop by the clock, from the next edge on; what you start or stop by hand stays so until the next."""
    windows = [window_of(each) for each in window]
    if _is_machine(whose):
        door.show(door.client.schedules.set_for_machine(whose, zone=zone, windows=windows))
    else:
        door.show(door.client.schedules.set(whose, zone=zone, windows=windows))


@remote(schedules, "exempt")
def exempt(door: Door, *, machine: Key) -> None:
    """Leave a machine alone, whatever its project's schedule says."""
    door.show(door.client.schedules.set_for_machine(machine, zone="UTC", windows=[]))


@remote(schedules, "remove")
def remove_schedule(door: Door, *, whose: Whose, yes: Yes = False) -> None:
    """Remove a schedule; a machine then keeps to its project's again."""
    door.confirm(f"Remove the schedule of {whose}", yes=yes)
    if _is_machine(whose):
        door.client.schedules.remove_from_machine(whose)
    else:
        door.client.schedules.remove(whose)
