"""``crossway volume`` and ``crossway snapshot``: storage that machines are given."""

from typing import Annotated

import typer

from gateway.cli.asset import Called, Machine, noun, shown
from gateway.cli.door import Door, IdempotencyKey, Key, Timeout, Wait, remote
from gateway.cli.output import Column

volumes = typer.Typer(help="Volumes: storage that machines are given, and that outlasts them.")
snapshots = typer.Typer(help="Snapshots of volumes.")
noun(volumes, "volume", Column("GIB", "size_gib"), Column("ATTACHED TO", "machines"))
noun(snapshots, "snapshot", Column("GIB", "size_gib"), Column("OF", "parent"))


@remote(volumes, "create")
def create_volume(
    door: Door,
    *,
    offer: Annotated[
        str | None, typer.Option(help="An offer of volumes, or its platform's name; with --snapshot left out.")
    ] = None,
    size: Annotated[int | None, typer.Option(metavar="GIB", min=1, help="How large.")] = None,
    snapshot: Annotated[str | None, typer.Option(help="Begin with what is in this snapshot.")] = None,
    location: Annotated[str | None, typer.Option(help="One of the platform's locations, where its machine is.")] = None,
    name: Called = None,
    wait: Wait = False,
    timeout: Timeout = 300.0,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Order a volume."""
    ordered = door.client.assets.create(
        kind="volume", offer=offer, size_gib=size, parent=snapshot, location=location, name=name,
        idempotency_key=idempotency_key,
    )  # fmt: skip
    shown(door, ordered, wait=wait, timeout_s=timeout)


@remote(volumes, "attach")
def attach(door: Door, *, volume: Key, machine: Machine) -> None:
    """Attach a volume to a machine of the same platform; it is done when this ends."""
    door.show(door.client.assets.attach(volume, machine))


@remote(volumes, "detach")
def detach(door: Door, *, volume: Key, machine: Machine) -> None:
    """Detach a volume from a machine; it is done when this ends."""
    door.show(door.client.assets.detach(volume, machine))


@remote(volumes, "snapshot")
def snapshot_volume(
    door: Door,
    *,
    volume: Key,
    name: Called = None,
    wait: Wait = False,
    timeout: Timeout = 300.0,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Order a snapshot of a volume."""
    ordered = door.client.assets.create(kind="snapshot", parent=volume, name=name, idempotency_key=idempotency_key)
    shown(door, ordered, wait=wait, timeout_s=timeout)
