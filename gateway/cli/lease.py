"""``crossway lease``: how long machines are lent where an order says nothing, and at most."""

from typing import Annotated

import typer

from gateway.cli.door import Door, remote
from gateway.cli.durations import limit_of
from gateway.cli.exits import CliError
from gateway.cli.quota import Holder, OwnHolder, own

leases = typer.Typer(help="How long machines are lent.")

Length = Annotated[str | None, typer.Option(metavar="TIME|none", help="Such as 12h or 7d; none: without an end.")]


@remote(leases, "show")
def show_rule(door: Door, *, holder: OwnHolder = None) -> None:
    """Show the rule of a project or organisation."""
    door.show(door.client.lease_rules.get(own(door, holder)))


@remote(leases, "set")
def set_rule(door: Door, *, holder: Holder, default: Length = None, longest: Length = None) -> None:
    """Change what is named; what is lent already keeps its end."""
    given = {"default_s": default, "longest_s": longest}
    changes = {name: limit_of(text) for name, text in given.items() if text is not None}
    if not changes:
        raise CliError("there is nothing to change", fix="name --default or --longest")
    door.show(door.client.lease_rules.set(holder, changes))
