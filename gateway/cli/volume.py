"""``crossway volume`` and ``crossway snapshot``: storage beside machines."""

from typing import Annotated

import typer

from gateway.cli.door import Door, IdempotencyKey, Key, Keys, Limit, State, Timeout, Wait, Yes, remote
from gateway.cli.exits import CliError
from gateway.cli.output import Column, note
from gateway.client.assets import ORDER_ENDED, Asset

volumes = typer.Typer(help="Volumes: storage that machines are given, and that outlasts them.")
snapshots = typer.Typer(help="Snapshots of volumes.")

_ASSETS = (
    Column("ID", "id"),
    Column("NAME", "name"),
    Column("PLATFORM", "platform"),
    Column("GIB", "size_gib"),
    Column("STATE", "state"),
    Column("ATTACHED TO", "machines"),
    Column("REASON", "reason"),
)
Called = Annotated[str | None, typer.Option(help="What it shall be called.")]
Machine = Annotated[str, typer.Argument(metavar="MACHINE", help="The machine's id.")]


@remote(volumes, "list")
def list_volumes(door: Door, *, state: State = None, limit: Limit = None) -> None:
    """List the volumes."""
    door.show_list(door.client.assets.list(kind="volume", state=state), _ASSETS, limit)


@remote(volumes, "show")
def show_volume(door: Door, *, volume: Key) -> None:
    """Show one volume."""
    door.show(door.client.assets.get(volume))


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
    door.show(_waited(door, ordered, timeout) if wait else ordered)


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
    door.show(_waited(door, ordered, timeout) if wait else ordered)


@remote(volumes, "destroy")
def destroy_volumes(
    door: Door, *, volume: Keys, yes: Yes = False, wait: Wait = False, timeout: Timeout = 300.0
) -> None:
    """Destroy volumes and what is on them."""
    _destroy(door, volume, "volume", yes=yes, gone_within_s=timeout if wait else None)


@remote(snapshots, "list")
def list_snapshots(door: Door, *, state: State = None, limit: Limit = None) -> None:
    """List the snapshots."""
    door.show_list(door.client.assets.list(kind="snapshot", state=state), _ASSETS, limit)


@remote(snapshots, "show")
def show_snapshot(door: Door, *, snapshot: Key) -> None:
    """Show one snapshot."""
    door.show(door.client.assets.get(snapshot))


@remote(snapshots, "destroy")
def destroy_snapshots(
    door: Door, *, snapshot: Keys, yes: Yes = False, wait: Wait = False, timeout: Timeout = 300.0
) -> None:
    """Destroy snapshots."""
    _destroy(door, snapshot, "snapshot", yes=yes, gone_within_s=timeout if wait else None)


def _waited(door: Door, ordered: Asset, timeout_s: float) -> Asset:
    ended = door.client.assets.wait(
        ordered["id"],
        until=lambda seen: seen["state"] in ORDER_ENDED,
        timeout_s=timeout_s,
        on_change=lambda seen: note(f"{seen['id']}: {seen['state']}"),
    )
    if ended["state"] != "ready":
        raise CliError(f"{ended['id']} is {ended['state']}", fix=ended.get("reason", ""))
    return ended


def _destroy(door: Door, keys: list[str], kind: str, *, yes: bool, gone_within_s: float | None) -> None:
    door.confirm(f"destroy {', '.join(keys)}", yes=yes)

    def deed(key: str) -> Asset:
        found = door.client.assets.get(key)
        if found["kind"] != kind:
            raise CliError(f"{key} is a {found['kind']}", fix=f"crossway {found['kind']} destroy {key}")
        ending = door.client.assets.destroy(key)
        if gone_within_s is None:
            return ending
        return door.client.assets.wait(
            key,
            until=lambda seen: seen["state"] in {"gone", "failed"},
            timeout_s=gone_within_s,
            on_change=lambda seen: note(f"{seen['id']}: {seen['state']}"),
        )

    door.each(keys, deed, _ASSETS)
