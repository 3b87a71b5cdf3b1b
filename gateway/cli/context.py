"""``crossway context``: the gateways one works with, by name."""

from typing import Annotated

import typer

from gateway.cli.contexts import Context, Contexts, checked_name, contexts_path, load, save
from gateway.cli.door import guarded
from gateway.cli.exits import CliError
from gateway.cli.output import Column, Format, note, show
from gateway.cli.secret_input import checked_token, read_secret
from gateway.client.address import AddressInvalid, parse_address

contexts = typer.Typer(help="The gateways you work with, by name.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
_CONTEXTS = (Column("IN USE", "in_use"), Column("NAME", "name"), Column("SERVER", "server"), Column("TOKEN", "token"))


@contexts.command("add")
def add(
    name: Name,
    *,
    server: Annotated[str, typer.Option(help="http://host:port, https://host or unix:/path.")],
    token_file: Annotated[
        str | None, typer.Option(help="File that holds the token, - for stdin; else asked for.")
    ] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Keep no token with it.")] = False,
) -> None:
    """Add a gateway, or replace one; the first added is in use."""
    guarded(lambda: _add(name, server, token_file, no_token=no_token))


@contexts.command("use")
def use(name: Name) -> None:
    """Use this gateway from now on."""
    guarded(lambda: _use(name))


@contexts.command("list")
def list_contexts(
    output: Annotated[Format, typer.Option("--output", "-o", envvar="CROSSWAY_OUTPUT")] = Format.TABLE,
) -> None:
    """List the gateways; tokens are not shown."""
    guarded(lambda: show(_listed(load(contexts_path())), output, _CONTEXTS))


@contexts.command("remove")
def remove(name: Name) -> None:
    """Forget a gateway and its token."""
    guarded(lambda: _remove(name))


def _add(name: str, server: str, token_file: str | None, *, no_token: bool) -> None:
    try:
        address = str(parse_address(server))
    except AddressInvalid as error:
        raise CliError(str(error)) from error
    known = load(contexts_path())
    token = None if no_token else checked_token(read_secret("token", token_file, may_ask=True), "--token-file")
    fresh = {**known.known, checked_name(name): Context(server=address, token=token)}
    save(contexts_path(), Contexts(known=fresh, current=known.current or name))
    note(f"added {name}: {address}")


def _use(name: str) -> None:
    known = load(contexts_path())
    known.named(name)
    save(contexts_path(), Contexts(known=known.known, current=name))
    note(f"in use: {name}")


def _remove(name: str) -> None:
    known = load(contexts_path())
    known.named(name)
    left = {each: context for each, context in known.known.items() if each != name}
    save(contexts_path(), Contexts(known=left, current=None if known.current == name else known.current))
    note(f"forgot {name}")


def _listed(known: Contexts) -> list[dict[str, object]]:
    return [
        {"name": name, "server": each.server, "token": each.token is not None, "in_use": name == known.current}
        for name, each in sorted(known.known.items())
    ]
