"""``crossway exit``: relays through which platforms are reached that cannot be dialled."""

from typing import Annotated

import typer

from gateway.cli.door import Door, Limit, remote
from gateway.cli.output import Column

exits = typer.Typer(help="Relays through which platforms are reached that cannot be dialled.")

_EXITS = (
    Column("ID", "id"),
    Column("PLATFORM", "platform"),
    Column("RELAY", "relay"),
    Column("PORTS", "ports"),
    Column("ANNOUNCED", "announced_at"),
)


@remote(exits, "approve")
def approve_exit(
    door: Door,
    *,
    platform: Annotated[str, typer.Argument(metavar="PLATFORM", help="Whose connector dials out.")],
    relay: Annotated[str, typer.Argument(metavar="RELAY", help="To which relay.")],
) -> None:
    """Reach a platform through this relay alone, at the loopback ports that its connector announces."""
    door.show(door.client.exits.approve(platform=platform, relay=relay))


@remote(exits, "list")
def list_exits(door: Door, *, limit: Limit = None) -> None:
    """List the exits, with the ports that connectors announced."""
    door.show_list(door.client.exits.list(), _EXITS, limit)


@remote(exits, "remove")
def remove_exits(door: Door, *, exit_id: Annotated[list[str], typer.Argument(metavar="ID...")]) -> None:
    """Reach platforms through these exits no longer; without its last one a platform is dialled again."""
    door.each(exit_id, door.client.exits.remove)
