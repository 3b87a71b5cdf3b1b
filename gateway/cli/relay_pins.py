"""``crossway relay pin`` and ``unpin``: change a relay's host key without an hour in which neither counts."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.admin_ssh import fingerprint
from gateway.cli.door import Door, NameOrId, Yes, remote
from gateway.cli.exits import CliError
from gateway.cli.host_key_file import host_key_in
from gateway.client.resources import Relay

commands = typer.Typer()


@remote(commands, "pin")
def pin(
    door: Door,
    *,
    relay: NameOrId,
    host_key_file: Annotated[Path, typer.Argument(metavar="FILE", help="The key that it will have, verified by you.")],
    yes: Yes = False,
) -> None:
    """Let another host key of a relay count beside those pinned; then change it there, then unpin the old one."""
    key = " ".join(host_key_in(host_key_file).split()[:2])
    held = door.client.relays.get(relay)
    if key in _pinned(held):
        raise CliError(f"{fingerprint(key)} is pinned for {held['name']} already")
    door.confirm(f"pin {fingerprint(key)} for {held['name']} beside {_told(_pinned(held))}", yes=yes)
    door.show(door.client.relays.set(relay, more_host_keys=[*held["more_host_keys"], key]))


@remote(commands, "unpin")
def unpin(
    door: Door,
    *,
    relay: NameOrId,
    key: Annotated[str, typer.Argument(metavar="FINGERPRINT", help="SHA256:… of the key that counts no longer.")],
    yes: Yes = False,
) -> None:
    """Let one of several host keys of a relay count no longer; tunnels that stand on it stay until they end."""
    held = door.client.relays.get(relay)
    kept = [each for each in _pinned(held) if fingerprint(each) != key]
    if len(kept) == len(_pinned(held)):
        raise CliError(f"no such key is pinned for {held['name']}", fix=f"one of {_told(_pinned(held))}")
    if not kept:
        raise CliError("the last key stays", fix="pin the new one first: crossway relay pin")
    door.confirm(f"unpin {key} for {held['name']}; {_told(kept)} stays", yes=yes)
    door.show(door.client.relays.set(relay, host_key=kept[0], more_host_keys=kept[1:]))


def _pinned(relay: Relay) -> list[str]:
    return [relay["host_key"], *relay["more_host_keys"]]


def _told(keys: list[str]) -> str:
    return ", ".join(fingerprint(key) for key in keys)
