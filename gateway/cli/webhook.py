"""``crossway webhook``: have what happens told to a receiver of yours."""

from typing import Annotated

import typer

from gateway.cli.door import Door, Key, Keys, Limit, State, remote
from gateway.cli.output import Column, note

webhooks = typer.Typer(help="Receivers that are told what happens.")

_WEBHOOKS = (
    Column("ID", "id"),
    Column("URL", "url"),
    Column("KIND", "kind"),
    Column("STATE", "state"),
    Column("REASON", "reason"),
    Column("FAILING SINCE", "failing_since"),
)
_DELIVERIES = (
    Column("ID", "id"),
    Column("SEQ", "seq"),
    Column("KIND", "kind"),
    Column("STATE", "state"),
    Column("ATTEMPTS", "attempts"),
    Column("STATUS", "status"),
    Column("TOOK MS", "took_ms"),
    Column("DUE", "due_at"),
    Column("REASON", "reason"),
)


@remote(webhooks, "add")
def add(
    door: Door,
    *,
    url: Annotated[str, typer.Argument(metavar="URL", help="https, at a public address.")],
    kind: Annotated[str | None, typer.Option("--kind", help="Only these events, such as order.")] = None,
) -> None:
    """Add a receiver; the secret by which it verifies signatures is shown once."""
    door.show(door.client.webhooks.create(url, kind=kind))


@remote(webhooks, "list")
def list_webhooks(door: Door, *, limit: Limit = None) -> None:
    """List your receivers."""
    door.show_list(door.client.webhooks.list(), _WEBHOOKS, limit)


@remote(webhooks, "show")
def show_webhook(door: Door, *, webhook: Key) -> None:
    """Show one receiver."""
    door.show(door.client.webhooks.get(webhook))


@remote(webhooks, "remove")
def remove(door: Door, *, webhook: Keys) -> None:
    """Remove receivers and their delivery logs."""
    door.each(webhook, door.client.webhooks.remove)


@remote(webhooks, "enable")
def enable(door: Door, *, webhook: Key) -> None:
    """Tell a disabled receiver again, from where it was left."""
    door.show(door.client.webhooks.enable(webhook))


@remote(webhooks, "rotate")
def rotate(door: Door, *, webhook: Key) -> None:
    """Change the secret; for a day the old one signs too."""
    door.show(door.client.webhooks.rotate(webhook))


@remote(webhooks, "deliveries")
def deliveries(door: Door, *, webhook: Key, state: State = None, limit: Limit = None) -> None:
    """Show what was told to a receiver and how that went, newest first."""
    door.show_list(door.client.webhooks.deliveries(webhook, state=state), _DELIVERIES, limit)


@remote(webhooks, "replay")
def replay(
    door: Door,
    *,
    webhook: Key,
    delivery: Annotated[int | None, typer.Option("--delivery", help="This delivery.")] = None,
    since: Annotated[int | None, typer.Option("--since", min=0, help="Everything after this event.")] = None,
) -> None:
    """Tell one delivery, or everything since an event, once more."""
    note(f"{door.client.webhooks.replay(webhook, delivery=delivery, since=since)} deliveries are made once more")
