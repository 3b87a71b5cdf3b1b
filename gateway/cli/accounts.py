"""``crossway user``, ``service-account`` and ``member``: people and programs, and their roles."""

from typing import Annotated

import typer

from gateway.cli.door import Door, Keys, Limit, remote
from gateway.cli.output import Column

users = typer.Typer(help="People who log in.")
services = typer.Typer(help="Accounts of programs, of a project or of the gateway.")
members = typer.Typer(help="Who has which role in which project or organisation.")

_ACCOUNTS = (
    Column("NAME", "name"),
    Column("ID", "id"),
    Column("PROJECT", "project"),
    Column("ROLE", "gateway_role"),
    Column("ENABLED", "enabled"),
)
_MEMBERS = (
    Column("ID", "id"),
    Column("ACCOUNT", "account"),
    Column("ROLE", "role"),
    Column("PROJECT", "project"),
    Column("ORGANISATION", "organisation"),
)
GatewayRole = Annotated[str | None, typer.Option("--role", help="For the whole gateway: admin, operator, auditor.")]


@remote(users, "create")
def create_user(door: Door, *, name: Annotated[str, typer.Argument()], role: GatewayRole = None) -> None:
    """Make an account for a person."""
    door.show(door.client.accounts.create(kind="user", name=name, gateway_role=role))


@remote(users, "list")
def list_users(door: Door, *, limit: Limit = None) -> None:
    """List the people."""
    door.show_list(door.client.accounts.list(kind="user"), _ACCOUNTS, limit)


@remote(users, "disable")
def disable_users(door: Door, *, user: Keys) -> None:
    """Let accounts in nowhere from now on."""
    door.each(user, lambda key: door.client.accounts.change(key, enabled=False))


@remote(users, "enable")
def enable_users(door: Door, *, user: Keys) -> None:
    """Let accounts in again."""
    door.each(user, lambda key: door.client.accounts.change(key, enabled=True))


@remote(users, "set-password")
def set_password(
    door: Door,
    *,
    user: Annotated[str, typer.Argument(help="An account's id; me: one's own.")],
    password_file: Annotated[
        str | None, typer.Option("--password-file", help="File that holds the new one, - for stdin; else asked for.")
    ] = None,
    present_file: Annotated[
        str | None, typer.Option("--present-file", help="File that holds the present one, for one's own.")
    ] = None,
) -> None:
    """Set a user's password; the user's other sessions end."""
    present = door.secret("present password", present_file) if present_file or user == "me" else None
    door.client.accounts.set_password(user, door.secret("new password", password_file), present=present)


@remote(services, "create")
def create_service(
    door: Door,
    *,
    name: Annotated[str, typer.Argument()],
    project: Annotated[str | None, typer.Option(help="Of this project, ORG/PROJECT.")] = None,
    role: GatewayRole = None,
) -> None:
    """Make an account for a program; ``crossway token create NAME --account ID`` lets it in."""
    door.show(door.client.accounts.create(kind="service", name=name, project=project, gateway_role=role))


@remote(services, "list")
def list_services(door: Door, *, limit: Limit = None) -> None:
    """List the programs."""
    door.show_list(door.client.accounts.list(kind="service"), _ACCOUNTS, limit)


@remote(members, "add")
def add_member(
    door: Door,
    *,
    account: Annotated[str, typer.Argument(help="A user's name, or an account's id.")],
    project: Annotated[str | None, typer.Option(help="In this project, ORG/PROJECT.")] = None,
    organisation: Annotated[str | None, typer.Option("--org", help="In this organisation, as its owner.")] = None,
    role: Annotated[str, typer.Option(help="owner, member or viewer.")] = "member",
) -> None:
    """Give an account a role."""
    held = "owner" if organisation is not None and project is None else role
    door.show(door.client.memberships.create(account=account, role=held, project=project, organisation=organisation))


@remote(members, "list")
def list_members(
    door: Door,
    *,
    project: Annotated[str | None, typer.Option(help="Only this project's.")] = None,
    limit: Limit = None,
) -> None:
    """List who has which role where: the own, and those in projects that one owns."""
    door.show_list(door.client.memberships.list(project=project), _MEMBERS, limit)


@remote(members, "remove")
def remove_members(door: Door, *, membership: Keys) -> None:
    """Take roles away, at once; anybody may give up the own."""
    door.each(membership, door.client.memberships.remove)
