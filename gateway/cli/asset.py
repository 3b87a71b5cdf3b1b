"""What the commands for everything beside machines share: showing, waiting for, and destroying it."""

from typing import Annotated

import typer

from gateway.cli.door import Door, Key, Keys, Limit, State, Timeout, Wait, Yes, remote
from gateway.cli.exits import CliError
from gateway.cli.output import Column, note
from gateway.client.assets import ORDER_ENDED, Asset

Called = Annotated[str | None, typer.Option(help="What it shall be called.")]
Machine = Annotated[str, typer.Argument(metavar="MACHINE", help="The machine's id.")]
Offer = Annotated[str, typer.Option(help="An offer of its kind, or its platform's name.")]
_FIRST = (Column("ID", "id"), Column("NAME", "name"), Column("PLATFORM", "platform"))
_LAST = (Column("STATE", "state"), Column("REASON", "reason"))


def noun(app: typer.Typer, kind: str, *own: Column) -> None:
    """Give ``app`` the commands that every kind has: list, show and destroy; ``own`` are the columns of its own."""
    columns = (*_FIRST, *own, *_LAST)

    @remote(app, "list")
    def listing(door: Door, *, state: State = None, limit: Limit = None) -> None:
        """List them."""
        door.show_list(door.client.assets.list(kind=kind, state=state), columns, limit)

    @remote(app, "show")
    def show(door: Door, *, key: Key) -> None:
        """Show one."""
        door.show(_of_kind(door, key, kind))

    @remote(app, "destroy")
    def destroy(door: Door, *, key: Keys, yes: Yes = False, wait: Wait = False, timeout: Timeout = 300.0) -> None:
        """Destroy them, and what is in them where that is not refused."""
        door.confirm(f"destroy {', '.join(key)}", yes=yes)
        door.each(key, lambda each: _destroyed(door, each, kind, timeout if wait else None), columns)


def shown(door: Door, ordered: Asset, *, wait: bool, timeout_s: float) -> None:
    """Show what was ordered, if ``wait`` once it can be used. Raises CliError when it comes to nothing."""
    if not wait:
        door.show(ordered)
        return
    ended = door.client.assets.wait(
        ordered["id"],
        until=lambda seen: seen["state"] in ORDER_ENDED,
        timeout_s=timeout_s,
        on_change=lambda seen: note(f"{seen['id']}: {seen['state']}"),
    )
    if ended["state"] != "ready":
        raise CliError(f"{ended['id']} is {ended['state']}", fix=ended.get("reason", ""))
    door.show(ended)


def _of_kind(door: Door, key: str, kind: str) -> Asset:
    found = door.client.assets.get(key)
    if found["kind"] != kind:
        raise CliError(f"{key} is a {found['kind']}", fix=f"crossway {found['kind']} …")
    return found


def _destroyed(door: Door, key: str, kind: str, gone_within_s: float | None) -> Asset:
    _of_kind(door, key, kind)
    ending = door.client.assets.destroy(key)
    if gone_within_s is None:
        return ending
    return door.client.assets.wait(
        key,
        until=lambda seen: seen["state"] in {"gone", "failed"},
        timeout_s=gone_within_s,
        on_change=lambda seen: note(f"{seen['id']}: {seen['state']}"),
    )
