"""``crossway quota``: how much a project or organisation may hold at once."""

from collections.abc import Mapping
from typing import Annotated

import typer

from gateway.cli.door import Door, Limit, remote
from gateway.cli.exits import CliError
from gateway.cli.output import Column

quotas = typer.Typer(help="How much a project or organisation may hold at once.")

Holder = Annotated[str, typer.Argument(metavar="ORG/PROJECT|ORG", help="Whose.")]
OwnHolder = Annotated[
    str | None, typer.Argument(metavar="[ORG/PROJECT|ORG]", help="Whose; left out: your own project's.")
]
Amount = Annotated[str | None, typer.Option(metavar="N|none", help="At most so many; none: any number.")]


def _of(name: str) -> Column:
    def cell(quota: Mapping[str, object]) -> str:
        held = quota["used"]
        used, limit = held.get(name) if isinstance(held, dict) else None, quota[name]
        return f"{'?' if used is None else f'{used:g}'} of {'any' if limit is None else limit}"

    return Column(name.upper().replace("_", " "), cell)


_LISTED = ("machines", "cores", "memory_gib", "volumes", "volume_gib", "snapshots")
_LIMITS = (*_LISTED, "containers", "zones", "records", "balancers")
_QUOTAS = (Column("WHOSE", "reference"), Column("KIND", "kind"), *map(_of, _LISTED))


@remote(quotas, "list")
def list_quotas(door: Door, *, limit: Limit = None) -> None:
    """List the quotas that were set, and what is used of them."""
    door.show_list(door.client.quotas.list(), _QUOTAS, limit)


@remote(quotas, "show")
def show_quota(door: Door, *, holder: OwnHolder = None) -> None:
    """Show a quota and what is used of it."""
    door.show(door.client.quotas.get(own(door, holder)))


@remote(quotas, "set")
def set_quota(
    door: Door,
    *,
    holder: Holder,
    machines: Amount = None,
    cores: Amount = None,
    memory_gib: Amount = None,
    volumes: Amount = None,
    volume_gib: Amount = None,
    snapshots: Amount = None,
    containers: Amount = None,
    zones: Amount = None,
    records: Amount = None,
    balancers: Amount = None,
) -> None:
    """Change the limits that are named; what is held beyond them already stays."""
    beside = (volumes, volume_gib, snapshots, containers, zones, records, balancers)
    given = dict(zip(_LIMITS, (machines, cores, memory_gib, *beside), strict=True))
    limits = {name: _amount(name, text) for name, text in given.items() if text is not None}
    if not limits:
        raise CliError("there is nothing to change", fix="name at least one of the options")
    door.show(door.client.quotas.set(holder, limits))


def own(door: Door, holder: str | None) -> str:
    """Return ``holder``, or the caller's own project. Raises CliError for a caller that has none."""
    if holder is not None:
        return holder
    subject = door.client.whoami()["subject"]
    if not subject:
        raise CliError("say whose", fix="ORGANISATION/PROJECT, or an organisation's name")
    return subject


def _amount(name: str, text: str) -> int | None:
    if text == "none":
        return None
    if not text.isascii() or not text.isdecimal():
        raise CliError(f"{name} '{text}' is no number", fix="such as 10, or none")
    return int(text)
