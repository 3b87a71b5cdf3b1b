"""``crossway provider``: kinds of clouds, and what works at each."""

from typing import Annotated

import typer

from gateway.cli.door import Door, Limit, remote
from gateway.cli.output import Column

providers = typer.Typer(help="Kinds of clouds, and how far each was really tried.")

_PROVIDERS = (
    Column("NAME", "name"),
    Column("TITLE", "title"),
    Column("TRIED", "standing"),
    Column("MAKES MACHINES", "creates"),
    Column("CAPABILITIES", "capabilities"),
    Column("ALSO MAKES", "assets"),
    Column("HOW", "how"),
)


@remote(providers, "list")
def list_providers(
    door: Door,
    *,
    standing: Annotated[str | None, typer.Option(metavar="server|contract|refused", help="Only those.")] = None,
    limit: Limit = None,
) -> None:
    """List the kinds of clouds: exercised against a real server, contract only, or refused and why."""
    door.show_list(door.client.providers.list(standing=standing), _PROVIDERS, limit)
