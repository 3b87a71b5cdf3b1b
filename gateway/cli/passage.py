"""``crossway connect`` and ``crossway passage``: native sessions at platforms, for people and their programs."""

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated

import typer

from gateway.cli import child
from gateway.cli.door import Door, Key, Keys, Limit, remote
from gateway.cli.durations import seconds_if_given
from gateway.cli.exits import CliError, lines_of
from gateway.cli.output import Column, note
from gateway.client import ClientError

top = typer.Typer()
passages = typer.Typer(help="Native sessions and streams into platforms.")

# Whatever the caller has for some cloud must not reach the command: the passage's own is all that it gets.
_FOREIGN = ("OS_", "AWS_")
_OURS = frozenset({"CROSSWAY_TOKEN", "CROSSWAY_TOKEN_FILE"})

_PASSAGES = (
    Column("ID", "id"),
    Column("PLATFORM", "platform"),
    Column("WHO", "principal_name"),
    Column("KIND", "kind"),
    Column("PURPOSE", "purpose"),
    Column("OPENED", "opened_at"),
    Column("ENDED", "ended_at"),
    Column("REASON", "end_reason"),
    Column("CALLS", "calls"),
    Column("IN", "bytes_in"),
    Column("OUT", "bytes_out"),
)
_CALLS = (
    Column("AT", "at"),
    Column("WHAT", "what"),
    Column("NEEDED", "capability"),
    Column("REFUSED", "refused"),
    Column("STATUS", "status"),
)


@remote(top, "connect")
def connect(
    door: Door,
    *,
    platform: Annotated[str, typer.Argument(metavar="PLATFORM", help="Whose cloud to use.")],
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="Such as: openstack server list; aws ec2 …; bash.")
    ],
    expires_after: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it ends by itself, such as 30m; left out, as the gateway has it set."),
    ] = None,
) -> None:
    """Run a command with a session at the platform, for exactly what is granted; its exit status becomes this one's.

    The command gets credentials in its environment that work only in this passage and only while it runs. It gets
    no other OS_… or AWS_… variable, and not your token for the gateway.
    """
    address = door.client.wire.address
    if address.kind == "unix":
        raise CliError("the cloud's own clients speak no unix sockets", fix="--server http://host:port or https://host")
    passage = door.client.passages.open(
        platform, purpose=PurePath(command[0]).name, gateway_url=str(address), ttl_s=seconds_if_given(expires_after)
    )
    try:
        status = child.run(command, _environment(os.environ, passage["environment"] or {}))
    finally:
        try:
            door.client.passages.close(passage["id"])
        except ClientError as error:
            note(
                f"the passage {passage['id']} could not be closed; it ends at {passage['expires_at']}", *lines_of(error)
            )
    raise typer.Exit(status)


@remote(passages, "list")
def list_passages(door: Door, *, limit: Limit = None) -> None:
    """List the passages, ended ones included."""
    door.show_list(door.client.passages.list(), _PASSAGES, limit)


@remote(passages, "show")
def show_passage(door: Door, *, passage: Key) -> None:
    """Show one passage."""
    door.show(door.client.passages.get(passage))


@remote(passages, "calls")
def show_calls(door: Door, *, passage: Key, limit: Limit = None) -> None:
    """Show what was called in a passage, newest first: what it was, what it needed, how it was answered."""
    door.show_list(door.client.passages.calls(passage), _CALLS, limit)


@remote(passages, "close")
def close_passages(door: Door, *, passage: Keys) -> None:
    """Close passages; what runs in them is cut."""
    door.each(passage, door.client.passages.close)


def _environment(mine: Mapping[str, str], passage: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in mine.items() if not name.startswith(_FOREIGN) and name not in _OURS}
    return {**kept, **passage}
