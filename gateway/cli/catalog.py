"""``crossway catalog``: what can be ordered, and where."""

from typing import Annotated

import typer

from gateway.cli.door import Door, Key, Limit, remote
from gateway.cli.output import Column
from gateway.cli.pairs import pairs_of

catalog = typer.Typer(help="What can be ordered, and where.")

_ENTRIES = (
    Column("CAPABILITY", "capability"),
    Column("TITLE", "title"),
    Column("PLATFORMS", "platforms"),
    Column("ID", "id"),
)
_OFFERS = (
    Column("ID", "id"),
    Column("CAPABILITY", "capability"),
    Column("PLATFORM", "platform"),
    Column("REGION", "region"),
    Column("SIZES", "size_count"),
    Column("IMAGES", "image_count"),
    Column("LABELS", "labels"),
    Column("STATE", "state"),
    Column("REASON", "reason"),
)


@remote(catalog, "entries")
def entries(door: Door, *, limit: Limit = None) -> None:
    """List the services and how many platforms have each."""
    door.show_list(door.client.entries.list(), _ENTRIES, limit)


@remote(catalog, "offers")
def offers(
    door: Door,
    *,
    capability: Annotated[str | None, typer.Option(help="Only this capability's, such as machine.")] = None,
    platform: Annotated[str | None, typer.Option(help="Only this platform's, by name or id.")] = None,
    limit: Limit = None,
) -> None:
    """List the offers: a service at a platform."""
    door.show_list(door.client.offers.list(capability=capability, platform=platform), _OFFERS, limit)


@remote(catalog, "label")
def label(
    door: Door,
    *,
    offer: Key,
    labels: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE...]", help="All its labels; none: take them off.")
    ] = None,
) -> None:
    """Give an offer these labels and no others, to be searched by (admins only)."""
    door.show(door.client.offers.label(offer, pairs_of(labels, what="label") or {}))


@remote(catalog, "offer")
def offer(door: Door, *, offer: Key) -> None:
    """Show one offer with its sizes and images."""
    door.show(door.client.offers.get(offer))
