"""``crossway relay bootstrap``: make a host a relay, from the admin's own machine and by the admin's own ssh."""

import sys
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.admin_ssh import AdminSsh, fingerprint
from gateway.cli.door import Door, Timeout, Yes, remote
from gateway.cli.exits import CliError, ExitCode
from gateway.cli.host_key_file import host_key_in
from gateway.cli.output import note
from gateway.cli.pairs import pairs_of
from gateway.client import ApiProblem, WaitTimedOut
from gateway.client.resources import Relay, RelayAccount

SshOptions = Annotated[
    list[str] | None, typer.Option("--ssh-option", "-O", metavar="NAME=VALUE", help="For ssh -o; repeatable.")
]


commands = typer.Typer()


@remote(commands, "bootstrap")
def bootstrap(
    door: Door,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the relay shall be called.")],
    destination: Annotated[str, typer.Argument(metavar="[USER@]HOST", help="As your ssh takes it; must become root.")],
    site: Annotated[str, typer.Option(help="Where it stands.")],
    host: Annotated[str | None, typer.Option(help="What the gateway dials; else what your ssh dials.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
    address_from: Annotated[
        list[str] | None, typer.Option(metavar="SITE=HOST:PORT", help="What to dial from that site; repeatable.")
    ] = None,
    account: Annotated[
        str, typer.Option(help="The account that forwards; NAME-caretaker is made beside it.")
    ] = "crossway",
    certificates: Annotated[
        bool, typer.Option("--certificates", help="Let in short-lived certificates instead of the gateway's key.")
    ] = False,
    host_key_file: Annotated[Path | None, typer.Option(help="Its host key, when it is not in /etc/ssh.")] = None,
    ssh_option: SshOptions = None,
    print_only: Annotated[bool, typer.Option("--print", help="Write the script, and do nothing.")] = False,
    yes: Yes = False,
    timeout: Timeout = 60.0,
) -> None:
    """Make a host a relay: a locked-down account, its host key pinned, its list of addresses kept by the gateway.

    May be repeated. When it fails at the host, the host is as it was. To take everything away, run the printed script
    as root with the argument "remove".
    """
    login = "certificate" if certificates else "key"
    made = door.client.relays.account_script(site, account=account, login=login)
    if print_only:
        sys.stdout.write(made["script"])
        return
    ssh = AdminSsh(destination=destination, options=ssh_option or ())
    dialled_host, dialled_port = ssh.address()
    known = _registered(door, name)
    host_key = _approved(door, ssh, known, host_key_file, yes=yes)
    note(*ssh.run_as_root(made["script"]).splitlines())
    dials = _Dials(host or dialled_host, port or dialled_port, pairs_of(address_from, "--address-from"))
    _register(door, ssh, made, known, dials, name=name, site=site, host_key=host_key, login=login)
    door.show(_settled(door, name, timeout))


def _registered(door: Door, name: str) -> Relay | None:
    try:
        return door.client.relays.get(name)
    except ApiProblem as problem:
        if problem.status != HTTPStatus.NOT_FOUND:
            raise
        return None


def _approved(door: Door, ssh: AdminSsh, known: Relay | None, file: Path | None, *, yes: bool) -> str:
    """Return the host key to pin, which the admin has seen and approved, or which was pinned before."""
    keys = [host_key_in(file)] if file is not None else ssh.host_keys()
    if known is not None:
        if known["host_key"] in keys:
            return known["host_key"]
        raise CliError(
            f"the host shows another key than the one pinned for {known['name']}, {fingerprint(known['host_key'])}",
            code=ExitCode.CONFLICT,
            fix=f"find out why; if it was changed on purpose: crossway relay set {known['name']} --host-key-file FILE",
        )
    note("the host's own account of its keys:", *(f"  {key.split()[0]} {fingerprint(key)}" for key in keys))
    if not yes and not (door.may_ask and sys.stdin.isatty()):
        raise CliError("a host key is pinned when somebody approves it", fix="compare it, then say --yes")
    door.confirm(f"pin {fingerprint(keys[0])}", yes=yes)
    return keys[0]


@dataclass(frozen=True, slots=True)
class _Dials:
    """Where the gateway and the sites find the relay."""

    host: str
    port: int
    addresses_from: dict[str, str] | None


def _register(
    door: Door, ssh: AdminSsh, made: RelayAccount, known: Relay | None, dials: _Dials, *, name: str, **facts: str
) -> None:
    """Declare the relay, or change what is declared. When a new one is refused, the host is as it was."""
    user, caretaker = made["account"], made["caretaker"]
    if known is not None:
        door.client.relays.set(
            name, host=dials.host, port=dials.port, user=user, caretaker=caretaker, login=facts["login"]
        )
        return
    try:
        door.client.relays.create(
            name=name,
            site=facts["site"],
            host=dials.host,
            port=dials.port,
            addresses_from=dials.addresses_from,
            user=user,
            caretaker=caretaker,
            host_key=facts["host_key"],
            login=facts["login"],
        )
    except ApiProblem:
        ssh.run_as_root(made["script"], "remove")
        raise


def _settled(door: Door, name: str, timeout_s: float) -> Relay:
    """Wait until the gateway has looked after the relay itself. Raises CliError when it cannot."""
    try:
        relay = door.client.relays.wait(
            name, until=lambda each: each["permits"]["state"] in {"current", "failing"}, timeout_s=timeout_s
        )
    except WaitTimedOut as error:
        raise CliError(
            f"{name} is registered, but the gateway has not looked after it yet",
            code=ExitCode.TIMED_OUT, fix=f"crossway relay doctor {name}",
        ) from error  # fmt: skip
    if relay["permits"]["state"] == "failing":
        raise CliError(
            f"{name} is registered, but the gateway cannot look after it: {relay['permits']['reason']}",
            code=ExitCode.FAILED, fix=f"crossway relay doctor {name}",
        )  # fmt: skip
    return relay
