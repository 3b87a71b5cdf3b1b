"""``crossway price``: what things cost, in a dated book."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.door import Door, Key, Keys, Limit, Yes, remote
from gateway.cli.exits import CliError
from gateway.cli.output import Column

prices = typer.Typer(help="What things cost, in a dated book.")

_PRICES = (
    Column("ID", "id"),
    Column("WHERE", lambda price: str(price["platform"] or f"{price['provider']} {price['region']}".rstrip())),
    Column("KIND", "kind"),
    Column("ITEM", "item"),
    Column("AMOUNT", "amount"),
    Column("CURRENCY", "currency"),
    Column("UNIT", "unit"),
    Column("FROM", "valid_from"),
    Column("TO", "valid_to"),
    Column("SOURCE", "source"),
)
_FORMATS = {".csv": "csv", ".json": "json"}


@remote(prices, "import")
def import_prices(
    door: Door,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A price list, .csv or .json.", dir_okay=False)],
    source: Annotated[str | None, typer.Option(help="Whose list it is, for lines that do not say.")] = None,
) -> None:
    """Import a price list: all of it or, naming each bad line, nothing.

    Columns: platform or provider (and region), kind, item, unit, amount, currency, valid_from, valid_to, source.
    """
    written = _FORMATS.get(file.suffix.lower())
    if written is None:
        raise CliError(f"{file} is neither .csv nor .json")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{file} cannot be read: {error}") from error
    door.show(door.client.prices.import_list(text, format=written, source=source or file.name))


@remote(prices, "seed")
def seed(
    door: Door,
    *,
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="Such as ec2.")],
    region: Annotated[str | None, typer.Option(help="Only this region's.")] = None,
) -> None:
    """Begin with the list that comes with this release: partial, and as old as its date says."""
    door.show(door.client.prices.seed(provider, region=region))


@remote(prices, "list")
def list_prices(
    door: Door,
    *,
    platform: Annotated[str | None, typer.Option(help="Only this platform's own, by id.")] = None,
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    region: Annotated[str | None, typer.Option(help="Only this region's.")] = None,
    kind: Annotated[str | None, typer.Option(help="size, image, volume or traffic.")] = None,
    item: Annotated[str | None, typer.Option(help="Only this item's.")] = None,
    limit: Limit = None,
) -> None:
    """List the book, past and future prices too."""
    found = door.client.prices.list(platform=platform, provider=provider, region=region, kind=kind, item=item)
    door.show_list(found, _PRICES, limit)


@remote(prices, "show")
def show_price(door: Door, *, price: Key) -> None:
    """Show one price."""
    door.show(door.client.prices.get(price))


@remote(prices, "remove")
def remove(door: Door, *, price: Keys, yes: Yes = False) -> None:
    """Remove prices that were never right; orders keep what they were told."""
    door.confirm(f"Remove {len(price)} prices from the book", yes=yes)
    door.each(price, door.client.prices.remove)
