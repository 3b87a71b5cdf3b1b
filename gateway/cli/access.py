"""``crossway token``, ``whoami`` and ``status``: who may come in, who one is, how the gateway is."""

import sys
from typing import Annotated

import typer

from gateway.cli.door import Door, Keys, Limit, TokenOut, remote
from gateway.cli.durations import seconds_if_given
from gateway.cli.exits import CliError, ExitCode
from gateway.cli.output import Column, note
from gateway.cli.platform import show_once
from gateway.cli.secret_input import kept_secret

tokens = typer.Typer(help="Bearer tokens.")
top = typer.Typer()

_TOKENS = (
    Column("ID", "id"),
    Column("NAME", "name"),
    Column("ROLE", "role"),
    Column("SUBJECT", "subject"),
    Column("ACCOUNT", "account"),
    Column("USED", "used_at"),
    Column("EXPIRES", "expires_at"),
    Column("REVOKED", "revoked_at"),
)


@remote(tokens, "create")
def create_token(
    door: Door,
    *,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    account: Annotated[str | None, typer.Option(help="For this account; without it and a role, one's own.")] = None,
    role: Annotated[str | None, typer.Option(help="A role of its own; in a project, member if none is named.")] = None,
    project: Annotated[str | None, typer.Option(help="In this project, ORG/PROJECT.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="Only for this permission; repeatable.")] = None,
    expires_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="From now, such as 12h or 7d; left out, no end.")
    ] = None,
    token_out: TokenOut = None,
) -> None:
    """Issue a token; its text is shown once."""
    if role is None and account is None and project is not None:
        role = "member"
    limits = scope or None
    with kept_secret(token_out) as keep:
        token = door.client.tokens.create(
            name=name, role=role, account=account, project=project, scopes=limits, ttl_s=seconds_if_given(expires_after)
        )
        show_once(door, dict(token), keep)


@remote(tokens, "list")
def list_tokens(door: Door, *, limit: Limit = None) -> None:
    """List the tokens, without their text."""
    door.show_list(door.client.tokens.list(), _TOKENS, limit)


@remote(tokens, "revoke")
def revoke_tokens(door: Door, *, token: Keys) -> None:
    """Make tokens useless at once."""
    door.each(token, door.client.tokens.revoke)


@remote(top, "whoami")
def whoami(door: Door) -> None:
    """Show who the token speaks for."""
    door.show(door.client.whoami())


@remote(top, "gateway-key")
def gateway_key(door: Door) -> None:
    """Print the public key by which connectors know this gateway; owners put it into their connector's file."""
    sys.stdout.write(door.client.whoami()["gateway"]["gateway_key"] + "\n")


@remote(top, "status")
def status(door: Door) -> None:
    """Show whether the gateway takes work, and who one is there. Exits 1 when it does not."""
    ready = door.client.is_ready()
    identity = door.client.whoami()
    server = str(door.client.wire.address)
    state: dict[str, object] = {"server": server, "ready": ready, **identity}
    if identity["role"] == "admin":
        tasks = list(door.client.background())
        state["background"] = tasks
        note(*(f"{each['name']}: {each['last_error']}" for each in tasks if each["failures_in_a_row"]))
    door.show(state)
    if not ready:
        raise CliError("the gateway is alive but does not take work yet", code=ExitCode.FAILED)
