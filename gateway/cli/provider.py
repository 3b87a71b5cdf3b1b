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
    Column("MAY", "may"),
    Column("CAPABILITIES", "capabilities"),
    Column("ALSO MAKES", "assets"),
    Column("HOW", "how"),
    Column("NOTE", "note"),
)


@remote(providers, "list")
def list_providers(
    door: Door,
    *,
    standing: Annotated[
        str | None, typer.Option(metavar="server|emulated|contract|refused", help="Only those.")
    ] = None,
    limit: Limit = None,
) -> None:
    """List the kinds of clouds: what each may do, and whether that was tried at a real server or at an emulated one.

    The emulated ones are written from the providers' documentation. Contract: built, and asked for one list, no more.
    """
    door.show_list(door.client.providers.list(standing=standing), _PROVIDERS, limit)
