"""``crossway org`` and ``crossway project``: whom the gateway serves."""

from typing import Annotated

import typer

from gateway.cli.door import Door, Limit, remote
from gateway.cli.exits import CliError, ExitCode
from gateway.cli.output import Column

organisations = typer.Typer(help="Organisations: who owns projects, and sees nothing of another's.")
projects = typer.Typer(help="Projects: where people browse and order.")

_ORGANISATIONS = (Column("NAME", "name"), Column("ID", "id"), Column("CREATED", "created_at"))
_PROJECTS = (Column("PROJECT", "reference"), Column("ID", "id"), Column("CREATED", "created_at"))


@remote(organisations, "create")
def create_organisation(door: Door, *, name: Annotated[str, typer.Argument()]) -> None:
    """Declare an organisation."""
    door.show(door.client.organisations.create(name=name))


@remote(organisations, "list")
def list_organisations(door: Door, *, limit: Limit = None) -> None:
    """List the organisations."""
    door.show_list(door.client.organisations.list(), _ORGANISATIONS, limit)


@remote(projects, "create")
def create_project(
    door: Door, *, project: Annotated[str, typer.Argument(help="ORGANISATION/PROJECT.", metavar="ORG/PROJECT")]
) -> None:
    """Declare a project in an organisation."""
    organisation, _, name = project.partition("/")
    if not organisation or not name:
        raise CliError(f"'{project}' names no project: write ORGANISATION/PROJECT", code=ExitCode.USAGE)
    door.show(door.client.projects.create(organisation=organisation, name=name))


@remote(projects, "list")
def list_projects(
    door: Door,
    *,
    organisation: Annotated[str | None, typer.Option("--org", help="Only this organisation's.")] = None,
    limit: Limit = None,
) -> None:
    """List the projects."""
    door.show_list(door.client.projects.list(organisation=organisation), _PROJECTS, limit)
