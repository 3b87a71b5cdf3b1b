"""``crossway machine``: VMs at platforms."""

from collections.abc import Mapping
from typing import Annotated

import typer

from gateway.cli.door import Door, Key, Keys, Limit, State, Timeout, Wait, Yes, remote
from gateway.cli.durations import seconds_of
from gateway.cli.output import Column, Format, cell, note, printable
from gateway.client.ordered import Machine

machines = typer.Typer(help="VMs at platforms.")


def state_text(machine: Mapping[str, object]) -> str:
    """Return the state; of an imported machine that was let go, that it was: at its cloud it is not gone."""
    was_released = machine.get("is_released") and machine.get("state") == "gone"
    return "released" if was_released else cell(machine.get("state"))


_MACHINES = (
    Column("ID", "id"),
    Column("NAME", "name"),
    Column("PLATFORM", "platform"),
    Column("SIZE", "size"),
    Column("CUSTODY", "custody"),
    Column("STATE", state_text),
    Column("ADDRESSES", "addresses"),
    Column("LENT UNTIL", "lease_ends_at"),
)
_IMPORTED = (*_MACHINES[:5], Column("PROJECT", "project"), *_MACHINES[5:7])
_DRIFT = (
    Column("MACHINE", "id"),
    Column("NAME", "name"),
    Column("PLATFORM", "platform"),
    Column("FIELD", "field"),
    Column("CATALOG", "catalog"),
    Column("CLOUD", "cloud"),
)


@remote(machines, "list")
def list_machines(door: Door, *, state: State = None, limit: Limit = None) -> None:
    """List the machines."""
    door.show_list(door.client.machines.list(state=state), _MACHINES, limit)


@remote(machines, "show")
def show_machine(door: Door, *, machine: Key) -> None:
    """Show one machine."""
    door.show(door.client.machines.get(machine))


@remote(machines, "drift")
def drift(door: Door, *, limit: Limit = None) -> None:
    """List where catalog and cloud differ about a machine, field by field."""
    found = (
        {"id": machine["id"], "name": machine["name"], "platform": machine["platform"], **each}
        for machine in door.client.machines.list()
        for each in machine["drift"]
    )
    door.show_list(found, _DRIFT, limit)


@remote(machines, "start")
def start(door: Door, *, machine: Keys) -> None:
    """Start stopped machines; it is done when this ends."""
    _act(door, machine, "start")


@remote(machines, "stop")
def stop(door: Door, *, machine: Keys) -> None:
    """Stop machines; it is done when this ends."""
    _act(door, machine, "stop")


@remote(machines, "reboot")
def reboot(door: Door, *, machine: Keys) -> None:
    """Reboot machines; it is done when this ends."""
    _act(door, machine, "reboot")


@remote(machines, "rebuild")
def rebuild(
    door: Door,
    *,
    machine: Keys,
    image: Annotated[
        str | None, typer.Option(help="One of the platform's images, by id or name; else the one it has.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Make machines' disks anew from an image; what is on them is lost, addresses and names stay."""
    door.confirm(f"rebuild {', '.join(machine)} and lose what is on it", yes=yes)
    door.each(machine, lambda key: door.client.machines.rebuild(key, image), _MACHINES)


@remote(machines, "resize")
def resize(
    door: Door, *, machine: Keys, size: Annotated[str, typer.Option(help="One of the platform's sizes, by id or name.")]
) -> None:
    """Give machines another size, where their cloud can (EC2: only to stopped ones); it is done when this ends."""
    door.each(machine, lambda key: door.client.machines.resize(key, size), _MACHINES)


@remote(machines, "rename")
def rename(door: Door, *, machine: Key, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Call a machine otherwise, here and at its cloud."""
    door.show(door.client.machines.rename(machine, name))


@remote(machines, "console")
def console(door: Door, *, machine: Key) -> None:
    """Show what a machine wrote to its console, as far as its cloud keeps it."""
    told = door.client.machines.console(machine)
    if door.format is Format.TABLE:
        for line in told["text"].splitlines():
            print(printable(line))
    else:
        door.show(told)


@remote(machines, "extend")
def extend(
    door: Door,
    *,
    machine: Keys,
    length: Annotated[
        str, typer.Option("--for", metavar="TIME|longest", help="So long from now, such as 12h or 7d.")
    ] = "longest",
    give_end: Annotated[bool, typer.Option("--give-end", help="Also to those lent without an end.")] = False,
) -> None:
    """Keep machines for longer than their lease, as long as is allowed unless you say how long."""
    lease_s = None if length == "longest" else seconds_of(length)
    door.each(machine, lambda key: door.client.machines.extend(key, lease_s, may_give_end=give_end), _MACHINES)


@remote(machines, "destroy")
def destroy(door: Door, *, machine: Keys, yes: Yes = False, wait: Wait = False, timeout: Timeout = 300.0) -> None:
    """Destroy machines and what is on them."""
    door.confirm(f"destroy {', '.join(machine)}", yes=yes)
    _act(door, machine, "destroy", gone_within_s=timeout if wait else None)


@remote(machines, "give-back")
def give_back(door: Door, *, machine: Keys, yes: Yes = False, wait: Wait = False, timeout: Timeout = 300.0) -> None:
    """Give machines back; what is on them is destroyed."""
    door.confirm(f"give back {', '.join(machine)}", yes=yes)
    _act(door, machine, "give-back", gone_within_s=timeout if wait else None)


@remote(machines, "import")
def import_machines(
    door: Door,
    *,
    machine: Annotated[list[str], typer.Argument(metavar="CLOUD-ID|NAME...")],
    platform: Annotated[str, typer.Option("--platform", metavar="NAME|ID", help="Where they are.")],
    project: Annotated[str, typer.Option("--project", metavar="ORG/PROJECT|ID", help="Whose they shall be.")],
    managed: Annotated[bool, typer.Option("--managed", help="To be steered, too; else they are only shown.")] = False,
) -> None:
    """Import machines that a platform had before; nothing is done to them.

    What there is: crossway platform machines.
    """
    custody = "managed" if managed else "observed"

    def deed(name: str) -> Machine:
        return door.client.machines.import_existing(platform=platform, machine=name, project=project, custody=custody)

    door.each(machine, deed, _IMPORTED)


@remote(machines, "manage")
def manage(door: Door, *, machine: Keys) -> None:
    """Have imported machines steered as well: started, stopped, rebooted, destroyed."""
    door.each(machine, lambda key: door.client.machines.entrust(key, "managed"), _IMPORTED)


@remote(machines, "observe")
def observe(door: Door, *, machine: Keys) -> None:
    """Have imported machines only shown from now on."""
    door.each(machine, lambda key: door.client.machines.entrust(key, "observed"), _IMPORTED)


@remote(machines, "release")
def release(door: Door, *, machine: Keys) -> None:
    """Forget imported machines and leave them as they are at their cloud."""
    door.each(machine, door.client.machines.release, _IMPORTED)


def _act(door: Door, keys: list[str], action: str, *, gone_within_s: float | None = None) -> None:
    def deed(key: str) -> Machine:
        machine = door.client.machines.act(key, action)
        if gone_within_s is None:
            return machine
        return door.client.machines.wait(
            key,
            until=lambda seen: seen["state"] == "gone",
            timeout_s=gone_within_s,
            on_change=lambda seen: note(f"{seen['id']}: {seen['state']}"),
        )

    door.each(keys, deed, _MACHINES)
