"""``crossway queue``: messages between order application and provisioner that were given up."""

import typer

from gateway.cli.door import Door, Keys, Limit, remote
from gateway.cli.output import Column

queue = typer.Typer(help="Messages between the applications that were given up.")

_DEAD = (
    Column("ID", "id"),
    Column("TOPIC", "topic"),
    Column("TYPE", "type"),
    Column("DELIVERIES", "deliveries"),
    Column("REASON", "reason"),
)


@remote(queue, "dead")
def dead(door: Door, *, limit: Limit = None) -> None:
    """List what was given up, oldest first; -o json shows what it says."""
    door.show_list(door.client.dead_letters.list(), _DEAD, limit)


@remote(queue, "replay")
def replay(door: Door, *, message: Keys) -> None:
    """Deliver messages once more; what they ask for takes effect once, however often they come."""
    door.each(message, door.client.dead_letters.replay)
