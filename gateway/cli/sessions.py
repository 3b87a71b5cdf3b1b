"""``crossway login``, ``logout`` and ``session``: people log in; the session's text is kept with the context."""

from typing import Annotated

import typer

from gateway.cli.contexts import Context, Contexts, checked_name, contexts_path, load, save
from gateway.cli.door import Door, Keys, Limit, TokenOut, remote
from gateway.cli.exits import CliError
from gateway.cli.output import Column, note
from gateway.cli.secret_input import kept_secret

top = typer.Typer()
sessions = typer.Typer(help="Who is logged in.")

_SESSIONS = (
    Column("ID", "id"),
    Column("ACCOUNT", "account"),
    Column("STATE", "state"),
    Column("HERE", "is_current"),
    Column("FROM", "address"),
    Column("USED", "used_at"),
    Column("ENDS", "expires_at"),
)
_LOGIN = "cw_login_"
PasswordFile = Annotated[
    str | None, typer.Option("--password-file", help="File that holds the password, - for stdin; else asked for.")
]


@remote(top, "login")
def login(
    door: Door,
    *,
    name: Annotated[str, typer.Argument(help="The user's name.")],
    keep_as: Annotated[
        str | None, typer.Option("--keep-as", help="Keep the session with this context (default: the one in use).")
    ] = None,
    password_file: PasswordFile = None,
    token_out: TokenOut = None,
) -> None:
    """Log in by password; the session is kept with the context, or in a file."""
    known = load(contexts_path())
    kept_as = None if token_out is not None else _context(known, keep_as)
    with kept_secret(token_out) as keep:
        begun = door.client.sessions.begin(name=name, password=door.secret("password", password_file))
        text = begun.get("token") or ""
        if keep is not None:
            keep(text)
    if kept_as is not None:
        fresh = {**known.known, kept_as: Context(server=str(door.client.wire.address), token=text)}
        save(contexts_path(), Contexts(known=fresh, current=known.current or kept_as))
        note(f"logged in as {name} until {begun['expires_at']}; kept with context {kept_as}")
    door.show({each: value for each, value in begun.items() if each != "token"})


@remote(top, "logout")
def logout(door: Door) -> None:
    """End the session that one is in; contexts forget it."""
    door.client.sessions.end()
    known = load(contexts_path())
    ended = door.client.wire.token
    left = {
        name: Context(server=each.server) if each.token is not None and each.token == ended else each
        for name, each in known.known.items()
    }
    if left != dict(known.known):
        save(contexts_path(), Contexts(known=left, current=known.current))
    note("logged out")


@remote(sessions, "list")
def list_sessions(
    door: Door,
    *,
    account: Annotated[str | None, typer.Option(help="Only this account's; me: one's own.")] = None,
    limit: Limit = None,
) -> None:
    """List the sessions: one's own, or everybody's for an admin."""
    door.show_list(door.client.sessions.list(account=account), _SESSIONS, limit)


@remote(sessions, "revoke")
def revoke_sessions(door: Door, *, session: Keys) -> None:
    """End sessions at once."""
    door.each(session, door.client.sessions.end)


def _context(known: Contexts, named: str | None) -> str:
    """Return the name of the context that shall keep the session. Raises CliError before a token is overwritten."""
    chosen = checked_name(named or known.current or "default")
    held = known.known.get(chosen)
    if named is None and held is not None and held.token is not None and not held.token.startswith(_LOGIN):
        raise CliError(f"context {chosen} holds a token, which is kept", fix="crossway login NAME --keep-as ANOTHER")
    return chosen
