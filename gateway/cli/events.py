"""``crossway events``: what happened, and what happens."""

import json
from collections.abc import Mapping
from typing import Annotated

import typer

from gateway.cli.door import Door, Limit, remote
from gateway.cli.output import Column, Format, cell, printable

top = typer.Typer()

_EVENTS = (
    Column("SEQ", "seq"),
    Column("AT", "at"),
    Column("KIND", "kind"),
    Column("SUBJECT", "subject"),
    Column("DATA", lambda event: _told(event["data"])),
)


@remote(top, "events")
def events(
    door: Door,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on with what happens, until interrupted.")] = False,
    since: Annotated[
        int | None,
        typer.Option("--since", min=0, help="Only events after this number (default: all kept; with --watch, none)."),
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Such as order, or order.fulfilled.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Only about the thing with this id.")] = None,
    limit: Limit = None,
) -> None:
    """Show what happened to your things, the oldest first; --watch goes on, one line an event."""
    if not watch:
        found = door.client.events.list(since=None if since is None else str(since), kind=kind, subject=subject)
        door.show_list(found, _EVENTS, limit)
        return
    for told, event in enumerate(door.client.events.watch(since=since, kind=kind, subject=subject), 1):
        print(_line(event, door.format), flush=True)
        if told == limit:
            return


def _line(event: Mapping[str, object], format_: Format) -> str:
    """Return one event as one line: JSON whenever a program reads it."""
    if format_ is not Format.TABLE:
        return printable(json.dumps(event, ensure_ascii=False))
    return "  ".join(column.cell(event) for column in _EVENTS)


def _told(data: object) -> str:
    facts = data if isinstance(data, Mapping) else {}
    return printable(" ".join(f"{name}={cell(value)}" for name, value in facts.items() if value not in (None, "", [])))
