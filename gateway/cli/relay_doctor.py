"""``crossway relay doctor`` and ``crossway ssh-key``: what is wrong with a relay, and the key that relays know."""

from collections.abc import Mapping
from typing import Annotated

import typer

from gateway.cli.admin_ssh import AdminSsh
from gateway.cli.door import Door, NameOrId, Timeout, Wait, remote
from gateway.cli.exits import CliError, ExitCode
from gateway.cli.output import Column, Format
from gateway.cli.relay_bootstrap import SshOptions
from gateway.client import WaitTimedOut
from gateway.client.resources import SshKey

commands = typer.Typer()
ssh_key = typer.Typer(help="The key that the gateway shows to relays.")

_FINDINGS = (
    Column("CHECK", "check"),
    Column("OK", "ok"),
    Column("DETAIL", "detail"),
    Column("FIX", "fix"),
)
# What only the host itself knows; run as root. The newest listening sshd is the one that serves the relay.
_FACTS = """\
echo "clock $(date +%s)"
sshd -T 2>/dev/null | awk '$1 == "maxstartups" { print $1, $2 }'
pid=$(cat "$(sshd -T 2>/dev/null | awk '$1 == "pidfile" { print $2 }')" 2>/dev/null) || exit 0
awk '/^Max open files/ { print "nofile", $4 }' "/proc/$pid/limits"
"""


@remote(commands, "doctor")
def doctor(
    door: Door,
    *,
    relay: NameOrId,
    ssh: Annotated[
        str | None, typer.Option("--ssh", metavar="[USER@]HOST", help="Also look at the host itself, by your own ssh.")
    ] = None,
    ssh_option: SshOptions = None,
) -> None:
    """Say what is wrong with a relay and what would be right; exits with 1 when something is."""
    facts = {} if ssh is None else _read_facts(AdminSsh(destination=ssh, options=ssh_option or ()))
    found = door.client.relays.examine(relay, facts)
    if door.format is Format.TABLE:
        door.show(found["findings"], _FINDINGS)
    else:
        door.show(found)
    if not found["healthy"]:
        wrong = sum(finding["ok"] is False for finding in found["findings"])
        raise CliError(f"{found['relay']}: {wrong} of {len(found['findings'])} checks failed", code=ExitCode.FAILED)


def _read_facts(ssh: AdminSsh) -> Mapping[str, str]:
    pairs = (line.split() for line in ssh.run_as_root(_FACTS).splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}  # noqa: PLR2004 a name and its value


@remote(ssh_key, "show")
def show(door: Door) -> None:
    """Show the key in use, the next one, and what that waits for."""
    door.show(door.client.ssh_key.get())


@remote(ssh_key, "rotate")
def rotate(door: Door, *, wait: Wait = False, timeout: Timeout = 300.0) -> None:
    """Change the key: relays let the next one in beside it, then it is used, then the old one is taken away.

    Tunnels that stand stay. Relays without a caretaker are given the next key by you; until then nothing changes.
    """
    begun = door.client.ssh_key.rotate()
    door.show(_settled(door, begun, timeout) if wait else begun)


@remote(ssh_key, "keep")
def keep(door: Door) -> None:
    """Keep the key in use and forget the next one."""
    door.show(door.client.ssh_key.keep())


def _settled(door: Door, begun: SshKey, timeout_s: float) -> SshKey:
    wire = door.client.wire
    deadline_s = wire.clock_s() + timeout_s
    now = begun
    while now["next"] is not None or now["holds_more"]:
        if wire.clock_s() >= deadline_s:
            raise WaitTimedOut("ssh-key", timeout_s=timeout_s, last_state=str(now["waits_for"] or now["holds_more"]))
        wire.pause(0.5)
        now = door.client.ssh_key.get()
    return now
