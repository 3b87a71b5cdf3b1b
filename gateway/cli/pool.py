"""``crossway pool``: machines kept ready."""

import re
from typing import Annotated, Final

import typer

from gateway.cli.door import Door, Limit, NameOrId, NamesOrIds, Yes, remote
from gateway.cli.durations import limit_of
from gateway.cli.exits import CliError
from gateway.cli.output import Column, cell
from gateway.cli.windows import window_of
from gateway.client.collection import given

pools = typer.Typer(help="Machines kept ready.")

Count = Annotated[int | None, typer.Option(min=0)]
MachineLimit = Annotated[str | None, typer.Option(help="Have at most so many in all, those in use included, or none.")]
IdleAgeLimit = Annotated[
    str | None, typer.Option(metavar="TIME", help="Replace what has been idle for so long, such as 7d, or none.")
]
HoursOption = Annotated[
    list[str] | None,
    typer.Option(metavar="WINDOW=COUNT", help="'weekdays 08:00-18:00=5': so many ready then. Repeatable, or none."),
]
Zone = Annotated[str | None, typer.Option(help="The IANA zone whose clock --hours goes by.")]
Projects = Annotated[
    list[str] | None, typer.Option(metavar="ORG/PROJECT", help="Serve these alone. Repeatable, or none: everybody.")
]
_NONE: Final = "none"
_COUNT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)


def _terms(
    *,
    machine_limit: str | None,
    idle_age_limit: str | None,
    hours: list[str] | None,
    zone: str | None,
    project: list[str] | None,
) -> dict[str, object]:
    """Return the terms that were named; one that is taken off is None, or empty."""
    terms = given(zone=zone)
    if machine_limit is not None:
        terms["machine_limit"] = None if machine_limit == _NONE else _count(machine_limit)
    if idle_age_limit is not None:
        terms["idle_age_limit_s"] = limit_of(idle_age_limit)
    if hours:
        terms["hours"] = [] if hours == [_NONE] else [_hours(each) for each in hours]
    if project:
        terms["projects"] = [] if project == [_NONE] else project
    return terms


def _hours(text: str) -> dict[str, object]:
    window, _, target = text.rpartition("=")
    return {**window_of(window), "idle_target": _count(target)}


def _count(text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise CliError(f"'{text}' is no number of machines", fix="such as 5")
    return int(text)


def _census(name: str) -> Column:
    def of(pool: object) -> str:
        census = pool.get("census") if isinstance(pool, dict) else None
        return cell(census.get(name)) if isinstance(census, dict) else "-"

    return Column(name.upper().replace("_", " "), of)


_POOLS = (
    Column("NAME", "name"),
    Column("SIZE", "size"),
    Column("IMAGE", "image"),
    Column("TARGET", "idle_target"),
    _census("idle"),
    _census("building"),
    _census("in_use"),
    Column("ENABLED", "enabled"),
    Column("OFFER", "offer"),
)


@remote(pools, "create")
def create_pool(
    door: Door,
    *,
    name: Annotated[str, typer.Argument()],
    offer: Annotated[str, typer.Option(help="Whose machines.")],
    size: Annotated[str, typer.Option(help="One of the offer's sizes, by id or name.")],
    image: Annotated[str, typer.Option(help="One of the offer's images, by id or name.")],
    idle_target: Annotated[int, typer.Option(min=0, help="Keep so many ready.")] = 1,
    idle_limit: Annotated[int | None, typer.Option(min=0, help="More than so many are destroyed.")] = None,
    building_limit: Annotated[int | None, typer.Option(min=1, help="Build at most so many at once.")] = None,
    machine_limit: MachineLimit = None,
    idle_age_limit: IdleAgeLimit = None,
    hours: HoursOption = None,
    zone: Zone = None,
    project: Projects = None,
) -> None:
    """Keep machines of one offer, size and image ready."""
    terms = _terms(machine_limit=machine_limit, idle_age_limit=idle_age_limit, hours=hours, zone=zone, project=project)
    terms |= given(idle_target=idle_target, idle_limit=idle_limit, building_limit=building_limit)
    door.show(door.client.pools.create(name=name, offer=offer, size=size, image=image, **terms))


@remote(pools, "list")
def list_pools(door: Door, *, limit: Limit = None) -> None:
    """List the pools."""
    door.show_list(door.client.pools.list(), _POOLS, limit)


@remote(pools, "show")
def show_pool(door: Door, *, pool: NameOrId) -> None:
    """Show one pool and how many machines it has."""
    door.show(door.client.pools.get(pool))


@remote(pools, "set")
def set_pool(
    door: Door,
    *,
    pool: NameOrId,
    idle_target: Count = None,
    idle_limit: Count = None,
    building_limit: Count = None,
    machine_limit: MachineLimit = None,
    idle_age_limit: IdleAgeLimit = None,
    hours: HoursOption = None,
    zone: Zone = None,
    project: Projects = None,
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled")] = None,
) -> None:
    """Change what is named and keep the rest."""
    terms = _terms(machine_limit=machine_limit, idle_age_limit=idle_age_limit, hours=hours, zone=zone, project=project)
    counts = given(idle_target=idle_target, idle_limit=idle_limit, building_limit=building_limit, enabled=enabled)
    if not terms | counts:
        raise CliError("there is nothing to change", fix="name at least one of the options")
    door.show(door.client.pools.set(pool, **terms, **counts))


@remote(pools, "remove")
def remove_pools(door: Door, *, pool: NamesOrIds, yes: Yes = False) -> None:
    """Stop keeping machines ready; the idle ones are destroyed."""
    door.confirm(f"remove {', '.join(pool)}", yes=yes)
    door.each(pool, door.client.pools.remove)
