"""``crossway pool``: machines kept ready."""

from typing import Annotated

import typer

from gateway.cli.door import Door, Limit, NameOrId, NamesOrIds, Yes, remote
from gateway.cli.exits import CliError
from gateway.cli.output import Column, cell
from gateway.client.resources import Pool

pools = typer.Typer(help="Machines kept ready.")

Count = Annotated[int | None, typer.Option(min=0)]


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
) -> None:
    """Keep machines of one offer, size and image ready."""
    pool = door.client.pools.create(
        name=name,
        offer=offer,
        size=size,
        image=image,
        idle_target=idle_target,
        idle_limit=idle_limit,
        building_limit=building_limit,
    )
    door.show(pool)


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
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled")] = None,
) -> None:
    """Change what is named and keep the rest."""
    if idle_target is None and idle_limit is None and building_limit is None and enabled is None:
        raise CliError("there is nothing to change", fix="name at least one of the options")
    changed: Pool = door.client.pools.set(
        pool, idle_target=idle_target, idle_limit=idle_limit, building_limit=building_limit, enabled=enabled
    )
    door.show(changed)


@remote(pools, "remove")
def remove_pools(door: Door, *, pool: NamesOrIds, yes: Yes = False) -> None:
    """Stop keeping machines ready; the idle ones are destroyed."""
    door.confirm(f"remove {', '.join(pool)}", yes=yes)
    door.each(pool, door.client.pools.remove)
